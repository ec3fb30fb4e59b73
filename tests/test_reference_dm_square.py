"""The square lattice with a DM term: the spiral's angle and energy, the substrate."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

import reference_checks as checks
from spinff.data.references import reference
from spinff.data.references.dm_square import DMSquare, SquareParameters
from spinff.fields import MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]
SQUARE = DMSquare()
UNIAXIAL = DMSquare(SquareParameters(uniaxial=-0.5e-3))
MEV = 1e-3


@cache
def _frame() -> Atoms:
    return SQUARE.generate(1, seed=11, repeat=(3, 2, 1), displacement=0.1)[0]


def _spin_energy(magnet: DMSquare, atoms: Atoms) -> float:
    """Energy of the spins per moment, meV."""
    terms = magnet.terms(magnet.batch([atoms]))
    spins = sum(float(value) for name, value in terms.items() if name != "lattice")
    return spins / (len(atoms) // 2) / MEV


# === what holds for every reference ===


@pytest.mark.parametrize("magnet", [SQUARE, UNIAXIAL], ids=["bare", "uniaxial"])
def test_labels_are_derivatives(magnet: DMSquare) -> None:
    checks.check_derivatives(magnet, _frame())


@pytest.mark.parametrize("magnet", [SQUARE, UNIAXIAL], ids=["bare", "uniaxial"])
def test_symmetries(magnet: DMSquare) -> None:
    checks.check_symmetries(magnet, _frame())


def test_without_moments() -> None:
    checks.check_without_moments(SQUARE, _frame())


def test_frames() -> None:
    checks.check_frames(SQUARE)


def test_registry_and_description() -> None:
    assert reference("dm-square") == SQUARE
    assert "uniaxial" in SQUARE.describe()


# === controls ===


def test_spins_alone_may_not_be_rotated() -> None:
    turned = checks.moved(_frame(), spins=checks.ROTATION)
    change = _spin_energy(SQUARE, turned) - _spin_energy(SQUARE, _frame())
    assert abs(change) > 0.01
    without = DMSquare(replace(SQUARE.parameters, dm=0.0))
    assert _spin_energy(without, turned) == pytest.approx(
        _spin_energy(without, _frame()), rel=1e-12
    )


def test_substrate_above_turns_the_sense_of_the_spiral() -> None:
    # A mirror through the layer takes the substrate to the other side. With the spins
    # left as they are the DM energy changes its sign.
    crystal = SQUARE.structure((12, 12, 1))
    mirrored = checks.moved(crystal, lattice=np.diag([1.0, 1.0, -1.0]))
    below, above = (
        float(SQUARE.terms(SQUARE.batch([atoms]))["dm"])
        for atoms in (crystal, mirrored)
    )
    assert below < -0.05
    assert above == pytest.approx(-below, rel=1e-12)


# === couplings ===


def test_exchange_is_the_second_difference_of_the_energy() -> None:
    frame = UNIAXIAL.generate(1, seed=2, repeat=(3, 3, 1), displacement=0.1)[0]
    couplings = UNIAXIAL.couplings(frame)
    images = (couplings.pairs == [0, 2]).all(axis=1)
    assert images.any()
    np.testing.assert_allclose(
        couplings.exchange[images].sum(axis=0),
        checks.four_states(UNIAXIAL, frame, 2.0, 0, 2),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        couplings.anisotropy[0], checks.one_spin(UNIAXIAL, frame, 2.0, 0), atol=1e-12
    )


def test_undisplaced_couplings_are_the_textbook_ones() -> None:
    couplings = UNIAXIAL.couplings(UNIAXIAL.structure((3, 3, 1)))
    assert len(couplings.pairs) == 4 * 9
    direction = couplings.vectors / 2.715
    for r, tensor in zip(direction, couplings.exchange / MEV, strict=True):
        np.testing.assert_allclose(np.diag(tensor), -1.0, atol=1e-12)
        odd = (tensor - tensor.T) / 2
        d = np.array([odd[1, 2], odd[2, 0], odd[0, 1]])
        expected = 0.8164966 * np.cross([0.0, 0.0, 1.0], r)
        np.testing.assert_allclose(d, expected, atol=1e-6)
    # K (e·z)² without its mean.
    expected = -0.5 * np.diag([-1 / 3, -1 / 3, 2 / 3])
    np.testing.assert_allclose(couplings.anisotropy[0] / MEV, expected, atol=1e-12)


# === the spiral ===


def test_spiral_has_the_published_energy_and_feels_no_field() -> None:
    crystal = SQUARE.structure((12, 12, 1))
    assert _spin_energy(SQUARE, crystal) == pytest.approx(-2.309401, abs=1e-6)
    moments = crystal.arrays[MAGNETIC_MOMENTS_KEY]
    forces = SQUARE.evaluate(crystal)["magnetic_forces"]
    np.testing.assert_allclose(np.cross(moments, forces), 0.0, atol=1e-15)
    # 30° from site to site along either axis: 12 cells of two atoms per row.
    e = moments[::2].reshape(12, 12, 3) / 2.0
    for axis in (0, 1):
        cosine = np.sum(e * np.roll(e, 1, axis=axis), axis=2)
        np.testing.assert_allclose(cosine, np.cos(np.pi / 6), atol=1e-12)


@pytest.mark.parametrize(
    ("repeat", "turns", "sense", "expected"),
    [
        ((12, 12), (1, -1), 1, -2.309401),  # the other diagonal
        ((12, 12), (2, 2), 1, -2.0),  # 60°: −2 (cos 60° + sin 60°/√3)
        ((9, 1), (1, 0), 1, -2.290878),  # (10) at 40°, next to its best, 39.2°
        ((12, 12), (0, 0), 1, -2.0),  # ferromagnet
        ((12, 12), (1, 1), -1, -1.154701),  # the wrong sense: −√3 + 1/√3
    ],
)
def test_other_spirals(
    repeat: tuple[int, int], turns: tuple[int, int], sense: int, expected: float
) -> None:
    crystal = SQUARE.structure((*repeat, 1))
    steps = sense * np.indices(repeat).reshape(2, -1).T
    moments = np.zeros((len(crystal), 3))
    moments[::2] = 2.0 * SQUARE.spiral(steps, 2 * np.pi * np.array(turns) / repeat)
    energy = _spin_energy(SQUARE, checks.with_moments(crystal, moments))
    assert energy == pytest.approx(expected, abs=1e-6)


def test_no_spiral_is_lower() -> None:
    # Best energy of a planar spiral with wave vector q: J(q) − |D(q)|, by its pairs.
    couplings = SQUARE.couplings(SQUARE.structure((3, 3, 1)))
    first = couplings.pairs[:, 0] == 0
    tensors = couplings.exchange[first] / MEV
    steps = couplings.vectors[first][:, :2] / 2.715
    isotropic = np.trace(tensors, axis1=1, axis2=2) / 3
    odd = (tensors - tensors.transpose(0, 2, 1)) / 2
    d = np.stack([odd[:, 1, 2], odd[:, 2, 0], odd[:, 0, 1]], axis=1)
    grid = np.deg2rad(np.arange(0, 360, 5))
    q = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    phase = q @ steps.T
    energies = np.cos(phase) @ isotropic / 2 - np.linalg.norm(
        np.sin(phase) @ d / 2, axis=1
    )
    assert energies.min() == pytest.approx(-2.309401, abs=1e-6)
    best = np.rad2deg(q[energies < energies.min() + 1e-9])
    assert {30.0, 330.0} == set(np.round(best, 6).ravel())


# === the lattice ===


def test_undisplaced_lattice_is_stable_and_nearly_at_rest() -> None:
    crystal = SQUARE.structure((3, 3, 1))
    labels = SQUARE.evaluate(crystal)
    np.testing.assert_allclose(labels["forces"], 0.0, atol=1e-12)
    # The bonds are at rest; J(r) pulls with 1 meV per 0.5 Å.
    stress = labels["stress"] * crystal.get_volume() / 9
    np.testing.assert_allclose(stress, np.diag([2.715, 2.715, 0]) * 2 * MEV, atol=1e-8)
    checks.check_stable(SQUARE, crystal, softest=0.1)


def test_couplings_end_smoothly_before_the_second_neighbours() -> None:
    sizes = []
    for gap in (1e-2, 1e-3):
        pair = Atoms("Fe2Ir", positions=[[0, 0, 0], [3.6 - gap, 0, 0], [1.8, 0, -1.7]])
        couplings = SQUARE.couplings(checks.with_moments(pair, np.ones((3, 3))))
        sizes.append(np.abs(couplings.exchange).max())
    assert sizes[1] / sizes[0] == pytest.approx(1e-3, rel=0.1)
