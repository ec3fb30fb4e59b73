"""The rock-salt reference: derivatives, symmetries, and controls that must fail."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from spinff.data.frames import MOMENT_FLOOR
from spinff.data.references import reference
from spinff.data.references.rocksalt import Rocksalt, RocksaltParameters
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]
HAMILTONIAN = Rocksalt()
ROTATION = np.array([[2.0, -1.0, 2.0], [2.0, 2.0, -1.0], [-1.0, 2.0, 2.0]]) / 3
INVERSION = -np.eye(3)


@cache
def _frame() -> Atoms:
    """A displaced, strained and spin-disordered cell, smaller than twice the cutoff."""
    return HAMILTONIAN.generate(1, seed=11, repeat=(2, 2, 1), displacement=0.12)[0]


def _transformed(
    lattice: Array | None = None, spins: Array | None = None, time: int = 1
) -> Atoms:
    """The frame with (x ↦ A x) on positions and cell, and another A on the moments."""
    atoms = _frame().copy()
    if lattice is not None:
        atoms.set_cell(np.asarray(atoms.cell) @ lattice.T)
        atoms.positions = atoms.positions @ lattice.T
    if spins is not None:
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = (
            atoms.arrays[MAGNETIC_MOMENTS_KEY] @ spins.T
        )
    atoms.arrays[MAGNETIC_MOMENTS_KEY] = time * atoms.arrays[MAGNETIC_MOMENTS_KEY]
    return atoms


def _energy(atoms: Atoms, hamiltonian: Rocksalt = HAMILTONIAN) -> float:
    return hamiltonian.evaluate(atoms)["energy"]


def _finite_difference(change: Callable[[Atoms, float], None], step: float) -> float:
    """Five-point derivative of the energy along a change of the frame."""
    energies = []
    for k in (-2, -1, 1, 2):
        atoms = _frame().copy()
        change(atoms, k * step)
        energies.append(_energy(atoms))
    far_minus, minus, plus, far_plus = energies
    return (far_minus - 8 * minus + 8 * plus - far_plus) / (12 * step)


# === derivatives ===


@pytest.mark.parametrize(("atom", "axis"), [(0, 0), (3, 1), (6, 2)])
def test_forces_are_the_derivative_of_the_energy(atom: int, axis: int) -> None:
    def move(atoms: Atoms, step: float) -> None:
        atoms.positions[atom, axis] += step

    expected = -_finite_difference(move, 1e-3)
    assert HAMILTONIAN.evaluate(_frame())["forces"][atom, axis] == pytest.approx(
        expected, rel=1e-7, abs=1e-8
    )


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 2), (2, 0)])
def test_stress_is_the_derivative_along_a_strain(a: int, b: int) -> None:
    def deform(atoms: Atoms, step: float) -> None:
        strain = np.zeros((3, 3))
        strain[a, b] += step / 2
        strain[b, a] += step / 2
        atoms.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + strain), scale_atoms=True)

    expected = _finite_difference(deform, 3e-4) / _frame().get_volume()
    assert HAMILTONIAN.evaluate(_frame())["stress"][a, b] == pytest.approx(
        expected, rel=1e-7, abs=1e-9
    )


@pytest.mark.parametrize(("atom", "axis"), [(0, 0), (2, 1), (4, 2)])
def test_magnetic_forces_are_the_derivative_of_the_energy(atom: int, axis: int) -> None:
    def turn(atoms: Atoms, step: float) -> None:
        atoms.arrays[MAGNETIC_MOMENTS_KEY][atom, axis] += step

    expected = -_finite_difference(turn, 1e-3)
    labels = HAMILTONIAN.evaluate(_frame())
    assert abs(expected) > 1e-3
    assert labels["magnetic_forces"][atom, axis] == pytest.approx(expected, rel=1e-7)


def test_energy_of_the_spins_is_the_contraction_of_the_exchange() -> None:
    atoms = _frame()
    pairs = HAMILTONIAN.exchange(atoms)
    moments = atoms.arrays[MAGNETIC_MOMENTS_KEY]
    e = moments / HAMILTONIAN.parameters.moment
    i, j = pairs.pairs.T
    spin_energy = 0.5 * np.einsum("pa,pab,pb->", e[i], pairs.tensors, e[j])
    without = atoms.copy()
    without.arrays[MAGNETIC_MOMENTS_KEY] = np.zeros_like(moments)
    assert spin_energy == pytest.approx(_energy(atoms) - _energy(without), rel=1e-10)


def test_exchange_of_the_reversed_pair_is_the_transpose() -> None:
    pairs = HAMILTONIAN.exchange(_frame())
    keys = {
        (i, j, *np.round(r, 6)): tensor
        for (i, j), r, tensor in zip(
            pairs.pairs.tolist(), pairs.vectors + 0.0, pairs.tensors, strict=True
        )
    }
    for (i, j, *r), tensor in keys.items():
        back = keys[(j, i, *(0.0 - np.array(r)))]
        np.testing.assert_allclose(back, tensor.T, atol=1e-14)
    antisymmetric = (pairs.tensors - pairs.tensors.transpose(0, 2, 1)) / 2
    assert np.abs(antisymmetric).max() > 1e-4


def test_dominant_exchange_is_antiferromagnetic_in_the_second_shell() -> None:
    ideal = HAMILTONIAN.generate(1, 0, displacement=0.0, strain=0.0)[0]
    pairs = HAMILTONIAN.exchange(ideal)
    isotropic = np.trace(pairs.tensors, axis1=1, axis2=2) / 3
    strongest = int(np.argmax(np.abs(isotropic)))
    assert isotropic[strongest] == pytest.approx(0.018, abs=1e-4)
    assert np.linalg.norm(pairs.vectors[strongest]) == pytest.approx(4.17)
    symmetric = (pairs.tensors + pairs.tensors.transpose(0, 2, 1)) / 2
    np.testing.assert_allclose(
        pairs.tensors, symmetric, atol=1e-12
    )  # no DM by symmetry


# === symmetries ===


@pytest.mark.parametrize(
    ("lattice", "spins"),
    [
        pytest.param(ROTATION, ROTATION, id="rotation of lattice and spins"),
        pytest.param(INVERSION, np.eye(3), id="inversion, spins are axial"),
        pytest.param(ROTATION @ INVERSION, ROTATION, id="rotation and inversion"),
    ],
)
def test_energy_is_invariant_and_vectors_follow(lattice: Array, spins: Array) -> None:
    before = HAMILTONIAN.evaluate(_frame())
    after = HAMILTONIAN.evaluate(_transformed(lattice, spins))
    assert after["energy"] == pytest.approx(before["energy"], rel=1e-13)
    np.testing.assert_allclose(
        after["forces"], before["forces"] @ lattice.T, atol=1e-12
    )
    np.testing.assert_allclose(
        after["magnetic_forces"], before["magnetic_forces"] @ spins.T, atol=1e-12
    )
    np.testing.assert_allclose(
        after["stress"], lattice @ before["stress"] @ lattice.T, atol=1e-13
    )


def test_time_reversal_keeps_the_energy_and_turns_magnetic_forces() -> None:
    before = HAMILTONIAN.evaluate(_frame())
    after = HAMILTONIAN.evaluate(_transformed(time=-1))
    assert after["energy"] == before["energy"]
    np.testing.assert_array_equal(after["forces"], before["forces"])
    np.testing.assert_array_equal(after["magnetic_forces"], -before["magnetic_forces"])


def test_permutation_of_atoms() -> None:
    order = np.random.default_rng(2).permutation(len(_frame()))
    before = HAMILTONIAN.evaluate(_frame())
    after = HAMILTONIAN.evaluate(_frame()[order])
    assert after["energy"] == pytest.approx(before["energy"], rel=1e-13)
    np.testing.assert_allclose(after["forces"], before["forces"][order], atol=1e-12)


def test_labels_add_up_over_a_repeated_cell() -> None:
    before = HAMILTONIAN.evaluate(_frame())
    after = HAMILTONIAN.evaluate(_frame().repeat((2, 1, 1)))
    assert after["energy"] == pytest.approx(2 * before["energy"], rel=1e-13)
    np.testing.assert_allclose(after["stress"], before["stress"], atol=1e-13)


# === negative controls: operations that are no symmetry must show ===

HEISENBERG = Rocksalt(RocksaltParameters(anisotropic_exchange=(), dm=0.0))
DM_ALONE = Rocksalt(RocksaltParameters(anisotropic_exchange=(), exchange=()))


@pytest.mark.parametrize(
    ("lattice", "spins"),
    [
        pytest.param(ROTATION, None, id="rotation of the lattice alone"),
        pytest.param(None, ROTATION, id="rotation of the spins alone"),
    ],
)
def test_rotating_one_space_shows_with_spin_orbit_terms_only(
    lattice: Array | None, spins: Array | None
) -> None:
    changed = _transformed(lattice, spins)
    assert abs(_energy(changed) - _energy(_frame())) > 1e-4
    assert _energy(changed, HEISENBERG) == pytest.approx(
        _energy(_frame(), HEISENBERG), rel=1e-13
    )


def test_a_mirror_of_the_lattice_alone_shows() -> None:
    # Spins mirrored as polar vectors instead of axial ones differ by a time reversal,
    # which no energy sees; spins left as they are do show.
    mirror = np.diag([1.0, 1.0, -1.0])
    axial = np.linalg.det(mirror) * mirror
    assert _energy(_transformed(mirror, axial)) == pytest.approx(
        _energy(_frame()), rel=1e-13
    )
    assert abs(_energy(_transformed(mirror)) - _energy(_frame())) > 1e-4


def test_dm_energy_changes_sign_when_two_spins_are_exchanged() -> None:
    atoms = _frame().copy()
    moments = np.zeros_like(atoms.arrays[MAGNETIC_MOMENTS_KEY])
    pairs = DM_ALONE.exchange(atoms)
    apart = pairs.pairs[:, 0] != pairs.pairs[:, 1]
    size = np.where(apart, np.abs(pairs.tensors).max(axis=(1, 2)), 0.0)
    i, j = pairs.pairs[int(np.argmax(size))]
    atoms.arrays[MAGNETIC_MOMENTS_KEY] = moments
    lattice = _energy(atoms, DM_ALONE)
    energies = []
    for first, second in ((i, j), (j, i)):
        moments[:] = 0.0
        moments[first], moments[second] = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
        energies.append(_energy(atoms, DM_ALONE) - lattice)
    assert energies[0] == pytest.approx(-energies[1], rel=1e-9)
    assert abs(energies[0]) > 1e-6


# === limits and frames ===


def test_atom_without_moment_has_no_field() -> None:
    atoms = _frame().copy()
    atoms.arrays[MAGNETIC_MOMENTS_KEY][0] = 0.0
    labels = HAMILTONIAN.evaluate(atoms)
    assert np.isfinite(labels["energy"])
    np.testing.assert_array_equal(labels["magnetic_forces"][0], 0.0)
    np.testing.assert_array_equal(labels["magnetic_forces"][1::2], 0.0)


def test_isolated_pair_and_isolated_atom() -> None:
    pair = Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 4.0]])
    pair.arrays[MAGNETIC_MOMENTS_KEY] = np.array([[0, 0, 1.5], [0, 0, -1.5]])
    labels = HAMILTONIAN.evaluate(pair)
    assert labels["energy"] != 0.0
    np.testing.assert_array_equal(labels["stress"], 0.0)
    single = HAMILTONIAN.evaluate(pair[:1])
    assert single["energy"] == 0.0
    np.testing.assert_array_equal(single["forces"], 0.0)


def _force_below(cutoff: float, gap: float, ni_or_o: str) -> float:
    """Force that a bond just shorter than a cutoff adds, on the atom at its end."""
    forces = []
    for distance in (cutoff - gap, cutoff + 1.0):
        atoms = Atoms(f"NiNi{ni_or_o}", positions=np.zeros((3, 3)))
        atoms.positions[1] = [1.5, 2.2, 0.0]
        atoms.positions[2] = [distance, 0.0, 0.0]
        moments = np.array([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 0]])
        with_spins, without = atoms.copy(), atoms.copy()
        with_spins.arrays[MAGNETIC_MOMENTS_KEY] = moments
        without.arrays[MAGNETIC_MOMENTS_KEY] = np.zeros((3, 3))
        force = HAMILTONIAN.evaluate(with_spins)["forces"][0]
        if ni_or_o == "O":  # its pair term reaches further: leave the DM force
            force = force - HAMILTONIAN.evaluate(without)["forces"][0]
        forces.append(force)
    return float(np.linalg.norm(forces[0] - forces[1]))


@pytest.mark.parametrize(
    ("cutoff", "ni_or_o"),
    [
        (HAMILTONIAN.parameters.cutoff, "Ni"),
        (HAMILTONIAN.parameters.ligand_cutoff, "O"),
    ],
)
def test_forces_vanish_with_the_square_of_the_gap_at_a_cutoff(
    cutoff: float, ni_or_o: str
) -> None:
    near, nearer = (_force_below(cutoff, gap, ni_or_o) for gap in (1e-3, 1e-4))
    assert near > 0
    assert nearer / near == pytest.approx(0.01, rel=0.05)


def test_frames_depend_on_seed_and_index_alone() -> None:
    few = HAMILTONIAN.generate(2, seed=5, repeat=(1, 1, 2))
    more = HAMILTONIAN.generate(4, seed=5, repeat=(1, 1, 2))
    other = HAMILTONIAN.generate(2, seed=6, repeat=(1, 1, 2))
    np.testing.assert_array_equal(few[1].positions, more[1].positions)
    assert few[1].calc.results["energy"] == pytest.approx(
        more[1].calc.results["energy"], rel=1e-13
    )
    assert np.abs(few[1].positions - other[1].positions).max() > 1e-3


def test_a_frame_of_a_seed_stays_what_it_was() -> None:
    # Written down before the model moved into its package; published data hang on it.
    frame = HAMILTONIAN.generate(3, seed=2026)[2]
    results = frame.calc.results
    assert results["energy"] == pytest.approx(-52.57594304252015, rel=1e-12)
    np.testing.assert_allclose(
        results["forces"][5],
        [-0.5598684214755398, 0.5563615850118591, 0.4214813303971684],
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        results["stress"][3:],
        [-0.006514968705253715, 0.003241583134130845, -0.0006134687013918719],
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        frame.arrays[MAGNETIC_FORCES_KEY][4],
        [-0.02206749719996087, 0.05867897334057553, -0.02573489898459405],
        rtol=1e-10,
    )


def test_generated_frames_carry_transverse_labels_and_fixed_moments() -> None:
    frame = HAMILTONIAN.generate(1, seed=0)[0]
    moments, forces = (
        frame.arrays[MAGNETIC_MOMENTS_KEY],
        frame.arrays[MAGNETIC_FORCES_KEY],
    )
    length = np.linalg.norm(moments, axis=1)
    np.testing.assert_allclose(length[frame.symbols == "Ni"], 1.5)
    np.testing.assert_array_equal(length[frame.symbols == "O"], 0.0)
    along = np.einsum("ia,ia->i", moments, forces)[length > MOMENT_FLOOR]
    np.testing.assert_allclose(along, 0.0, atol=1e-15)


# === bad input ===


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SpinffError, match=r"unknown name, got 'bcc', expected .*rocks"):
        reference("bcc")


def test_foreign_species() -> None:
    atoms = Atoms("Fe", positions=[[0, 0, 0]])
    with pytest.raises(SpinffError, match=r"unknown species, got 'Fe', expected Ni or"):
        HAMILTONIAN.evaluate(atoms)


def test_atoms_without_moments() -> None:
    with pytest.raises(SpinffError, match=r"no moments, got .*expected 'magnetic_mom"):
        HAMILTONIAN.evaluate(Atoms("Ni", positions=[[0, 0, 0]]))


def test_nothing_to_generate() -> None:
    with pytest.raises(SpinffError, match=r"nothing to generate, got 0 frames"):
        HAMILTONIAN.generate(0, seed=0)
