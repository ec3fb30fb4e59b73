"""fix spin/sib longitudinal: lengths of moments, measure, order, heat, messages."""

import json
import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from lammps_models import (
    LANDAU,
    MOMENT,
    TYPES,
    save_input_moments,
    save_landau_moments,
    save_model,
    save_predicted_moments,
)
from lammps_tools import DeployedModel, LammpsRun, columns, run_lmp, write_data
from spin_thermodynamics import shell, table
from spinff import _core

pytestmark = pytest.mark.lammps
log = logging.getLogger(__name__)  # measured figures: pytest --log-cli-level=info

Array = NDArray[np.float64]

# === inputs ===


INPUT = """\
units metal
atom_style spin
atom_modify map array sort 0 0
newton on
read_data spins.data
{pair}
timestep {dt:.17g}
compute s all property/atom spx spy spz sp
{fixes}
thermo_style custom step time pe ke econserve f_s
thermo_modify format float %.17g
thermo {every}
dump d all custom {every} dump.out id type x y z c_s[*]
dump_modify d format float %.17g
run {steps}
"""
NICKEL = "pair_style spin/allegro\npair_coeff * * model.pth Ni"
NICKEL_OXIDE = "pair_style spin/allegro\npair_coeff * * model.pth Ni O"


def single_moments(lengths: Array) -> Atoms:
    """So far apart that none sees another."""
    n = round(len(lengths) ** (1 / 3))
    atoms = Atoms("Ni", cell=[8.0] * 3, pbc=True) * (n, n, n)
    return with_moments(atoms, lengths)


def nickel_oxide() -> Atoms:
    """32 atoms, displaced; moments of several lengths on Ni and none on O."""
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 1)
    atoms.rattle(0.05, seed=1)
    lengths = np.random.default_rng(2).uniform(0.6, 1.6, len(atoms))
    return with_moments(atoms, np.where(atoms.numbers == 28, lengths, 0.0))


def with_moments(atoms: Atoms, lengths: Array) -> Atoms:
    """Random directions, lengths in µB."""
    moments = np.random.default_rng(1).normal(size=(len(atoms), 3))
    moments *= (lengths / np.linalg.norm(moments, axis=1))[:, None]
    atoms.set_initial_magnetic_moments(None)  # ASE has a collinear default
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def moments_run(
    tmp_path: Path,
    atoms: Atoms,
    fixes: str,
    *,
    dt: float = 0.001,
    steps: int = 0,
    every: int = 0,
    nranks: int = 1,
    pair: str = "",
    check: bool = True,
) -> LammpsRun:
    """Moments of the model in ``model.pth``."""
    oxide = 8 in atoms.numbers
    write_data(atoms, tmp_path / "spins.data", TYPES if oxide else ("Ni",))
    text = INPUT.format(
        pair=pair or (NICKEL_OXIDE if oxide else NICKEL),
        dt=dt,
        fixes=fixes,
        every=every or max(1, steps),
        steps=steps,
    )
    return run_lmp(text, nranks, tmp_path, check=check)


def directions_and_lengths(frame: dict[str, Array]) -> tuple[Array, Array]:
    return columns(frame, "c_s[1]", "c_s[2]", "c_s[3]"), frame["c_s[4]"]


# === thermal averages ===


FIELD = 600.0
"""T, along z."""


def landau(m: Array) -> Array:
    """Energy without the field, eV."""
    a, b = LANDAU
    return a * m**2 + b * m**4


def expected_averages(temperature: float, power: int) -> dict[str, float]:
    """With exp(−E/kT) m^power dm dΩ; power 2 is d³m."""
    m = np.arange(5e-5, 6.0, 1e-4)
    x = m * _core.mu_B * FIELD / (_core.k_B * temperature)
    weight = np.exp(-landau(m) / (_core.k_B * temperature)) * m**power * np.sinh(x) / x
    weight /= weight.sum()
    along = m * (1 / np.tanh(x) - 1 / x)
    energy = landau(m) - along * _core.mu_B * FIELD
    quantities = {"m2": m**2, "mz": along, "energy": energy}
    return {name: float((weight * q).sum()) for name, q in quantities.items()}


@pytest.mark.parametrize("temperature", [150, 600])
def test_moments_follow_the_boltzmann_weight_in_three_dimensions(
    temperature: int, tmp_path: Path
) -> None:
    """exp(−E/kT) d³m, in a field; not exp(−E/kT) d|m| dΩ."""
    save_landau_moments(tmp_path / "model.pth")
    fixes = (
        f"fix s all spin/sib alpha 0.2 longitudinal 100 zeeman {FIELD} 0 0 1 "
        f"temp {temperature} {temperature} seed 5\nfix_modify s energy yes"
    )
    atoms = single_moments(np.full(12**3, 1.2))
    run = moments_run(tmp_path, atoms, fixes, dt=0.002, steps=2500, every=50)
    frames = [directions_and_lengths(frame) for frame in run.dump()[10:]]
    e_z = np.stack([e[:, 2] for e, _ in frames])
    m = np.stack([lengths for _, lengths in frames])
    energy = landau(m) - m * e_z * _core.mu_B * FIELD
    np.testing.assert_allclose(energy.sum(1), run.thermo[0]["PotEng"][10:], rtol=1e-9)
    exact = expected_averages(temperature, 2)
    other = expected_averages(temperature, 0)
    for name, samples in (("m2", m**2), ("mz", m * e_z), ("energy", energy)):
        of_atom = samples.mean(axis=0)  # atoms are independent
        average = of_atom.mean()
        error = of_atom.std(ddof=1) / np.sqrt(len(of_atom))
        log.info(
            "%g K, <%s>: %.5f ± %.5f, expected %.5f, with d|m| %.5f",
            *(temperature, name, average, error, exact[name], other[name]),
        )
        assert abs(average - exact[name]) < 3 * error
        scale = _core.k_B * temperature if name == "energy" else exact[name]
        assert average == pytest.approx(exact[name], abs=0.02 * scale)
        assert abs(average - other[name]) > 10 * error  # the control


# === without noise ===


def relaxed(m: Array, mobility: float, time: float) -> Array:
    """m² of dm/dt = −L dE/dm obeys a logistic equation."""
    a, b = LANDAU
    limit = -a / (2 * b)
    growth = np.exp(4 * mobility * a * time)
    return np.sqrt(limit / (1 + (limit / m**2 - 1) * growth))


def test_a_length_relaxes_along_its_energy(tmp_path: Path) -> None:
    save_landau_moments(tmp_path / "model.pth")
    start = np.linspace(0.1, 2.0, 8)
    errors = []
    for dt in (0.02, 0.01, 0.005):
        run = moments_run(
            tmp_path,
            single_moments(start),
            "fix s all spin/sib longitudinal 50",
            dt=dt,
            steps=round(0.2 / dt),
        )
        e, m = directions_and_lengths(run.dump()[-1])
        errors.append(np.abs(m - relaxed(start, 50, 0.2)).max())
        np.testing.assert_allclose(e, directions_and_lengths(run.dump()[0])[0])
        # all that the energy has lost has gone to the bath
        lost = run.thermo[0]["PotEng"][0] - run.thermo[0]["PotEng"][-1]
        assert run.thermo[0]["f_s"][-1] == pytest.approx(lost, rel=0.02)
    log.info("largest error of a length, µB: %s", errors)
    assert errors[-1] < 1e-3
    for coarse, fine in pairwise(errors):
        assert np.log2(coarse / fine) >= 1.9


DAMPED = "alpha 0.1 longitudinal 20"
NOISY = f"{DAMPED} temp 300 300 seed 7"
LATTICE = "velocity all create 300 3\nfix n all nve\n"


def test_lengths_directions_and_lattice_are_second_order(tmp_path: Path) -> None:
    save_input_moments(tmp_path / "model.pth")

    def final(dt: float) -> Array:
        fixes = f"{LATTICE}fix s all spin/sib {DAMPED}"
        steps = round(0.04 / dt)
        frame = moments_run(tmp_path, nickel_oxide(), fixes, dt=dt, steps=steps).dump()
        names = ("x", "y", "z", "c_s[1]", "c_s[2]", "c_s[3]", "c_s[4]")
        return columns(frame[-1], *names)

    exact = final(0.04 / 640)
    errors = np.array([np.abs(final(0.04 / n) - exact).max(0) for n in (20, 40, 80)])
    slopes = np.log2(errors[:-1] / errors[1:])
    log.info("errors at 2, 1, 0.5 fs: %s; slopes: %s", errors, slopes)
    assert (slopes >= 1.9).all()


# === the heat of the bath ===


@pytest.mark.parametrize(
    ("bath", "lattice", "ratio"),
    [(DAMPED, "", 12), (DAMPED, LATTICE, 3), (NOISY, "", 1.5), (NOISY, LATTICE, 1.5)],
    ids=["damped", "damped lattice", "noisy", "noisy lattice"],
)
def test_energy_and_heat_add_up(
    bath: str, lattice: str, ratio: float, tmp_path: Path
) -> None:
    """To second order without noise; another time step has another noise."""
    save_input_moments(tmp_path / "model.pth")
    fixes = f"{lattice}fix s all spin/sib {bath} zeeman 100 1 1 0\n"
    fixes += "fix_modify s energy yes"
    drifts = []
    for steps in (100, 400):
        run = moments_run(
            tmp_path,
            nickel_oxide(),
            fixes,
            dt=0.1 / steps,
            steps=steps,
            every=steps // 25,
        )
        energy, heat = run.thermo[0]["Econserve"], run.thermo[0]["f_s"]
        drifts.append(float(np.ptp(energy)))
        log.info("%g fs: %.1e of heat %.1e eV", 100 / steps, drifts[-1], np.ptp(heat))
        assert np.ptp(heat) > 50 * drifts[-1]
    assert drifts[0] / drifts[1] > ratio


# === the same trajectory, whoever computes it ===


def length_step(
    length: Array, push: Array, unit: Array, kicks: Array
) -> tuple[Array, Array]:
    """The auxiliary vectors pushed along ``unit`` and kicked, and their lengths."""
    places = push[:, None] * unit + kicks
    places[:, 0] += length
    return places, np.linalg.norm(places, axis=1)


def across(e: Array, fm: Array) -> Array:
    """The part of the field that turns the moments."""
    return fm - (e * fm).sum(1, keepdims=True) * e


def dynamics_in_python(
    model: DeployedModel, moments: Array, *, dt: float, steps: int
) -> tuple[Array, Array]:
    """Directions and lengths after ``steps`` of NOISY at positions that stay."""
    tags = np.arange(1, len(moments) + 1)
    m = np.linalg.norm(moments, axis=1)
    magnetic = model.magnetic
    m[~magnetic] = 1.0  # any: they have no field
    e = np.where(magnetic[:, None], moments / m[:, None], [0.0, 0.0, 1.0])
    alpha, mobility, kT, h = 0.1, 20.0, _core.k_B * 300, dt / 2
    x = np.tile([1.0, 0.0, 0.0], (len(m), 1))

    def advance(spins: Array, fm: Array, length: Array, xi: Array) -> Array:
        rate = np.where(magnetic, _core.g_e / length, 0.0)
        eta = np.sqrt(2 * alpha * kT * rate / (_core.hbar * h))[:, None] * xi
        return _core.sib_advance(e, spins, fm, rate, eta, alpha, h)

    for step in range(1, steps + 1):
        for stage in (0, 1):
            draws = [
                _core.gaussian3(7, tags, step, stage + (n << 16)) for n in range(3)
            ]
            kicks = np.sqrt(mobility * kT * h) * np.array(draws[1:])
            kicks[:, ~magnetic] = 0.0
            fm = model(e, m).fm
            push = h / 2 * mobility * _core.hbar * (e * fm).sum(1) / m
            half_way, m_half = length_step(m, push, x, kicks[0])
            middle = (e + advance(e, across(e, fm), m, draws[0])) / 2
            unit = middle / np.linalg.norm(middle, axis=1, keepdims=True)
            fm = model(unit, m_half).fm
            push = h * mobility * _core.hbar * (unit * fm).sum(1) / m_half
            m = length_step(m, push, half_way / m_half[:, None], kicks.sum(0))[1]
            e = advance(middle, across(unit, fm), m_half, draws[0])
    return e, np.where(magnetic, m, 0.0)


@pytest.mark.parametrize("nranks", [1, 2])
def test_trajectory_is_that_of_python(nranks: int, tmp_path: Path) -> None:
    """Noise by (seed, tag, step, stage); ghosts have the lengths of each trial."""
    save_input_moments(tmp_path / "model.pth")
    atoms = nickel_oxide()
    fixes = f"fix s all spin/sib {NOISY}"
    run = moments_run(tmp_path, atoms, fixes, dt=0.002, steps=6, nranks=nranks)
    e, m = directions_and_lengths(run.dump()[-1])
    moments = atoms.get_initial_magnetic_moments()
    model = DeployedModel(tmp_path / "model.pth", atoms)
    expected = dynamics_in_python(model, moments, dt=0.002, steps=6)
    assert np.abs(m - np.linalg.norm(moments, axis=1)).max() > 0.1
    np.testing.assert_allclose(m, expected[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(e, expected[0], rtol=0, atol=1e-12)


def test_ranks_do_not_matter(tmp_path: Path) -> None:
    """Noisy steps with atoms that change their owner."""
    save_input_moments(tmp_path / "model.pth")
    fixes = (
        "velocity all create 1500 12\nneigh_modify every 1 delay 0 check no\n"
        f"fix n all nve\nfix s all spin/sib {NOISY}"
    )
    one, *others = [
        moments_run(tmp_path, nickel_oxide(), fixes, steps=40, nranks=nranks)
        for nranks in (1, 2, 4)
    ]
    start, end = one.dump()
    assert np.abs(end["c_s[4]"] - start["c_s[4]"]).max() > 0.1
    for other in others:
        for name, values in other.dump()[-1].items():
            np.testing.assert_allclose(values, end[name], rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            other.thermo[0]["f_s"], one.thermo[0]["f_s"], rtol=1e-9
        )


def test_lengths_cost_no_pass_of_the_network(tmp_path: Path) -> None:
    save_input_moments(tmp_path / "model.pth")
    passes = [
        moments_run(
            tmp_path, nickel_oxide(), f"{LATTICE}fix s all spin/sib {bath}", steps=7
        )
        .log.split("network passes in 7 steps and their setup: ")[1]
        .splitlines()[0]
        for bath in ("alpha 0.1", NOISY)
    ]
    assert passes == ["8 forward, 8 backward, 29 of the spins' network"] * 2


def test_lengths_outside_the_group_stay(tmp_path: Path) -> None:
    """And those of atoms with a moment of 0."""
    save_landau_moments(tmp_path / "model.pth")
    atoms = single_moments(np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]))
    fixes = """\
group a id 1:4
group b subtract all a
fix s a spin/sib longitudinal 50 alpha 0.1 temp 300 300 seed 3
fix t b spin/sib alpha 0.1 temp 300 300 seed 3
"""
    run = moments_run(tmp_path, atoms, fixes, steps=20)
    start, m = (directions_and_lengths(frame)[1] for frame in run.dump())
    assert (np.abs(m[:2] - start[:2]) > 1e-3).all()
    np.testing.assert_array_equal(m[2:], start[2:])


# === messages ===


LONGITUDINAL = "fix s all spin/sib longitudinal 10"
REFUSED = {
    "0": (
        f"{LONGITUDINAL[:-2]}0",
        "bad longitudinal, got '0', expected a mobility > 0",
    ),
    "-1": (f"{LONGITUDINAL[:-2]}-1", "bad longitudinal, got '-1', expected a mobility"),
    "missing": (LONGITUDINAL[:-2], "a value is missing after keyword 'longitudinal'"),
    "precession/spin": (
        f"fix z all precession/spin zeeman 10 0 0 1\n{LONGITUDINAL}",
        "cannot tell how the energy of fix z (precession/spin) depends on the length",
    ),
    "setforce/spin": (
        f"{LONGITUDINAL}\nfix f all setforce/spin 0 0 0",
        "cannot tell how the energy of fix f (setforce/spin) depends on the length",
    ),
    "other type": (
        f"set type 2 spin/atom 1.0 0 0 1\n{LONGITUDINAL}",
        "got pair_style spin/allegro, in which the energy of atoms of type 2 does not",
    ),
}


def assert_complains(run: LammpsRun, sentence: str) -> None:
    assert run.returncode != 0
    text = " ".join(run.log.split())
    assert "fix spin/sib: " in text
    assert sentence in text


@pytest.mark.parametrize("case", REFUSED)
def test_what_longitudinal_does_not_go_with(case: str, tmp_path: Path) -> None:
    save_input_moments(tmp_path / "model.pth")
    fixes, sentence = REFUSED[case]
    run = moments_run(tmp_path, nickel_oxide(), fixes, steps=1, check=False)
    assert_complains(run, sentence)


EXCHANGE = """\
pair_style hybrid/overlay spin/allegro spin/exchange 4.0
pair_coeff * * spin/allegro model.pth Ni O
pair_coeff * * spin/exchange exchange 4.0 0.02 0.2 1.8"""
COUPLINGS = "pair_style spin/couplings\npair_coeff * * table.json X X"


@pytest.mark.parametrize(
    ("name", "pair", "style"),
    [
        ("fixed", NICKEL_OXIDE, "spin/allegro"),
        ("predicted", NICKEL_OXIDE, "spin/allegro"),
        ("input", COUPLINGS, "spin/couplings"),
        ("input", EXCHANGE, "hybrid/overlay"),
        ("input", "# none", "none"),
    ],
)
def test_energies_that_do_not_know_the_length(
    name: str, pair: str, style: str, tmp_path: Path
) -> None:
    save = {
        "fixed": save_model,
        "predicted": save_predicted_moments,
        "input": save_input_moments,
    }[name]
    save(tmp_path / "model.pth")
    content = table(couplings=[shell(2.1, -0.006)], tolerance=0.4)
    (tmp_path / "table.json").write_text(json.dumps(content))
    atoms = with_moments(nickel_oxide(), np.full(32, MOMENT))
    if pair != COUPLINGS:
        atoms = with_moments(atoms, np.where(atoms.numbers == 28, MOMENT, 0.0))
    run = moments_run(tmp_path, atoms, LONGITUDINAL, pair=pair, steps=1, check=False)
    text = " ".join(run.log.split())
    assert f"got pair_style {style}, in which the energy of atoms of type" in text
    assert "with a model whose moments are 'input'" in text


def test_a_mobility_too_large_for_the_time_step_stops_and_names_the_moment(
    tmp_path: Path,
) -> None:
    save_landau_moments(tmp_path / "model.pth")
    atoms = single_moments(np.full(8, 3.0))
    fixes = "fix s all spin/sib longitudinal 50000"
    run = moments_run(tmp_path, atoms, fixes, steps=50, check=False)
    assert run.returncode != 0
    assert "atom 1 (type 1, moment " in " ".join(run.log.split())
