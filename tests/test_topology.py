"""Triangles of layers and the Berg–Lüscher charge of textures on them."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from spin_thermodynamics import table
from spinff import SpinffError, _core
from spinff.spins import SpinSystem, layer_triangles

Array = NDArray[np.float64]
A = 2.5
"""Å, the lattice constant."""


def square(n: int = 24) -> Atoms:
    return Atoms("X", cell=[A, A, 15.0], pbc=[True, True, False]) * (n, n, 1)


def triangular(n: int = 24) -> Atoms:
    cell = [[A, 0, 0], [-A / 2, A * np.sqrt(0.75), 0], [0, 0, 15.0]]
    return Atoms("X", cell=cell, pbc=[True, True, False]) * (n, n, 1)


def honeycomb(n: int = 12) -> Atoms:
    cell = [[A, 0, 0], [-A / 2, A * np.sqrt(0.75), 0], [0, 0, 15.0]]
    places = [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]]
    atoms = Atoms("XX", scaled_positions=places, cell=cell, pbc=[True, True, False])
    return atoms * (n, n, 1)


def rattled() -> Atoms:
    atoms = square(16)
    atoms.positions += np.random.default_rng(1).normal(scale=0.2, size=(256, 3))
    return atoms


LAYERS = {f.__name__: f for f in (square, triangular, honeycomb, rattled)}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Atoms:
    return LAYERS[request.param]()


def normals(atoms: Atoms, triangles: NDArray[np.int32]) -> Array:
    """z of (r_2 − r_1) × (r_3 − r_1) of the nearest images."""
    r = atoms.positions[triangles]
    edges = np.stack([r[:, 1] - r[:, 0], r[:, 2] - r[:, 0]])
    fractional = edges @ np.linalg.inv(atoms.cell.array)
    fractional[..., :2] -= np.rint(fractional[..., :2])
    return np.cross(*(fractional @ atoms.cell.array))[:, 2]


def test_triangles_tile_the_layer(layer: Atoms) -> None:
    triangles = layer_triangles(layer)
    assert len(triangles) == 2 * len(layer)
    areas = normals(layer, triangles) / 2
    assert np.all(areas > 0)
    area = np.linalg.norm(np.cross(*layer.cell.array[:2]))
    assert areas.sum() == pytest.approx(area)
    edges = Counter((t[k], t[k - 2]) for t in triangles.tolist() for k in range(3))
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)


def test_layer_in_another_plane_and_of_some_atoms() -> None:
    atoms = square(6)
    expected = layer_triangles(atoms)
    upper = atoms.copy()
    upper.positions += [A / 2, A / 2, 2.0]
    both = atoms + upper
    got = layer_triangles(both, indices=np.arange(36))
    np.testing.assert_array_equal(got, expected)
    assert set(layer_triangles(both, range(36, 72)).ravel()) == {*range(36, 72)}
    mask = np.arange(72) >= 36
    np.testing.assert_array_equal(layer_triangles(both, mask), expected + 36)
    # z, x, y in the place of x, y, z: the same layer seen along x
    turned = Atoms(
        "X36",
        positions=atoms.positions[:, [2, 0, 1]],
        cell=atoms.cell.array[[2, 0, 1]][:, [2, 0, 1]],
        pbc=[False, True, True],
    )
    np.testing.assert_array_equal(layer_triangles(turned, axis=0), expected)


@pytest.mark.parametrize("periodic", [(False, False), (True, False)])
def test_open_layer(periodic: tuple[bool, bool]) -> None:
    atoms = square(5)
    atoms.pbc = [*periodic, False]
    assert len(layer_triangles(atoms)) == 2 * 4 * (5 if periodic[0] else 4)


@pytest.mark.parametrize("n", [1, 2])
def test_cells_that_are_too_small(n: int) -> None:
    if n == 2:  # distinct atoms, though each edge meets its atoms twice
        assert len(layer_triangles(square(2))) == 8
        return
    with pytest.raises(SpinffError, match="an atom and its own image for 1 atoms"):
        layer_triangles(square(1))


def test_no_layer_is_a_sentence() -> None:
    atoms = square(4)
    with pytest.raises(SpinffError, match="there is no layer, got 0 atoms"):
        layer_triangles(atoms, indices=[])
    with pytest.raises(SpinffError, match="'indices' are wrong, got "):
        layer_triangles(atoms, indices=[3, 16])
    with pytest.raises(SpinffError, match="cannot be triangulated"):
        layer_triangles(square(4) * (1, 1, 2))
    atoms.cell[0] = 0
    with pytest.raises(SpinffError, match="an area of 0 Å² between"):
        layer_triangles(atoms)


# === charges ===


def skyrmion(atoms: Atoms, winding: int = 1) -> Array:
    """Core along −z in the middle, +z from the radius R on; azimuth winding·φ."""
    centre = atoms.cell.array[:2].sum(axis=0) / 2 + [0.1, 0.2, 0.0]  # off the atoms
    x, y, _ = (atoms.positions - centre).T
    radius = 0.4 * np.linalg.norm(atoms.cell.array[1]) * np.sqrt(0.75)
    theta = np.pi * np.clip(1 - np.hypot(x, y) / radius, 0, 1)
    phi = winding * np.arctan2(y, x) + 0.3
    return np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)],
        axis=1,
    )


@pytest.mark.parametrize("winding", [1, -1, 2])
def test_skyrmion(layer: Atoms, winding: int) -> None:
    triangles, spins = layer_triangles(layer), skyrmion(layer, winding)
    charge = _core.topological_charge(triangles, spins)
    assert charge == pytest.approx(-winding, abs=1e-10)
    reversed_charge = _core.topological_charge(triangles, -spins)  # time reversal
    assert reversed_charge == pytest.approx(winding, abs=1e-10)
    mirrored = spins * [1, 1, -1]
    assert _core.topological_charge(triangles, mirrored) == pytest.approx(winding)
    angles = _core.solid_angles(triangles, spins)
    assert angles.sum() == pytest.approx(4 * np.pi * charge)
    assert np.abs(angles).max() < np.pi  # fine enough for the lattice


def test_ferromagnet(layer: Atoms) -> None:
    spins = np.tile([0.0, 0.6, 0.8], (len(layer), 1))
    assert _core.topological_charge(layer_triangles(layer), spins) == 0.0


def smooth_random_field(atoms: Atoms, seed: int) -> Array:
    """Unit vectors along a sum of the longest waves of the layer."""
    random = np.random.default_rng(seed)
    u, v = 2 * np.pi * atoms.get_scaled_positions()[:, :2].T
    field = np.zeros((len(atoms), 3))
    for h in range(-2, 3):
        for k in range(-2, 3):
            wave = h * u + k * v
            field += np.outer(np.cos(wave), random.normal(size=3))
            field += np.outer(np.sin(wave), random.normal(size=3))
    return field / np.linalg.norm(field, axis=1, keepdims=True)


def test_smooth_random_fields_on_a_torus_have_whole_charges() -> None:
    atoms = square(40)
    triangles = layer_triangles(atoms)
    charges = np.array(
        [
            _core.topological_charge(triangles, smooth_random_field(atoms, seed))
            for seed in range(8)
        ]
    )
    np.testing.assert_allclose(charges, np.rint(charges), atol=1e-9)
    assert len(set(np.rint(charges))) > 2  # not all of them nothing


def test_of_a_system() -> None:
    atoms = triangular()
    system = SpinSystem.from_table(table(), atoms)
    triangles = layer_triangles(system.atoms)
    assert system.topological_charge(triangles) == 0.0
    system.directions = skyrmion(atoms)
    assert system.topological_charge(triangles) == pytest.approx(-1.0)
    system.directions = np.where(np.arange(len(atoms))[:, None] == 7, -1, 1) * [0, 0, 1]
    with pytest.raises(SpinffError, match="go round a great circle, got"):
        system.topological_charge(triangles)


WRONG: dict[str, Callable[[NDArray[np.int32], Array], float]] = {
    "names a missing atom": lambda t, e: _core.topological_charge(t + 100, e),
    "is degenerate, got an atom twice": lambda t, e: _core.topological_charge(0 * t, e),
    "has a spin of wrong length": lambda t, e: _core.topological_charge(t, 2 * e),
    "array 'triangles' has the wrong shape": lambda t, e: _core.topological_charge(
        t[:, :2], e
    ),
}


@pytest.mark.parametrize("part", WRONG)
def test_bad_triangles(part: str) -> None:
    atoms = square(4)
    with pytest.raises(SpinffError, match=part):
        WRONG[part](layer_triangles(atoms), np.tile([0.0, 0.0, 1.0], (16, 1)))
