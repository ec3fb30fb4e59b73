"""What every reference Hamiltonian must pass; its own test file calls these."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from spinff.data.references import ReferenceHamiltonian
from spinff.fields import MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]
ROTATION = np.array([[2.0, -1.0, 2.0], [2.0, 2.0, -1.0], [-1.0, 2.0, 2.0]]) / 3


def moved(
    atoms: Atoms, lattice: Array | None = None, spins: Array | None = None
) -> Atoms:
    """The frame with x ↦ A x on positions and cell, and another A on the moments."""
    result = atoms.copy()
    if lattice is not None:
        result.set_cell(np.asarray(atoms.cell) @ lattice.T)
        result.positions = atoms.positions @ lattice.T
    if spins is not None:
        moments = atoms.arrays[MAGNETIC_MOMENTS_KEY]
        result.arrays[MAGNETIC_MOMENTS_KEY] = moments @ spins.T
    return result


def with_moments(atoms: Atoms, moments: Array) -> Atoms:
    """The frame with other moments, (N, 3) µB."""
    result = atoms.copy()
    result.arrays[MAGNETIC_MOMENTS_KEY] = np.array(moments, dtype=np.float64)
    return result


def energies(reference: ReferenceHamiltonian, frames: list[Atoms]) -> Array:
    """Energies of many frames, (F,) eV."""
    return np.array([labels["energy"] for labels in reference.evaluate_many(frames)])


def check_derivatives(reference: ReferenceHamiltonian, frame: Atoms) -> None:
    """Forces, stress and magnetic forces along random directions, five points each."""
    rng = np.random.default_rng(5)
    labels = reference.evaluate(frame)
    shift = rng.normal(size=(len(frame), 3))
    turn = rng.normal(size=(len(frame), 3))
    # An atom without a moment stays without one: its energy has a jump there.
    turn[np.linalg.norm(frame.arrays[MAGNETIC_MOMENTS_KEY], axis=1) == 0] = 0.0
    deform = rng.normal(size=(3, 3))
    deform = (deform + deform.T) / 2

    def displace(atoms: Atoms, step: float) -> None:
        atoms.positions += step * shift

    def strain(atoms: Atoms, step: float) -> None:
        cell = np.asarray(atoms.cell) @ (np.eye(3) + step * deform)
        atoms.set_cell(cell, scale_atoms=True)

    def rotate(atoms: Atoms, step: float) -> None:
        atoms.arrays[MAGNETIC_MOMENTS_KEY] += step * turn

    expected = {
        displace: -np.sum(labels["forces"] * shift),
        strain: np.sum(labels["stress"] * deform) * frame.get_volume(),
        rotate: -np.sum(labels["magnetic_forces"] * turn),
    }
    for change, value in expected.items():
        assert _five_points(reference, frame, change, 1e-3) == pytest.approx(
            value, rel=1e-6, abs=1e-9
        )


def _five_points(
    reference: ReferenceHamiltonian,
    frame: Atoms,
    change: Callable[[Atoms, float], None],
    step: float,
) -> float:
    frames = [frame.copy() for _ in range(4)]
    for atoms, k in zip(frames, (-2, -1, 1, 2), strict=True):
        change(atoms, k * step)
    far_minus, minus, plus, far_plus = energies(reference, frames)
    return float((far_minus - 8 * minus + 8 * plus - far_plus) / (12 * step))


def check_symmetries(reference: ReferenceHamiltonian, frame: Atoms) -> None:
    """Joint rotation, inversion, time reversal, permutation, a repeated cell."""
    before = reference.evaluate(frame)
    inversion = -np.eye(3)
    for lattice, spins in (
        (ROTATION, ROTATION),
        (inversion, np.eye(3)),
        (-ROTATION, ROTATION),
    ):
        after = reference.evaluate(moved(frame, lattice, spins))
        assert after["energy"] == pytest.approx(before["energy"], rel=1e-12)
        _close(after["forces"], before["forces"] @ lattice.T)
        _close(after["magnetic_forces"], before["magnetic_forces"] @ spins.T)
        _close(after["stress"], lattice @ before["stress"] @ lattice.T)
    reversed_ = reference.evaluate(moved(frame, spins=inversion))
    assert reversed_["energy"] == pytest.approx(before["energy"], rel=1e-13)
    _close(reversed_["magnetic_forces"], -before["magnetic_forces"])
    order = np.random.default_rng(2).permutation(len(frame))
    permuted = reference.evaluate(frame[order])
    assert permuted["energy"] == pytest.approx(before["energy"], rel=1e-12)
    _close(permuted["forces"], before["forces"][order])
    doubled = reference.evaluate(frame.repeat((1, 2, 1)))
    assert doubled["energy"] == pytest.approx(2 * before["energy"], rel=1e-12)
    _close(doubled["forces"][len(frame) :], before["forces"])
    _close(doubled["magnetic_forces"][: len(frame)], before["magnetic_forces"])
    _close(doubled["stress"], before["stress"])


def _close(actual: Array, expected: Array) -> None:
    np.testing.assert_allclose(actual, expected, atol=1e-11)


def check_frames(reference: ReferenceHamiltonian) -> None:
    """Frames depend on the seed and their number alone and carry finite labels."""
    few = reference.generate(2, seed=5)
    more = reference.generate(3, seed=5)
    other = reference.generate(1, seed=6)
    for one, again in zip(few, more, strict=False):
        np.testing.assert_array_equal(one.positions, again.positions)
        np.testing.assert_array_equal(
            one.arrays[MAGNETIC_MOMENTS_KEY], again.arrays[MAGNETIC_MOMENTS_KEY]
        )
    assert np.abs(few[0].positions - other[0].positions).max() > 1e-3
    assert np.abs(few[0].positions - few[1].positions).max() > 1e-3


def check_without_moments(reference: ReferenceHamiltonian, frame: Atoms) -> None:
    """At m = 0 everything is finite and no moment feels a field."""
    bare = with_moments(frame, np.zeros((len(frame), 3)))
    labels = reference.evaluate(bare)
    assert np.isfinite(labels["energy"])
    assert np.isfinite(labels["forces"]).all()
    np.testing.assert_array_equal(labels["magnetic_forces"], 0.0)


def check_stable(
    reference: ReferenceHamiltonian, crystal: Atoms, softest: float
) -> None:
    """Small displacements raise the energy, but for the three translations.

    Args:
        reference: whose energy.
        crystal: the undisplaced crystal.
        softest: least curvature that is expected, eV/Å².
    """
    step, size = 1e-3, 3 * len(crystal)
    frames = []
    for k in range(size):
        for sign in (1, -1):
            atoms = crystal.copy()
            atoms.positions.reshape(-1)[k] += sign * step
            frames.append(atoms)
    forces = [
        labels["forces"].reshape(-1) for labels in reference.evaluate_many(frames)
    ]
    plus, minus = np.array(forces).reshape(size, 2, size).transpose(1, 0, 2)
    hessian = (minus - plus) / (2 * step)
    curvatures = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    np.testing.assert_allclose(curvatures[:3], 0.0, atol=1e-5)
    assert curvatures[3] > softest


def four_states(
    reference: ReferenceHamiltonian, crystal: Atoms, length: float, i: int, j: int
) -> Array:
    """J_ij of two different atoms, images summed, from energies alone, (3, 3) eV.

    All other moments are zero. What is even in one of the two drops out of
    [E(a, b) − E(a, −b) − E(−a, b) + E(−a, −b)]/4.
    """
    frames = []
    for a in np.eye(3):
        for b in np.eye(3):
            for one, two in ((a, b), (a, -b), (-a, b), (-a, -b)):
                moments = np.zeros((len(crystal), 3))
                moments[i], moments[j] = length * one, length * two
                frames.append(with_moments(crystal, moments))
    signs = np.array([1, -1, -1, 1]) / 4
    return (energies(reference, frames).reshape(3, 3, 4) * signs).sum(axis=2)


def one_spin(
    reference: ReferenceHamiltonian, crystal: Atoms, length: float, i: int
) -> Array:
    """A_i from energies alone, (3, 3) eV: its quadratic form on nine directions."""
    one = np.eye(3)
    directions = [(one[a] + one[b]) for a in range(3) for b in range(3)]
    frames = []
    for direction in directions:
        moments = np.zeros((len(crystal), 3))
        moments[i] = length * direction / np.linalg.norm(direction)
        frames.append(with_moments(crystal, moments))
    bare = with_moments(crystal, np.zeros((len(crystal), 3)))
    form = (energies(reference, frames) - energies(reference, [bare])).reshape(3, 3)
    diagonal = np.diag(form)
    # Of a + b, normalised, the form is half of A_aa + A_bb + 2 A_ab.
    matrix = form - (diagonal[:, None] + diagonal[None, :]) / 2
    np.fill_diagonal(matrix, diagonal)
    return matrix
