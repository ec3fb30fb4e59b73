"""Forces, stress and magnetic forces against finite differences of the energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from spinff.testing.results import (
    Array,
    Errors,
    SpinPotential,
    evaluate,
    moments_of,
    relative,
    with_moments,
)


@dataclass(frozen=True)
class Steps:
    """Steps of the differences: small against the curvature, large against noise."""

    position: float
    """Å."""
    strain: float
    """Relative."""
    moment: float
    """Relative to |m|."""

    @classmethod
    def of(cls, dtype: str) -> Steps:
        """Steps for a network in ``float32`` or ``float64``.

        The error of the five-point formula goes with h⁴, that of an energy with n
        digits with 10⁻ⁿ/h.
        """
        if dtype == "float32":
            return cls(position=1e-2, strain=2e-3, moment=2e-2)
        return cls(position=1e-3, strain=2e-4, moment=1e-3)


def derivative_errors(
    calculator: SpinPotential,
    atoms: Atoms,
    *,
    steps: Steps | None = None,
    max_atoms: int = 4,
    seed: int = 0,
) -> Errors:
    """Largest error of each derivative over its largest value.

    Magnetic forces are compared as whole vectors: with moments of fixed length E does
    not depend on |m|, and the part along m is zero on both sides.

    Args:
        calculator: the potential.
        atoms: without symmetry.
        steps: of the differences; those for float64 if not given.
        max_atoms: atoms, drawn at random, whose components are differentiated.
        seed: of that choice.
    """
    steps = steps or Steps.of("float64")
    analytic = evaluate(calculator, atoms)
    rows = chosen_atoms(atoms, max_atoms, seed)
    magnetic = rows[np.linalg.norm(moments_of(atoms)[rows], axis=1) > 0]
    expected = {
        "forces": (_forces(calculator, atoms, rows, steps.position), rows),
        "magnetic_forces": (
            _magnetic_forces(calculator, atoms, magnetic, steps.moment),
            magnetic,
        ),
    }
    errors = {
        # over the largest of all atoms: the chosen ones may have small values by chance
        name: relative(name, numerical - analytic[name][atom], analytic[name])
        for name, (numerical, atom) in expected.items()
    }
    if "stress" in analytic:
        numerical = _stress(calculator, atoms, steps.strain)
        errors["stress"] = relative(
            "stress", numerical - analytic["stress"], analytic["stress"]
        )
    return errors


def chosen_atoms(atoms: Atoms, count: int, seed: int) -> Array:
    """At most ``count`` indices, half of them (or more) of atoms with a moment."""
    rng = np.random.default_rng(seed)
    has_moment = np.linalg.norm(moments_of(atoms), axis=1) > 0
    magnetic = rng.permutation(np.flatnonzero(has_moment))
    others = rng.permutation(np.flatnonzero(~has_moment))
    others = others[: max(count // 2, count - len(magnetic))]
    return np.sort(np.concatenate([magnetic[: count - len(others)], others]))


def slope(function: Callable[[float], float], step: float) -> float:
    """f'(0) from four values, with an error of h⁴ f⁽⁵⁾(0)/30."""
    near = function(step) - function(-step)
    far = function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def energy(calculator: SpinPotential, atoms: Atoms) -> float:
    """Energy in eV."""
    return float(calculator.get_property("energy", atoms))


def magnetic_force(
    calculator: SpinPotential, atoms: Atoms, atom: int, step: float
) -> Array:
    """−∂E/∂m (3,) of one atom by differences of its moment, step in µB."""
    moments = moments_of(atoms)
    gradient = np.zeros(3)
    for axis in range(3):

        def along(shift: float, axis: int = axis) -> float:
            changed = moments.copy()
            changed[atom, axis] += shift
            return energy(calculator, with_moments(atoms, changed))

        gradient[axis] = slope(along, step)
    return -gradient


def _forces(calculator: SpinPotential, atoms: Atoms, rows: Array, step: float) -> Array:
    forces = np.zeros((len(rows), 3))
    for n, atom in enumerate(rows):
        for axis in range(3):

            def along(shift: float, atom: int = atom, axis: int = axis) -> float:
                moved = atoms.copy()
                moved.positions[atom, axis] += shift
                return energy(calculator, moved)

            forces[n, axis] = -slope(along, step)
    return forces


def _magnetic_forces(
    calculator: SpinPotential, atoms: Atoms, rows: Array, step: float
) -> Array:
    lengths = np.linalg.norm(moments_of(atoms), axis=1)
    forces = np.zeros((len(rows), 3))
    for n, atom in enumerate(rows):
        forces[n] = magnetic_force(calculator, atoms, atom, step * lengths[atom])
    return forces


def _stress(calculator: SpinPotential, atoms: Atoms, step: float) -> Array:
    """(3, 3) eV/Å³: ∂E/∂ε over the volume, ε symmetric."""
    stress = np.zeros((3, 3))
    for a in range(3):
        for b in range(a + 1):
            direction = np.zeros((3, 3))
            direction[a, b] += 0.5
            direction[b, a] += 0.5

            def along(strain: float, direction: Array = direction) -> float:
                strained = atoms.copy()
                deformation = np.eye(3) + strain * direction
                strained.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
                return energy(calculator, strained)

            stress[a, b] = stress[b, a] = slope(along, step)
    return stress / atoms.get_volume()
