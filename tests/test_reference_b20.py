"""The B20 reference: symmetries, counted terms, and what its energy is made of."""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

import reference_checks as checks
from spinff.data.references import reference
from spinff.data.references.b20 import (
    B20,
    KINDS,
    SYMBOLS,
    B20Parameters,
    is_own_mirror_image,
    legendre,
)
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]
MODEL = B20()
PAPER_TERMS = 4149


@cache
def _frame() -> Atoms:
    """A displaced and strained cell with random spins."""
    return MODEL.generate(1, seed=11, displacement=0.1, strain=0.02)[0]


# === what holds for every reference ===


def test_labels_are_derivatives() -> None:
    checks.check_derivatives(MODEL, _frame())


def test_symmetries() -> None:
    checks.check_symmetries(MODEL, _frame())


def test_without_moments() -> None:
    checks.check_without_moments(MODEL, _frame())


def test_frames() -> None:
    checks.check_frames(MODEL)


# === negative controls: operations that are no symmetry must show ===

MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.mark.parametrize(
    ("lattice", "spins"),
    [
        pytest.param(None, checks.ROTATION, id="rotation of the spins alone"),
        pytest.param(checks.ROTATION, None, id="rotation of the lattice alone"),
        pytest.param(MIRROR, None, id="mirror of the lattice alone"),
    ],
)
def test_what_is_no_symmetry_shows(lattice: Array | None, spins: Array | None) -> None:
    before, after = checks.energies(
        MODEL, [_frame(), checks.moved(_frame(), lattice, spins)]
    )
    assert abs(after - before) > 1e-3


def test_the_other_enantiomer_has_the_energy_of_mirrored_axial_spins() -> None:
    axial = np.linalg.det(MIRROR) * MIRROR
    before, after = checks.energies(
        MODEL, [_frame(), checks.moved(_frame(), MIRROR, axial)]
    )
    assert after == pytest.approx(before, rel=1e-12)


# === the terms ===


def test_more_terms_than_the_paper_are_counted_and_printed() -> None:
    text = MODEL.describe()
    by_class = [line.split() for line in text.splitlines()[3:10]]
    assert [(int(body), int(spin)) for body, spin, _ in by_class] == [
        *[(1, 0), (2, 0), (2, 2), (2, 4)],
        *[(3, 0), (3, 2), (3, 4)],
    ]
    assert sum(int(count) for _, _, count in by_class) == MODEL.num_terms()
    assert sum(MODEL.num_terms(kind) for kind in KINDS) == MODEL.num_terms()
    assert MODEL.num_terms() >= PAPER_TERMS
    assert f"b20: {MODEL.num_terms()} interactions" in text


def test_coefficients_lie_between_0_and_1_ev() -> None:
    drawn = []
    for interaction, table in zip(MODEL.interactions, MODEL.coefficients, strict=True):
        kind = interaction.kind
        assert (table[~interaction.counted] == 0).all()
        norm = kind.scale / MODEL.num_terms(kind)
        drawn += (table[interaction.counted] / norm).tolist()
    assert len(drawn) == MODEL.num_terms()
    assert 0 < min(drawn) < 0.001
    assert 0.999 < max(drawn) < 1
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.02)


def test_every_invariant_holds_even_numbers_of_spins_and_of_directions() -> None:
    for kind in KINDS:
        for species, names in kind.invariants.items():
            for name in names:
                assert sum(letter in "abc" for letter in name) == kind.order[1]
                # w = u × v is even by itself.
                assert sum(letter in "uv" for letter in name) % 2 == 0
                carriers = {"abc"[site] for site, type_ in enumerate(species) if type_}
                assert not carriers & set(name), "a spin on Ge"


def _kinds_of(species: tuple[int, ...]) -> list[str]:
    return [name for kind in KINDS for name in kind.invariants.get(species, ())]


@pytest.mark.parametrize(
    "species", sorted({s for kind in KINDS for s in kind.invariants if len(s) == 3})
)
def test_no_term_is_a_sum_of_others(species: tuple[int, ...]) -> None:
    # Fewer radial and angular functions than in the model, the same invariants.
    model = B20(B20Parameters(centres=(2.2, 3.1), legendre=2))
    columns = sum(i.num_terms for i in model.interactions if i.species == species)
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(2 * columns):
        r = rng.normal(size=(3, 3))
        r *= rng.uniform(2.0, 3.5, size=(3, 1)) / np.linalg.norm(r, axis=1)[:, None]
        r[0] = 0.0
        atoms = Atoms([SYMBOLS[type_] for type_ in species], positions=r)
        e = rng.normal(size=(3, 3))
        e /= np.linalg.norm(e, axis=1)[:, None]
        frames.append(checks.with_moments(atoms, e))
    features = _terms(model, frames, species)
    features /= np.linalg.norm(features, axis=0)
    singular = np.linalg.svd(features, compute_uv=False)
    assert features.shape == (2 * columns, columns)
    assert singular[-1] > 1e-7 * singular[0]


def _terms(model: B20, frames: list[Atoms], species: tuple[int, ...]) -> Array:
    """f_t of every term of one choice of species, centre atom 0, (F, terms)."""
    columns = []
    for atoms in frames:
        row: dict[tuple[str, int, int, int], float] = {}
        for j, k in ((1, 2), (2, 1)):
            if (0, *_types(atoms, j, k)) != (0, *species[1:]):
                continue
            geometry, letters = _triplet(model, atoms, 0, j, k)
            for name in _kinds_of(species):
                value = _invariant(name, letters)
                for index, function in np.ndenumerate(geometry):
                    key = (name, *index)
                    row[key] = row.get(key, 0.0) + function * value
        counted = [
            row[(interaction.invariant, *index)]
            for interaction in model.interactions
            if interaction.species == species
            for index in interaction.counted.nonzero().tolist()
        ]
        columns.append(counted)
    return np.array(columns)


def test_mirror_images() -> None:
    assert is_own_mirror_image("")
    assert is_own_mirror_image("bcw")
    assert is_own_mirror_image("au av bu cv")
    assert not is_own_mirror_image("abw")
    assert not is_own_mirror_image("bu cu")


def test_legendre_polynomials() -> None:
    x = torch.tensor([0.3], dtype=torch.float64)
    expected = [1.0, 0.3, (3 * 0.09 - 1) / 2, (5 * 0.027 - 0.9) / 2]
    np.testing.assert_allclose(legendre(x, 4)[0], expected)


# === the energy, term by term ===


def _types(atoms: Atoms, *indices: int) -> tuple[int, ...]:
    return tuple(SYMBOLS.index(atoms.symbols[i]) for i in indices)


def _radial(model: B20, r: float) -> Array:
    p = model.parameters
    cut = (1 - (r / p.cutoff) ** 2) / (1 - (p.unit_distance / p.cutoff) ** 2)
    return np.exp(-(((r - np.array(p.centres)) / p.width) ** 2)) * max(cut, 0.0) ** 3


def _triplet(
    model: B20, atoms: Atoms, i: int, j: int, k: int
) -> tuple[Array, dict[str, Array]]:
    """φ_n φ_m P_l, (n, m, l), and the letters of one triplet of an open cluster."""
    r_ij, r_ik = (atoms.positions[other] - atoms.positions[i] for other in (j, k))
    u, v = r_ij / np.linalg.norm(r_ij), r_ik / np.linalg.norm(r_ik)
    polynomials = [np.polynomial.Legendre.basis(l)(u @ v) for l in (0, 1, 2)]
    geometry = np.einsum(
        "n,m,l->nml",
        _radial(model, float(np.linalg.norm(r_ij))),
        _radial(model, float(np.linalg.norm(r_ik))),
        np.array(polynomials[: model.parameters.legendre]),
    )
    moments = atoms.arrays[MAGNETIC_MOMENTS_KEY]
    a, b, c = (moments[n] / (np.linalg.norm(moments[n]) or 1.0) for n in (i, j, k))
    return geometry, {"a": a, "b": b, "c": c, "u": u, "v": v, "w": np.cross(u, v)}


def _invariant(name: str, letters: dict[str, Array]) -> float:
    value = 1.0
    for factor in name.split():
        first, second, *third = (letters[letter] for letter in factor)
        value *= float(np.cross(first, second) @ third[0] if third else first @ second)
    return value


def _slow_energy(atoms: Atoms) -> float:
    """The energy of an open cluster by loops over atoms, pairs and triplets."""
    clusters = [c for size in (1, 2, 3) for c in permutations(range(len(atoms)), size)]
    energy = 0.0
    for cluster in clusters:
        if len(cluster) == 3:
            geometry, letters = _triplet(MODEL, atoms, *cluster)
        elif len(cluster) == 2:
            i, j = cluster
            _, letters = _triplet(MODEL, atoms, i, j, j)
            r = float(np.linalg.norm(atoms.positions[j] - atoms.positions[i]))
            geometry = _radial(MODEL, r)[:, None, None]
        else:
            geometry, letters = np.ones((1, 1, 1)), {}
        for term, table in zip(MODEL.interactions, MODEL.coefficients, strict=True):
            if term.species == _types(atoms, *cluster):
                value = _invariant(term.invariant, letters)
                energy += float((table.numpy() * geometry).sum()) * value
    return energy


def test_energy_is_the_sum_over_clusters() -> None:
    rng = np.random.default_rng(8)
    positions = [[0, 0, 0], [2.6, 0, 0], [0.4, 2.4, 0.3], [1.2, 1.1, 2.3], [3, 2, 2]]
    atoms = Atoms("MnGeMnMnGe", positions=positions)
    atoms = checks.with_moments(atoms, rng.normal(size=(5, 3)))
    atoms.arrays[MAGNETIC_MOMENTS_KEY][[1, 4]] = 0.0
    assert MODEL.evaluate(atoms)["energy"] == pytest.approx(
        _slow_energy(atoms), rel=1e-12
    )


@pytest.mark.parametrize("symbols", ["MnMnMn", "MnGeMn", "GeMnGe", "GeGeGe"])
def test_forces_vanish_with_the_square_of_the_gap_at_the_cutoff(symbols: str) -> None:
    forces = []
    for distance in (1e-3, 1e-4, -1.0):
        atoms = Atoms(symbols, positions=np.zeros((3, 3)))
        atoms.positions[1] = [0.0, 2.5, 0.0]
        atoms.positions[2] = [MODEL.cutoff - distance, 0.0, 0.0]
        moments = np.array([[2.0, 0, 1], [0, 2.0, 1], [1, 0, 2.0]])
        forces.append(MODEL.evaluate(checks.with_moments(atoms, moments))["forces"][0])
    near, nearer = (np.linalg.norm(force - forces[2]) for force in forces[:2])
    assert near > 0
    assert nearer / near == pytest.approx(0.01, rel=0.05)


# === crystal and frames ===


def test_structure_is_b20() -> None:
    cell = MODEL.structure((1, 1, 1))
    assert cell.symbols.get_chemical_formula() == "Ge4Mn4"
    # The screw axis and the threefold axis that generate P2_1 3, on both species.
    for species in SYMBOLS:
        x, y, z = cell.get_scaled_positions()[cell.symbols == species].T
        sites = np.stack([x, y, z], axis=1)
        for image in ((0.5 - x, -y, 0.5 + z), (z, x, y)):
            apart = np.stack(image, axis=1)[:, None] - sites
            apart = np.abs(apart - np.rint(apart)).max(axis=2)
            np.testing.assert_allclose(np.sort(apart, axis=1)[:, 0], 0.0, atol=1e-12)
            assert apart.shape[0] == len(set(apart.argmin(axis=1))) == 4
    i, j, r = neighbor_list("ijd", cell, 3.0)
    shells = {
        (a, b): np.unique(r[(cell.symbols[i] == a) & (cell.symbols[j] == b)].round(3))
        for a in SYMBOLS
        for b in SYMBOLS
    }
    np.testing.assert_allclose(shells["Mn", "Mn"], [2.942])
    np.testing.assert_allclose(shells["Mn", "Ge"], [2.454, 2.506, 2.679])
    np.testing.assert_allclose(shells["Ge", "Ge"], [2.969])
    moments = cell.arrays[MAGNETIC_MOMENTS_KEY]
    np.testing.assert_allclose(np.linalg.norm(moments, axis=1), [2.0] * 4 + [0.0] * 4)


def test_ge_has_no_moment_and_magnetic_forces_are_transverse() -> None:
    frame = MODEL.generate(1, seed=0, repeat=(2, 1, 1))[0]
    moments = frame.arrays[MAGNETIC_MOMENTS_KEY]
    forces = frame.arrays[MAGNETIC_FORCES_KEY]
    ge = np.asarray(frame.symbols == "Ge")
    np.testing.assert_allclose(np.linalg.norm(moments[~ge], axis=1), 2.0)
    np.testing.assert_array_equal(moments[ge], 0.0)
    np.testing.assert_array_equal(forces[ge], 0.0)
    np.testing.assert_allclose((moments * forces).sum(axis=1), 0.0, atol=1e-14)
    assert np.abs(forces[~ge]).max() > 1e-3


def test_disorder_is_a_share() -> None:
    ordered = MODEL.generate(1, seed=2, disorder=0.0)[0]
    moments = ordered.arrays[MAGNETIC_MOMENTS_KEY][:4]
    np.testing.assert_allclose(moments, np.tile(moments[0], (4, 1)))
    with pytest.raises(SpinffError, match=r"too much disorder, got 1\.5"):
        MODEL.generate(1, seed=2, disorder=1.5)


def test_directions_are_uniform_on_the_sphere() -> None:
    rng = np.random.default_rng(0)
    cell = MODEL.structure((5, 5, 5))
    z = MODEL.random_moments(rng, cell, 1.0)[np.asarray(cell.symbols == "Mn"), 2] / 2
    assert np.mean(z) == pytest.approx(0.0, abs=0.08)
    assert np.mean(z**2) == pytest.approx(1 / 3, abs=0.04)


# === what a model has to learn ===


def _spin_draws(cells: list[Atoms], draws: int) -> tuple[Array, Array]:
    """Energies (cells, draws) and directions (cells, draws, 4, 3) of random spins."""
    rng = np.random.default_rng(7)
    frames = [
        checks.with_moments(cell, MODEL.random_moments(rng, cell, 1.0))
        for cell in cells
        for _ in range(draws)
    ]
    e = np.array([f.arrays[MAGNETIC_MOMENTS_KEY][:4] / 2.0 for f in frames])
    shape = (len(cells), draws)
    with torch.no_grad():
        energies = MODEL.energy(MODEL.batch(frames)).numpy()
    return energies.reshape(shape), e.reshape(*shape, 4, 3)


def test_most_of_the_variance_is_of_the_spins() -> None:
    energies, _ = _spin_draws(MODEL.generate(30, seed=4), 12)
    spin = energies.var(axis=1, ddof=1).mean()
    geometry = energies.mean(axis=1).var(ddof=1) - spin / energies.shape[1]
    assert 0.6 < spin / (spin + geometry) < 0.9


def test_pair_couplings_explain_much_and_not_all() -> None:
    energies, e = _spin_draws([MODEL.structure((1, 1, 1))], 500)
    y, e = energies[0], e[0]
    pairs = [(i, j) for i in range(4) for j in range(i)]
    tensors = np.einsum("fia,fjb->fijab", e, e)
    traceless = [1, 2, 5, 0, 4]  # entries xy, xz, yz, xx and yy of e eᵀ
    features = [np.ones((len(y), 1))]
    features += [tensors[:, i, j].reshape(-1, 9) for i, j in pairs]
    features += [tensors[:, i, i].reshape(-1, 9)[:, traceless] for i in range(4)]
    features += [np.square((e[:, i] * e[:, j]).sum(1, keepdims=True)) for i, j in pairs]
    x = np.concatenate(features, axis=1)
    weights = np.linalg.lstsq(x[:350], y[:350], rcond=None)[0]
    left = np.var(y[350:] - x[350:] @ weights) / np.var(y[350:])
    assert x.shape[1] == 1 + 54 + 20 + 6
    assert 0.02 < left < 0.1


# === names and bad input ===


def test_registered() -> None:
    assert isinstance(reference("b20"), B20)


def test_foreign_species() -> None:
    atoms = checks.with_moments(Atoms("Fe"), np.zeros((1, 3)))
    with pytest.raises(SpinffError, match=r"unknown species, got 'Fe', expected Mn or"):
        MODEL.evaluate(atoms)
