"""CrI3 and CrTe2: derivatives, symmetries, published couplings, ground states."""

from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

import reference_checks as checks
from spinff.data.references import reference
from spinff.data.references.cri3 import (
    CRI3,
    CRTE2,
    SPIN_SQUARED,
    cri3,
    crte2,
    named_couplings,
)
from spinff.data.references.layered import Couplings, LayeredMagnet
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]
MAGNETS = {"cri3": cri3(), "crte2": crte2()}
MEV = 1e-3
both = pytest.mark.parametrize("name", MAGNETS)


@cache
def _frame(name: str) -> Atoms:
    """A displaced, strained and spin-disordered cell."""
    repeat = (2, 1, 1) if name == "cri3" else (3, 2, 1)
    return MAGNETS[name].generate(
        1, seed=11, repeat=repeat, displacement=0.1, strain=0.02
    )[0]


def _magnetic(atoms: Atoms) -> NDArray[np.bool_]:
    return np.asarray(atoms.symbols == "Cr")


def _term(magnet: LayeredMagnet, atoms: Atoms, term: str) -> float:
    return float(magnet.terms(magnet.batch([atoms]))[term])


# === what holds for every reference ===


@both
def test_labels_are_derivatives(name: str) -> None:
    checks.check_derivatives(MAGNETS[name], _frame(name))


@both
def test_symmetries(name: str) -> None:
    checks.check_symmetries(MAGNETS[name], _frame(name))


@both
def test_without_moments(name: str) -> None:
    checks.check_without_moments(MAGNETS[name], _frame(name))


@both
def test_frames(name: str) -> None:
    checks.check_frames(MAGNETS[name])


@both
def test_frames_are_strained_in_the_plane_only(name: str) -> None:
    frame = MAGNETS[name].generate(1, seed=0, displacement=0.0)[0]
    ideal = MAGNETS[name].structure(MAGNETS[name].sampling.repeat)
    np.testing.assert_allclose(frame.cell[2], ideal.cell[2])
    np.testing.assert_allclose(frame.positions[:, 2], ideal.positions[:, 2])
    assert np.abs(frame.cell[:2, :2] - ideal.cell[:2, :2]).max() > 0.01


@both
def test_frames_reach_from_collinear_to_random(name: str) -> None:
    magnet = MAGNETS[name]
    crystal = magnet.structure((3, 3, 1))
    order = []
    for k in range(100):
        rng = np.random.default_rng(k)
        e = magnet.random_moments(rng, crystal, 1.0)[_magnetic(crystal)] / 3.0
        np.testing.assert_allclose(np.linalg.norm(e, axis=1), 1.0)
        # Largest eigenvalue of the mean of e eᵀ: 1 collinear, near 1/3 random.
        order.append(np.linalg.eigvalsh(e.T @ e / len(e))[-1])
    assert max(order) > 0.99
    assert min(order) < 0.55


def test_magnetic_forces_are_transverse_and_on_ions_only() -> None:
    frame = _frame("cri3")
    forces = frame.arrays[MAGNETIC_FORCES_KEY]
    moments = frame.arrays[MAGNETIC_MOMENTS_KEY]
    np.testing.assert_allclose(np.sum(forces * moments, axis=1), 0.0, atol=1e-15)
    np.testing.assert_array_equal(forces[~_magnetic(frame)], 0.0)


def test_registry_and_description() -> None:
    assert reference("cri3").parameters == CRI3
    assert reference("crte2").parameters == CRTE2
    assert "kitaev" in reference("cri3").describe()


def test_cri3_without_its_three_spin_term_has_couplings_for_its_whole_energy() -> None:
    pairs, frame = reference("cri3-pairs"), _frame("cri3")
    assert pairs.name == "cri3-pairs"
    terms = MAGNETS["cri3"].terms(MAGNETS["cri3"].batch([frame]))
    rest = sum(float(value) for name, value in terms.items() if name != "three-spin")
    assert pairs.evaluate(frame)["energy"] == pytest.approx(rest, rel=1e-13)


# === controls ===


@both
def test_spins_alone_may_not_be_rotated(name: str) -> None:
    frame = _frame(name)
    turned = checks.moved(frame, spins=checks.ROTATION)
    magnet = MAGNETS[name]
    change = magnet.evaluate(turned)["energy"] - magnet.evaluate(frame)["energy"]
    assert abs(change) > 1e-4
    without = LayeredMagnet(
        replace(
            magnet.parameters,
            kitaev=0.0,
            dm_near=0.0,
            dm_second=0.0,
            anisotropy=0.0,
            ligand_field=0.0,
        )
    )
    assert without.evaluate(turned)["energy"] == pytest.approx(
        without.evaluate(frame)["energy"], rel=1e-13
    )


@both
def test_every_term_acts_on_the_spins_of_a_distorted_frame(name: str) -> None:
    magnet = MAGNETS[name]
    terms = magnet.terms(magnet.batch([_frame(name)]))
    absent = {"ring"} if name == "cri3" else set()
    for term, value in terms.items():
        assert (abs(float(value)) > 1e-5) == (term not in absent), term
    energy = magnet.evaluate(_frame(name))["energy"]
    assert sum(float(value) for value in terms.values()) == pytest.approx(energy)


# === couplings ===


@both
def test_exchange_is_the_second_difference_of_the_energy(name: str) -> None:
    # All terms on: two spins alone see neither biquadratic nor many-spin terms there.
    magnet, frame = MAGNETS[name], _frame(name)
    couplings = magnet.couplings(frame)
    ions = np.flatnonzero(_magnetic(frame))
    for i, j in [(ions[0], ions[1]), (ions[3], ions[0])]:
        images = (couplings.pairs == [i, j]).all(axis=1)
        assert images.any()
        np.testing.assert_allclose(
            couplings.exchange[images].sum(axis=0),
            checks.four_states(magnet, frame, 3.0, i, j),
            atol=1e-12,
        )


@both
def test_anisotropy_is_the_energy_of_one_spin(name: str) -> None:
    # A cell without an image of the ion within the cutoff.
    magnet = MAGNETS[name]
    frame = magnet.generate(1, seed=2, repeat=(3, 3, 1), displacement=0.1)[0]
    i = int(np.flatnonzero(_magnetic(frame))[-1])
    expected = magnet.couplings(frame).anisotropy[i]
    assert np.trace(expected) == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(
        checks.one_spin(magnet, frame, 3.0, i), expected, atol=1e-11
    )


@both
def test_couplings_give_the_energy_but_for_many_spins(name: str) -> None:
    magnet, frame = MAGNETS[name], _frame(name)
    c = magnet.couplings(frame)
    e = frame.arrays[MAGNETIC_MOMENTS_KEY] / 3.0
    i, j = c.pairs.T
    bilinear = np.einsum("pa,pab,pb->", e[i], c.exchange, e[j]) / 2
    quadratic = np.sum(c.biquadratic * np.sum(e[i] * e[j], axis=1) ** 2) / 2
    single = np.einsum("na,nab,nb->", e, c.anisotropy, e)
    terms = {k: float(v) for k, v in magnet.terms(magnet.batch([frame])).items()}
    assert bilinear == pytest.approx(terms["exchange"] + terms["kitaev"] + terms["dm"])
    assert quadratic == pytest.approx(terms["biquadratic"])
    assert single == pytest.approx(terms["anisotropy"])


@both
def test_exchange_of_the_reversed_pair_is_the_transpose(name: str) -> None:
    c = MAGNETS[name].couplings(_frame(name))
    keys = {
        (i, j, *np.round(r, 6)): (tensor, k)
        for (i, j), r, tensor, k in zip(
            c.pairs.tolist(), c.vectors + 0.0, c.exchange, c.biquadratic, strict=True
        )
    }
    for (i, j, *r), (tensor, k) in keys.items():
        back, k_back = keys[(j, i, *(0.0 - np.array(r)))]
        np.testing.assert_allclose(back, tensor.T, atol=1e-14)
        assert k_back == pytest.approx(k, rel=1e-12)


# === published numbers ===


def _named(magnet: LayeredMagnet, repeat: tuple[int, int, int]) -> Array:
    crystal = magnet.structure(repeat)
    c = magnet.couplings(crystal)
    named = named_couplings(
        magnet, crystal, c.pairs, c.vectors, c.exchange, c.anisotropy
    )
    return np.array(
        [named.j1, named.j2, named.j3, named.d2, named.kitaev, named.anisotropy]
    )


@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 1), (3, 2, 1)])
def test_undisplaced_cri3_has_the_published_couplings(
    repeat: tuple[int, int, int],
) -> None:
    # meV with S = 3/2; H = −½ Σ J S·S − D Σ S_z², and K along the plaquettes' normals.
    published = np.array([-2.01, -0.16, 0.08, 0.31, 0.85, -0.22])
    named = _named(MAGNETS["cri3"], repeat)
    np.testing.assert_allclose(named, published * SPIN_SQUARED * MEV, rtol=1e-9)


def test_undisplaced_crte2_has_its_parameters() -> None:
    expected = [*CRTE2.exchange, 0.0, CRTE2.kitaev, CRTE2.anisotropy]
    np.testing.assert_allclose(
        _named(MAGNETS["crte2"], (3, 3, 1)), expected, rtol=1e-9, atol=1e-15
    )


def test_named_couplings_of_half_the_pairs_with_noise_and_extra_pairs() -> None:
    magnet = MAGNETS["cri3"]
    crystal = magnet.structure((2, 2, 1))
    c = magnet.couplings(crystal)
    once = c.pairs[:, 0] <= c.pairs[:, 1]
    order = np.random.default_rng(0).permutation(int(once.sum()))
    pairs = np.concatenate([c.pairs[once][order], [[0, 8]]])
    vectors = np.concatenate([c.vectors[once][order], [[13.7, 0.0, 0.0]]]) + 1e-3
    exchange = np.concatenate([c.exchange[once][order], np.ones((1, 3, 3))])
    named = named_couplings(magnet, crystal, pairs, vectors, exchange, c.anisotropy)
    assert named.j3 == pytest.approx(CRI3.exchange[2], rel=1e-9)
    assert named.d2 == pytest.approx(CRI3.dm_second, rel=1e-9)


def test_named_couplings_without_the_third_shell() -> None:
    magnet = MAGNETS["cri3"]
    crystal = magnet.structure((1, 1, 1))
    c = magnet.couplings(crystal)
    near = np.linalg.norm(c.vectors, axis=1) < 7.5
    with pytest.raises(SpinffError, match="no pair for j3"):
        named_couplings(
            magnet,
            crystal,
            c.pairs[near],
            c.vectors[near],
            c.exchange[near],
            c.anisotropy,
        )


def _magnons(c: Couplings, ions: Array, q: Array) -> Array:
    """Magnon energies of the ferromagnet along z, meV: linear spin waves, S = 3/2."""
    size = len(ions)
    index = {int(ion): k for k, ion in enumerate(ions)}
    transverse = np.zeros((size, 2, size, 2), dtype=complex)
    for (i, j), r, tensor in zip(c.pairs, c.vectors, c.exchange, strict=True):
        a, b = index[int(i)], index[int(j)]
        transverse[a, :, b, :] += tensor[:2, :2] * np.exp(1j * r @ q)
        transverse[a, [0, 1], a, [0, 1]] -= tensor[2, 2]
    for k, ion in enumerate(ions):
        anisotropy = c.anisotropy[ion]
        transverse[k, :, k, :] += 2 * (
            anisotropy[:2, :2] - anisotropy[2, 2] * np.eye(2)
        )
    # S ħ ė = e × ∂E/∂e: x and y of each spin turn into each other.
    turn = np.kron(np.eye(size), [[0.0, 1.0], [-1.0, 0.0]])
    matrix = turn @ transverse.reshape(2 * size, 2 * size) / 1.5
    energies = np.sort(np.linalg.eigvals(1j * matrix).real)
    return energies[size:] / MEV


def test_magnons_of_cri3_are_the_published_ones() -> None:
    magnet = LayeredMagnet(replace(CRI3, kitaev=0.0))
    c = magnet.couplings(magnet.structure((1, 1, 1)))
    gamma = _magnons(c, np.array([0, 1]), np.zeros(3))
    np.testing.assert_allclose(gamma, [0.66, 18.03], atol=1e-6)
    corner = np.array([4 * np.pi / 3 / CRI3.lattice_constant, 0.0, 0.0])
    low, high = _magnons(c, np.array([0, 1]), corner)
    assert high - low == pytest.approx(4.83, abs=0.005)
    # published as 11.50: 3/2 (3 J1 + 9 J2 + 3 J3) and the gap at Γ
    middle = 1.5 * (3 * 2.01 + 9 * 0.16 - 3 * 0.08) + 0.66
    assert (high + low) / 2 == pytest.approx(middle, abs=1e-6)


# === ground states and the lattice ===


def _collinear(crystal: Atoms, axis: list[float], signs: Array) -> Atoms:
    moments = np.zeros((len(crystal), 3))
    moments[_magnetic(crystal)] = 3.0 * signs[:, None] * np.array(axis)
    return checks.with_moments(crystal, moments)


def test_cri3_is_a_ferromagnet_out_of_the_plane() -> None:
    magnet = MAGNETS["cri3"]
    crystal = magnet.structure((1, 2, 1))
    z, x, y = [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    parallel, neel, stripe = np.ones(4), np.array([1, -1, 1, -1]), np.repeat([1, -1], 2)
    easy, *others = checks.energies(
        magnet,
        [
            _collinear(crystal, z, parallel),
            _collinear(crystal, x, parallel),
            _collinear(crystal, y, parallel),
            _collinear(crystal, z, neel),
            _collinear(crystal, z, stripe),
        ],
    )
    assert min(others) - easy > 4 * 0.495 * MEV
    assert others[0] == pytest.approx(others[1], abs=1e-12)


def test_crte2_is_a_zigzag_antiferromagnet_because_of_its_many_spin_terms() -> None:
    magnet = MAGNETS["crte2"]
    bilinear = LayeredMagnet(replace(CRTE2, biquadratic=0.0, three_spin=0.0, ring=0.0))
    # Cells along a₁ and a₂: up up down down along each, shifted from row to row.
    crystal = magnet.structure((4, 2, 1))
    z, rows = [0.0, 0.0, 1.0], np.indices((4, 2)).reshape(2, -1)
    zigzag = np.where((rows[0] + rows[1]) % 4 < 2, 1.0, -1.0)
    stripe = np.where(rows[0] % 2 == 0, 1.0, -1.0)
    states = [_collinear(crystal, z, s) for s in (np.ones(8), stripe, zigzag)]
    flat, striped, zigzagged = checks.energies(magnet, states)
    assert zigzagged < min(flat, striped) - 8 * 5 * MEV
    flat, striped, zigzagged = checks.energies(bilinear, states)
    assert flat < min(striped, zigzagged) - 8 * 2 * MEV


@both
def test_undisplaced_lattice_is_stable_and_at_rest(name: str) -> None:
    magnet = MAGNETS[name]
    crystal = magnet.structure((2, 1, 1))
    labels = magnet.evaluate(crystal)
    np.testing.assert_allclose(labels["forces"], 0.0, atol=1e-8)
    in_plane = labels["stress"][:2, :2] * crystal.get_volume()
    np.testing.assert_allclose(in_plane, 0.0, atol=1e-7)
    checks.check_stable(magnet, crystal, softest=0.1)


# === many spins, against sums over explicit triplets and loops ===


def _explicit_many_spin(magnet: LayeredMagnet, crystal: Atoms) -> tuple[float, float]:
    """The three-spin and ring energies of an undisplaced crystal, by brute force."""
    p = magnet.parameters
    e = crystal.arrays[MAGNETIC_MOMENTS_KEY] / 3.0
    c = magnet.couplings(crystal)
    near = np.abs(np.linalg.norm(c.vectors, axis=1) - p.ideal.shells[0]) < 0.1
    links: dict[int, list[tuple[int, Array]]] = {}
    for (i, j), r in zip(c.pairs[near].tolist(), c.vectors[near], strict=True):
        links.setdefault(i, []).append((j, r))
    three = ring = 0.0
    for i, around in links.items():
        for (j, r_j), (k, r_k) in permutations(around, 2):
            three += ((e[i] @ e[j]) * (e[i] @ e[k]) - e[j] @ e[k] / 3) / 2
            # i–j–l–k with l a neighbour of both, another ion than i.
            for l, r_l in links[j]:
                for end, r_end in links[k]:
                    apart = np.abs(r_j + r_l - r_k - r_end).max()
                    closes = end == l and apart < 0.1
                    if closes and np.linalg.norm(r_j + r_l) > 0.1:
                        ring += (
                            (e[i] @ e[j]) * (e[l] @ e[k])
                            + (e[i] @ e[k]) * (e[j] @ e[l])
                            - (e[i] @ e[l]) * (e[j] @ e[k])
                        ) / 8
    return p.three_spin * three, p.ring * ring


@pytest.mark.parametrize(
    ("name", "repeat"),
    [("cri3", (1, 1, 1)), ("crte2", (3, 2, 1))],
)
def test_many_spin_terms_are_sums_over_triplets_and_loops(
    name: str, repeat: tuple[int, int, int]
) -> None:
    magnet = MAGNETS[name]
    crystal = magnet.generate(1, 3, repeat, displacement=0.0, strain=0.0)[0]
    three, ring = _explicit_many_spin(magnet, crystal)
    assert _term(magnet, crystal, "three-spin") == pytest.approx(three, rel=1e-9)
    assert _term(magnet, crystal, "ring") == pytest.approx(ring, rel=1e-9, abs=1e-15)


def test_three_spin_term_is_no_bilinear_one() -> None:
    # Averaged over the spin in the middle, the other two no longer see each other.
    magnet = MAGNETS["cri3"]
    crystal = magnet.structure((2, 2, 1))
    ions = np.flatnonzero(_magnetic(crystal))
    c = magnet.couplings(crystal)
    near = np.linalg.norm(c.vectors, axis=1) < 4.5
    around = c.pairs[near & (c.pairs[:, 0] == ions[0])][:, 1]
    rng = np.random.default_rng(4)
    outer = rng.normal(size=(len(crystal), 3))
    total = 0.0
    for direction in np.eye(3):  # a quadratic form's mean over the sphere
        moments = np.zeros((len(crystal), 3))
        moments[around] = outer[around]
        moments[ions[0]] = direction
        total += _term(magnet, checks.with_moments(crystal, moments), "three-spin")
    assert total == pytest.approx(0.0, abs=1e-15)


# === cutoffs ===


@pytest.mark.parametrize(
    ("distance", "kind"),
    [(3.7, "I"), (5.4, "Cr"), (5.5, "Cr"), (MAGNETS["cri3"].cutoff, "Cr")],
)
def test_second_derivative_is_continuous_at_a_cutoff(
    distance: float, kind: str
) -> None:
    atoms = Atoms(f"CrCrI{kind}", positions=np.zeros((4, 3)))
    atoms.positions[1] = [3.0, 2.4, 0.2]
    atoms.positions[2] = [1.2, 2.2, 1.3]
    moments = np.array([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 0], [1.0, 0, 3.0]])
    moments[3] *= kind == "Cr"

    def jump(gap: float) -> float:
        """Difference of the second derivatives on both sides of the cutoff."""
        frames = []
        for x in gap * np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5]):
            frame = checks.with_moments(atoms, moments)
            frame.positions[3] = [-(distance + x), 0.0, 0.0]
            frames.append(frame)
        e = checks.energies(MAGNETS["cri3"], frames)
        return abs(float(np.diff(e[:3], 2)[0] - np.diff(e[3:], 2)[0])) / (gap / 2) ** 2

    assert jump(4e-3) > 1e-6
    assert jump(1e-3) < 0.4 * jump(4e-3)
