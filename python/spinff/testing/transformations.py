"""What leaves an energy as it is, and what a calculator makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from spinff.irreps.operations import Operation
from spinff.testing.results import (
    Array,
    Errors,
    Results,
    SpinPotential,
    errors_between,
    evaluate,
    moments_of,
)


@dataclass(frozen=True)
class Transformation:
    """What is done to atoms, and with it to every result.

    Positions and moments are transformed apart: (R, inversion, time reversal) acts as
    R or −R on each, and without spin–orbit coupling spins may turn alone.
    """

    name: str
    """For reports."""
    rotation: Array = field(default_factory=lambda: np.eye(3))
    """(3, 3) proper rotation of the lattice."""
    inversion: bool = False
    """Then r → −r."""
    spins: Array = field(default_factory=lambda: np.eye(3))
    """(3, 3) on moments and magnetic forces."""
    shift: Array = field(default_factory=lambda: np.zeros(3))
    """Å, added to all positions."""
    permutation_seed: int | None = None
    """Atoms are drawn in another order with this seed."""

    @property
    def polar(self) -> Array:
        """(3, 3) on positions and forces."""
        return -self.rotation if self.inversion else self.rotation

    def order(self, count: int) -> NDArray[np.int64]:
        """New order of ``count`` atoms."""
        if self.permutation_seed is None:
            return np.arange(count)
        return np.random.default_rng(self.permutation_seed).permutation(count)

    def __call__(self, atoms: Atoms) -> Atoms:
        """The transformed atoms."""
        moved = atoms[self.order(len(atoms))]
        moved.set_initial_magnetic_moments(moments_of(moved) @ self.spins.T)
        # the lattice of −a is that of a: the cell stays right-handed
        moved.set_cell(moved.cell.array @ self.rotation.T)
        moved.positions = moved.positions @ self.polar.T + self.shift
        return moved

    def of_results(self, results: Results) -> Results:
        """What the transformed atoms must give, of what the atoms give."""
        order = self.order(len(results["forces"]))
        expected = {
            "energy": results["energy"],
            "forces": results["forces"][order] @ self.polar.T,
            "magnetic_forces": results["magnetic_forces"][order] @ self.spins.T,
        }
        if "energies" in results:
            expected["energies"] = results["energies"][order]
        if "stress" in results:
            expected["stress"] = self.rotation @ results["stress"] @ self.rotation.T
        return expected


def transformation(name: str, operation: Operation) -> Transformation:
    """An operation on everything: positions are polar, moments axial and T-odd."""
    return Transformation(
        name,
        rotation=operation.rotation.numpy(),
        inversion=operation.inversion,
        spins=operation.on_axial_odd.numpy(),
    )


def spins_alone(seed: int = 0) -> Transformation:
    """A rotation of the moments alone, allowed without spin–orbit coupling."""
    return Transformation("spins alone", spins=Operation.random(seed).rotation.numpy())


def translation(shift: Array | None = None) -> Transformation:
    """A translation, by default by some Å."""
    by = np.array([0.37, -1.71, 12.13]) if shift is None else np.asarray(shift)
    return Transformation("translation", shift=by)


def permutation(seed: int = 0) -> Transformation:
    """The atoms in another order."""
    return Transformation("permutation", permutation_seed=seed)


def standard_transformations(
    *, spin_orbit_coupling: bool, seed: int = 0
) -> list[Transformation]:
    """Rotation, inversion, reflection, time reversal, all at once, and the others.

    Args:
        spin_orbit_coupling: without it spins are turned alone as well.
        seed: of the rotation.
    """
    turn = Operation.random(seed).rotation
    identity = torch.eye(3, dtype=torch.float64)
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    operations = {
        "rotation": Operation(turn),
        "inversion": Operation(identity, inversion=True),
        "reflection": Operation(half_turn, inversion=True),
        "time reversal": Operation(identity, time_reversal=True),
        "everything": Operation(turn, inversion=True, time_reversal=True),
    }
    moves = [transformation(name, value) for name, value in operations.items()]
    moves += [translation(), permutation(seed)]
    return moves if spin_orbit_coupling else [*moves, spins_alone(seed + 1)]


def equivariance_errors(
    calculator: SpinPotential,
    atoms: Atoms,
    transformations: Iterable[Transformation | Operation],
) -> dict[str, Errors]:
    """Results of transformed atoms against transformed results.

    Args:
        calculator: the potential.
        atoms: a structure without symmetry, or nothing is tested.
        transformations: such as :func:`standard_transformations`, or operations.

    Returns:
        Name -> quantity -> largest difference over the largest value.
    """
    before = evaluate(calculator, atoms)
    errors = {}
    for number, item in enumerate(transformations):
        if isinstance(item, Operation):
            item = transformation(f"operation {number}", item)
        after = evaluate(calculator, item(atoms))
        errors[item.name] = errors_between(after, item.of_results(before))
    return errors
