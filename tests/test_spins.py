"""spinff.spins: energies against other ways to get them, thermodynamics, minima."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from small_models import MODELS, small_model, structure
from spin_thermodynamics import (
    ENERGY,
    chain,
    iron,
    langevin_function,
    shell,
    simple_cubic,
    table,
)
from spinff import SpinffError, units
from spinff.calculator import SpinCalculator
from spinff.couplings import model_couplings
from spinff.spins import Samples, SpinSystem, block_average
from test_pair_spin_couplings import CASES, numpy_sum

Array = NDArray[np.float64]

DISTANCE = 3.0
"""Å, between neighbours of the lattices here."""


def lattice(*size: int) -> Atoms:
    """Simple cubic crystal of X; along directions of size 0 one atom in a vacuum."""
    repeat = [max(n, 1) for n in size]
    cell = [DISTANCE if n else 30.0 for n in size]
    return Atoms("X", cell=cell, pbc=[n > 0 for n in size]) * repeat


def cubic(n: int, J: float = -ENERGY, **changes: Any) -> SpinSystem:  # noqa: ANN401
    """Simple cubic crystal with one shell."""
    content = table(couplings=[shell(DISTANCE, J)], **changes)
    return SpinSystem.from_table(content, lattice(n, n, n))


def free_spins(**changes: Any) -> SpinSystem:  # noqa: ANN401
    """A thousand spins without couplings."""
    return SpinSystem.from_table(table(**changes), lattice(10, 10, 10))


# === energies ===


@pytest.mark.parametrize("case", CASES)
def test_table_against_a_plain_sum(case: str) -> None:
    make, symbols, names = CASES[case]
    atoms, content = make()
    of_symbol = dict(zip(symbols, names.split(), strict=True))
    system = SpinSystem.from_table(content, atoms, of_symbol)
    e = system.directions
    given = atoms.get_initial_magnetic_moments()
    np.testing.assert_allclose(system.moments, given, atol=1e-12)
    of_atom = [of_symbol[symbol] for symbol in atoms.get_chemical_symbols()]
    energies, fm = numpy_sum(content, of_atom, atoms, e)
    assert system.energy() == pytest.approx(energies.sum(), abs=1e-10)
    expected = units.HBAR * (fm - np.einsum("ia,ia->i", fm, e)[:, None] * e)
    np.testing.assert_allclose(system.spin_forces(), expected, atol=1e-10)


@pytest.mark.parametrize("name", ["msenn", "msenn-no-soc"])
def test_model_against_the_calculator(name: str) -> None:
    """The same model, its spins contracted by the core and by TorchScript."""
    model, atoms = small_model(**MODELS[name]), structure()
    system = SpinSystem.from_model(model, atoms)
    system.randomise(5)
    other = system.to_atoms()
    other.calc = SpinCalculator(model)
    assert system.energy() == pytest.approx(other.get_potential_energy(), rel=1e-9)
    forces = other.calc.results["spin_forces"]
    scale = np.abs(forces).max()
    assert scale > 1e-3
    np.testing.assert_allclose(system.spin_forces(), forces, atol=1e-9 * scale)


def test_a_model_without_couplings_is_refused() -> None:
    with pytest.raises(SpinffError, match="more than pair couplings"):
        SpinSystem.from_model(small_model(**MODELS["ring-tenn"]), structure())


def test_table_file_and_atoms_without_a_species(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(json.dumps(table(couplings=[shell(3.0, 1.0)])))
    atoms = Atoms("XHX", positions=[[0, 0, 0], [1, 1, 0], [3, 0, 0]], pbc=False)
    system = SpinSystem.from_table(
        tmp_path / "table.json", atoms, {"X": "X", "H": None}
    )
    assert system.num_spins == 2
    assert system.energy() == pytest.approx(1.0)
    np.testing.assert_array_equal(system.directions[1], 0.0)
    assert SpinSystem.from_table(table(), atoms, ["X", None, None]).num_spins == 1


def test_zeeman_energy_has_the_textbook_factor() -> None:
    system = free_spins(moment=2.5)
    system.magnetic_field = [0.0, 0.0, 4.0]
    system.directions = [0.0, 3.0, 4.0]
    assert system.energy() == pytest.approx(-1000 * units.MU_B * 2.5 * 4.0 * 0.8)
    assert system.spin_forces()[7] == pytest.approx(
        units.MU_B * 10.0 * (np.array([0, 0, 1]) - 0.8 * np.array([0, 0.6, 0.8]))
    )


# === Monte Carlo ===


@pytest.mark.parametrize("move", ["heat_bath", "cone", "random"])
def test_langevin(move: str) -> None:
    system = free_spins()
    system.magnetic_field = [6.0, 0.0, 8.0]
    samples = system.metropolis(
        20.0, 400, seed=3, discard=60, move=move, cone_angle=1.5
    )
    x = units.MU_B * 2.0 * 10.0 / (units.K_B * 20.0)
    series = samples.order @ np.array([0.6, 0.0, 0.8])
    mean, error = block_average(series)
    assert error < 2e-3
    assert abs(mean - langevin_function(x)) < 3 * error
    assert (
        samples.acceptance == 1.0 if move == "heat_bath" else 0.3 < samples.acceptance
    )
    assert system.magnetisation() == pytest.approx(samples.order[-1], abs=1e-12)
    assert system.energy() == pytest.approx(samples.energies[-1], rel=1e-10)


def test_chain_energy_and_heat_capacity() -> None:
    """Fisher: −J (coth K − 1/K) and kB (1 − K²/sinh²K) a bond, K = J/kT."""
    description, exact = chain(0.5)
    system = SpinSystem.from_table(description.table, lattice(64, 0, 0))
    samples = system.metropolis(description.temperature, 20_000, seed=5, discard=2000)
    mean, error = samples.energy
    assert error < 0.002 * abs(exact)
    assert abs(mean - exact) < 3 * error
    blocks = [
        Samples(samples.temperature, part, samples.order[:2], 64, 1.0).heat_capacity
        for part in np.split(samples.energies, 20)
    ]
    capacity, spread = np.mean(blocks), np.std(blocks, ddof=1) / np.sqrt(20)
    assert spread < 0.02
    assert abs(capacity - (1 - 4 / np.sinh(2.0) ** 2)) < 3 * spread + 0.01


def reference(folder: Path, section: str, temperature: str) -> dict[str, float]:
    """E, its error and m of a row of mc_reference."""
    text = (folder / "mc_reference" / "results.txt").read_text()
    part = text.split(f"# {section}")[1].split("\n# ")[0]
    row = re.search(rf"^{temperature} .*", part, re.MULTILINE)
    assert row is not None
    found = re.search(r"E (\S+) \+- (\S+) m (\S+) \+- (\S+)", row[0])
    assert found is not None
    return dict(
        zip(("E", "error", "m", "m_error"), map(float, found.groups()), strict=True)
    )


@pytest.mark.data
@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_simple_cubic_against_monte_carlo(
    spinff_data: Path, temperature: float
) -> None:
    """Ordered and, at 1.04 Tc, disordered; an independent program."""
    expected = reference(spinff_data, "2 simple cubic", f"T {temperature:.5f}")
    description = simple_cubic(temperature)
    system = SpinSystem.from_table(description.table, lattice(12, 12, 12))
    samples = system.metropolis(description.temperature, 1500, seed=8, discard=300)
    mean, error = (value / ENERGY for value in samples.energy)
    assert error < 0.005
    assert abs(mean - expected["E"]) < 3 * np.hypot(error, expected["error"])
    m, m_error = samples.order_length
    assert abs(m - expected["m"]) < 3 * np.hypot(m_error, expected["m_error"])


@pytest.mark.data
def test_iron_against_monte_carlo(spinff_data: Path) -> None:
    """Body-centred iron of four shells at 500 K: energy and magnetisation."""
    jfile = spinff_data / "formats" / "exchange_tables" / "uppasd_bccFe" / "jfile"
    content = iron(500.0, jfile).table
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (8, 8, 8)
    system = SpinSystem.from_table(content, atoms, {"Fe": "X"})
    samples = system.metropolis(500.0, 300, seed=2, discard=100)
    expected = reference(spinff_data, "3 bcc Fe", "500.0 K")
    mean, error = samples.energy
    assert error < 2e-4
    assert abs(mean - 1e-3 * expected["E"]) < 3 * np.hypot(
        error, 1e-3 * expected["error"]
    )
    m, m_error = samples.order_length
    assert abs(m - expected["m"]) < 3 * np.hypot(m_error, expected["m_error"])


def test_two_runs_are_one() -> None:
    whole, parts, other = cubic(4), cubic(4), cubic(4)
    run: dict[str, Any] = {"temperature": 100.0, "seed": 11}
    both = whole.metropolis(sweeps=20, **run)
    first = parts.metropolis(sweeps=8, **run)
    second = parts.metropolis(sweeps=10, discard=2, **run)
    np.testing.assert_array_equal(whole.directions, parts.directions)
    np.testing.assert_allclose(both.energies[:8], first.energies, rtol=1e-12)
    np.testing.assert_allclose(both.energies[10:], second.energies, rtol=1e-12)
    every = other.metropolis(sweeps=20, every=5, **run)
    np.testing.assert_array_equal(every.order, both.order[4::5])
    assert not np.allclose(
        cubic(4).metropolis(100.0, 20, seed=12).energies, both.energies
    )


def test_order_parameter_of_a_sublattice() -> None:
    """A cold antiferromagnet: Néel vector 1 − kT/(...) near 1, no magnetisation."""
    system = cubic(6, J=ENERGY)
    signs = (-1.0) ** np.rint(system.atoms.positions / DISTANCE).sum(axis=1)
    system.directions = signs[:, None] * np.array([0.0, 0.6, 0.8])
    np.testing.assert_allclose(system.order_parameter(signs / 216), [0, 0.6, 0.8])
    np.testing.assert_allclose(system.magnetisation(), 0.0, atol=1e-14)
    np.testing.assert_allclose(system.magnetisation(signs < 0), [0, -0.6, -0.8])
    np.testing.assert_allclose(system.magnetisation([0]), [0, 0.6, 0.8])
    q = np.full(3, np.pi / DISTANCE)
    assert np.linalg.norm(system.fourier_component(q)) == pytest.approx(1.0, abs=1e-14)
    assert np.linalg.norm(system.fourier_component(0 * q)) < 1e-14
    cold = 0.1 * ENERGY / units.K_B
    samples = system.metropolis(cold, 200, seed=1, weights=signs / 216)
    assert 0.95 < samples.order_length[0] < 0.99


# === minima ===


def test_antiferromagnet_from_random_spins() -> None:
    system = cubic(4, J=ENERGY)
    system.randomise(1)
    before = system.energy()
    minimum = system.minimise(torque_tolerance=1e-10)
    assert minimum.energy == pytest.approx(-3 * ENERGY * 64, rel=1e-12)
    assert minimum.energy == system.energy()
    assert np.all(minimum.energy_changes < 0)
    assert before + minimum.energy_changes.sum() == pytest.approx(minimum.energy)
    torque = np.linalg.norm(system.spin_forces(), axis=1).max()
    assert torque == pytest.approx(minimum.max_torque, abs=1e-15)
    assert torque <= 1e-10


def square_magnet(n: int, J: float, D: float) -> SpinSystem:
    """Square layer, bonds −J and D along them (D_ij parallel to r_ij), in eV."""
    couplings = []
    for axis in range(2):
        vector = [0.0, 0.0, 0.0]
        vector[axis] = DISTANCE
        tensor = -J * np.eye(3)
        tensor[(axis + 1) % 3, (axis + 2) % 3] = D
        tensor[(axis + 2) % 3, (axis + 1) % 3] = -D
        couplings.append(
            {"species": ["X", "X"], "vector": vector, "J": tensor.tolist()}
        )
    return SpinSystem.from_table(table(couplings=couplings), lattice(n, n, 0))


def test_ground_state_of_a_chiral_layer() -> None:
    """J = 1, D = 0.8165: a spiral along (11), 30° a site, E = −2.309401 J a site.

    Each bond turns by atan(D/√2J) = 30°, an axis along (11) taking D/√2 of each bond.
    """
    D = np.sqrt(2) * np.tan(np.pi / 6)
    system = square_magnet(12, ENERGY, D * ENERGY)
    found = []
    for seed in range(4):  # one in four anneals may end in a neighbouring spiral
        system.randomise(seed)
        for reduced in np.linspace(1.2, 0.05, 24):
            system.metropolis(reduced * ENERGY / units.K_B, 60, seed=seed)
        found.append((system.minimise().energy, system.directions))
    energy, system.directions = min(found, key=lambda pair: pair[0])
    assert energy / (144 * ENERGY) == pytest.approx(-2.309401, abs=1e-6)
    q = 2 * np.pi / (12 * DISTANCE) * np.array([1.0, 1.0, 0.0])
    weight = [
        sum(np.linalg.norm(system.fourier_component(s * wave)) ** 2 for s in (1, -1))
        for wave in (q, q * [1, -1, 0])
    ]
    assert max(weight) == pytest.approx(1.0, abs=1e-9)


def test_minimise_says_that_it_did_not_converge() -> None:
    system = cubic(4)
    system.randomise(2)
    before = system.energy()
    with pytest.raises(
        SpinffError, match=r"no minimum after 2 iterations, got .* eV, "
    ):
        system.minimise(max_iterations=2)
    assert system.energy() < before


# === averages ===


def test_block_average_knows_correlated_series() -> None:
    """Mean of x_n = a x_{n−1} + noise: error √((1+a)/(1−a)) times the naive one."""
    random = np.random.default_rng(1)
    a, count = 0.9, 20_000
    errors = []
    for _ in range(30):
        noise = random.normal(size=count) * np.sqrt(1 - a**2)
        series = np.zeros(count)
        for n in range(1, count):
            series[n] = a * series[n - 1] + noise[n]
        errors.append(block_average(series)[1])
    expected = np.sqrt((1 + a) / (1 - a) / count)
    assert np.mean(errors) == pytest.approx(expected, rel=0.1)


def test_moments_of_the_order_parameter() -> None:
    random = np.random.default_rng(2)
    gauss = random.normal(size=(200_000, 3))
    ordered = gauss / np.linalg.norm(gauss, axis=1, keepdims=True)
    energies = 3.0 + 0.5 * random.normal(size=len(gauss))

    def samples(order: Array) -> Samples:
        return Samples(100.0, energies, order, 10, 1.0)

    assert samples(gauss).binder_cumulant == pytest.approx(4 / 9, abs=0.01)
    assert samples(ordered).binder_cumulant == pytest.approx(2 / 3)
    kT = units.K_B * 100.0
    assert samples(gauss).heat_capacity == pytest.approx(0.25 / (10 * kT**2), rel=0.01)
    assert samples(ordered).susceptibility == pytest.approx(0.0, abs=1e-9)
    assert samples(gauss).susceptibility == pytest.approx(
        10 * (3 - 8 / np.pi) / kT, rel=0.01
    )


# === state and messages ===


def test_spins_start_along_the_moments_of_the_atoms() -> None:
    atoms = bulk("Fe", cubic=True)  # with ASE's collinear default
    content = table(species={"Fe": {"moment": 2.2}})
    up = SpinSystem.from_table(content, atoms).directions
    np.testing.assert_array_equal(up, [[0, 0, 1], [0, 0, 1]])
    atoms.set_initial_magnetic_moments([2.0, -2.0])
    down = SpinSystem.from_table(content, atoms).directions
    np.testing.assert_array_equal(down, [[0, 0, 1], [0, 0, -1]])
    atoms.set_initial_magnetic_moments(None)
    atoms.set_initial_magnetic_moments([[3.0, 0, 4.0], [0, -1.0, 0]])
    system = SpinSystem.from_table(content, atoms)
    np.testing.assert_allclose(system.directions, [[0.6, 0, 0.8], [0, -1, 0]])
    moments = system.to_atoms().get_initial_magnetic_moments()
    np.testing.assert_allclose(moments, 2.2 * system.directions)


def off_bond(_: SpinSystem) -> None:
    content = table(couplings=[shell(DISTANCE + 0.08, 1.0)])
    SpinSystem.from_table(content, lattice(4, 4, 4))


def no_bond(_: SpinSystem) -> None:
    SpinSystem.from_table(table(couplings=[shell(2.0, 1.0)]), lattice(4, 4, 4))


def wrong_couplings(_: SpinSystem) -> None:
    couplings = model_couplings(small_model(), structure())
    SpinSystem.from_couplings(couplings, structure(), [1.0])


MESSAGES: dict[str, Callable[[SpinSystem], object]] = {
    "just off a bond, got atoms 0 and .* at 3.0000 Å, 0.08 Å off": off_bond,
    "no pair of atoms is on a bond": no_bond,
    "lengths of moments are wrong, got .1.0.": wrong_couplings,
    "cannot be read, got No such file": lambda s: SpinSystem.from_table("x", s.atoms),
    "unknown species, got 'Fe', expected one of: X": lambda s: SpinSystem.from_table(
        table(), bulk("Fe")
    ),
    "lacks a chemical symbol, got no name for X": lambda s: SpinSystem.from_table(
        table(), s.atoms, {"Fe": "X"}
    ),
    "'names' has the wrong length, got 1": lambda s: SpinSystem.from_table(
        table(), s.atoms, ["X"]
    ),
    "'tolerance' is missing": lambda s: SpinSystem.from_table(
        {k: v for k, v in table().items() if k != "tolerance"}, s.atoms
    ),
    "kT .eV. is out of range, got -": lambda s: s.metropolis(-1.0, 1, seed=1),
    "unknown move, got 'flip'": lambda s: s.metropolis(1.0, 1, seed=1, move="flip"),
    "cone .rad. is out of range": lambda s: s.metropolis(
        1.0, 1, seed=1, move="cone", cone_angle=0.0
    ),
    "seed is out of range, got -1": lambda s: s.metropolis(1.0, 1, seed=-1),
    "'sweeps' is wrong, got 0.5": lambda s: s.metropolis(1.0, 0.5, seed=1),  # type: ignore[arg-type]
    "'every' is wrong, got 0": lambda s: s.metropolis(1.0, 1, seed=1, every=0),
    "weights have the wrong shape, got .3,.": lambda s: s.order_parameter([1, 1, 1]),
    "q has the wrong shape": lambda s: s.fourier_component([1, 1]),
    "sublattice has no moment, got 0 atoms": lambda s: s.magnetisation([]),
    "tolerance is wrong, got 0 eV": lambda s: s.minimise(torque_tolerance=0.0),
    "magnetic field has the wrong shape": lambda s: setattr(s, "magnetic_field", 3.0),
    "directions have the wrong shape": lambda s: setattr(s, "directions", [[1, 0, 0]]),
    "a spin has no direction, got .0.0, 0.0, 0.0. on atom 0": lambda s: setattr(
        s, "directions", [0, 0, 0]
    ),
    "series is too short, got shape .3,. for 20 blocks": lambda s: block_average(
        np.ones(3)
    ),
}


@pytest.mark.parametrize("part", MESSAGES)
def test_bad_input_gets_a_sentence(part: str) -> None:
    with pytest.raises(SpinffError, match=part) as error:
        MESSAGES[part](cubic(3))
    assert all(
        word in str(error.value) for word in (": ", ", got ", ", expected ", "; ")
    )
