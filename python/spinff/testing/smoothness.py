"""Energies and fields where an atom crosses a cutoff, and where a moment vanishes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms

from spinff.testing.derivatives import FINER, magnetic_force
from spinff.testing.results import (
    Array,
    Errors,
    SpinPotential,
    evaluate,
    moments_of,
    relative,
    with_moments,
)

# where the third atom stands, in units of the cutoff: within reach of both others
_BYSTANDER = np.array([0.5, 0.35, 0.2])
# a force along the moment above this part of the largest is no rounding
_LONGITUDINAL = 1e-6


def cutoff_errors(
    calculator: SpinPotential,
    centre: str,
    neighbour: str,
    cutoff: float,
    *,
    moments: Mapping[str, float],
    step: float = 1e-4,
    seed: int = 0,
) -> Errors:
    """Jumps of energy, forces and magnetic forces where an atom leaves the cutoff.

    Two values on each side are extended to the cutoff by a straight line. The jump of
    the energy is one of its value; that of the forces is one of its slope.

    Args:
        calculator: the potential; the three atoms stand in vacuum, without a cell.
        centre: species of the atom in the middle, and of a third within reach of both.
        neighbour: species of the atom that leaves.
        cutoff: Å.
        moments: species -> length of its moment in µB; other species have none.
        step: Å, distance of the nearest points from the cutoff; and a ``FINER`` one.
        seed: of the directions of the moments.

    Returns:
        Jumps, the smaller of those with both steps, over the change of the same
        quantity between 0.7 cutoff and beyond.
    """
    rng = np.random.default_rng(seed)
    symbols = [centre, centre, neighbour]
    directions = rng.normal(size=(3, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.array([moments.get(symbol, 0.0) for symbol in symbols])

    def at(distance: float) -> dict[str, Array]:
        positions = [np.zeros(3), cutoff * _BYSTANDER, [distance, 0.0, 0.0]]
        trimer = Atoms(symbols, positions=positions)
        trimer.set_initial_magnetic_moments(lengths[:, None] * directions)
        results = evaluate(calculator, trimer)
        return {k: results[k] for k in ("energy", "forces", "magnetic_forces")}

    close = at(0.7 * cutoff)
    errors: Errors = {}
    for size in (step, FINER * step):
        inside = [at(cutoff - n * size) for n in (1, 2)]
        outside = [at(cutoff + n * size) for n in (1, 2)]
        for name, values in close.items():
            left, right = (
                2 * near[name] - far[name] for near, far in (inside, outside)
            )
            error = relative(name, right - left, values - outside[1][name])
            errors[name] = min(error, errors.get(name, error))
    return errors


def has_lengths(calculator: SpinPotential, atoms: Atoms) -> bool:
    """Whether the energy depends on the lengths of moments, not on directions alone."""
    forces = evaluate(calculator, atoms)["magnetic_forces"]
    moments = moments_of(atoms)
    length = np.linalg.norm(moments, axis=1, keepdims=True)
    along = (forces * moments).sum(1) / np.where(length > 0, length, 1.0)[:, 0]
    return bool(np.abs(along).max() > _LONGITUDINAL * np.abs(forces).max())


def zero_moment_errors(
    calculator: SpinPotential, atoms: Atoms, *, step: float = 1e-3
) -> Errors:
    """What happens where moments vanish: everything finite, and no field from nowhere.

    With all moments zero, time reversal leaves no magnetic force. With one moment zero
    and an energy of directions alone, that atom is not magnetic and has no magnetic
    force; with an energy that depends on lengths its magnetic force is the derivative
    of the energy, which must exist.

    Args:
        calculator: the potential.
        atoms: with moments.
        step: of the difference, relative to the length that was there.

    Returns:
        ``all moments zero`` and ``one moment zero``: size or error of the magnetic
        force over the largest of the atoms given; ∞ where a result is not finite.
    """
    moments = moments_of(atoms)
    lengths = np.linalg.norm(moments, axis=1)
    atom = int(np.argmax(lengths))
    one = moments.copy()
    one[atom] = 0.0
    without_one = with_moments(atoms, one)
    all_zero = evaluate(calculator, with_moments(atoms, np.zeros_like(moments)))
    one_zero = evaluate(calculator, without_one)
    expected = np.zeros(3)
    if has_lengths(calculator, atoms):
        expected = magnetic_force(
            calculator, without_one, atom, step * float(lengths[atom])
        )
    size = evaluate(calculator, atoms)["magnetic_forces"]
    errors = {
        "all moments zero": all_zero["magnetic_forces"],
        "one moment zero": one_zero["magnetic_forces"][atom] - expected,
    }
    finite = {"all moments zero": all_zero, "one moment zero": one_zero}
    return {
        name: relative("magnetic_forces", values, size)
        if all(np.isfinite(value).all() for value in finite[name].values())
        else float("inf")
        for name, values in errors.items()
    }
