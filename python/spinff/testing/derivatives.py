"""Forces, stress and magnetic forces against finite differences of the energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

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

FINER = 0.25
"""A second step, in units of the first; the smaller of two errors counts.

A fault is there with every step. The error of a formula is not: it is large where a
model is stiff, and with a smaller step rounding is.
"""

Path: TypeAlias = Callable[[float], Atoms]
"""Length of the step -> atoms moved by it."""


@dataclass(frozen=True)
class Steps:
    """Steps of the differences: small against the curvature, large against noise."""

    position: float
    """Å, of each component of each atom."""
    strain: float
    """Relative, of each component."""
    moment: float
    """Relative to |m|, of each component of each moment."""

    @classmethod
    def of(cls, dtype: str) -> Steps:
        """Steps for a network in ``float32`` or ``float64``.

        The error of the five-point formula goes with h⁴, that of an energy with n
        digits with 10⁻ⁿ/h.
        """
        if dtype == "float32":
            return cls(position=2e-3, strain=5e-4, moment=5e-3)
        return cls(position=1e-4, strain=5e-5, moment=2e-4)


def derivative_errors(
    calculator: SpinPotential,
    atoms: Atoms,
    *,
    steps: Steps | None = None,
    directions: int = 3,
    seed: int = 0,
) -> Errors:
    """Forces, stress and magnetic forces against slopes of the energy.

    All positions are moved at once along a random direction, then all moments, then the
    cell is strained: a fault in one component is seen, and the cost does not grow with
    the number of atoms. Moments are moved as whole vectors: with moments of fixed
    length E does not depend on |m|, and the part along m is zero on both sides.

    Args:
        calculator: the potential.
        atoms: without symmetry.
        steps: of the differences, which are made with ``FINER`` ones as well; those
            for float64 if not given.
        directions: random directions of each kind.
        seed: of the directions.

    Returns:
        Difference of the slopes over the largest component of the derivative.
    """
    steps = steps or Steps.of("float64")
    analytic = evaluate(calculator, atoms)
    lengths = np.linalg.norm(moments_of(atoms), axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    differences: dict[str, list[float]] = {}

    def compare(name: str, path: Path, step: float, exact: float) -> None:
        errors = [
            slope(lambda x: energy(calculator, path(x)), size) - exact
            for size in (step, FINER * step)
        ]
        differences.setdefault(name, []).append(min(errors, key=abs))

    for _ in range(directions):
        shift = rng.normal(size=(len(atoms), 3))
        exact = -(analytic["forces"] * shift).sum()
        compare("forces", _displaced(atoms, shift), steps.position, exact)
        turn = lengths * rng.normal(size=(len(atoms), 3))
        exact = -(analytic["magnetic_forces"] * turn).sum()
        compare("magnetic_forces", _turned(atoms, turn), steps.moment, exact)
        if "stress" in analytic:
            strain = _symmetric(rng.normal(size=(3, 3)))
            exact = atoms.get_volume() * (analytic["stress"] * strain).sum()
            compare("stress", _strained(atoms, strain), steps.strain, exact)
    units = {"stress": atoms.get_volume()} if "stress" in analytic else {}
    return {
        name: relative(name, np.array(values) / units.get(name, 1.0), analytic[name])
        for name, values in differences.items()
    }


def _displaced(atoms: Atoms, shift: Array) -> Path:
    def path(step: float) -> Atoms:
        moved = atoms.copy()
        moved.positions += step * shift
        return moved

    return path


def _turned(atoms: Atoms, turn: Array) -> Path:
    return lambda step: with_moments(atoms, moments_of(atoms) + step * turn)


def _strained(atoms: Atoms, strain: Array) -> Path:
    def path(step: float) -> Atoms:
        moved = atoms.copy()
        cell = atoms.cell.array @ (np.eye(3) + step * strain)
        moved.set_cell(cell, scale_atoms=True)
        return moved

    return path


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)


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
