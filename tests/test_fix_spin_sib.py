"""fix spin/sib: rates, thermal averages, order, rank invariance, messages."""

import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

import noisy_lattice
from lammps_models import (
    MOMENT,
    TYPES,
    save_input_moments,
    save_message_passing,
    save_model,
    save_predicted_moments,
    save_three_spins,
)
from lammps_tools import DeployedModel, LammpsRun, columns, run_lmp, write_data
from spinff import _core

pytestmark = pytest.mark.lammps
log = logging.getLogger(__name__)  # measured figures: pytest --log-cli-level=info

Array = NDArray[np.float64]

GAMMA = _core.g_e * _core.mu_B / _core.hbar
"""Gyromagnetic ratio of the electron, rad/(ps·T)."""
LAMMPS_MU_B = 5.78901e-5
"""Bohr magneton of fix precession/spin, eV/T."""
LAMMPS_ZEEMAN = "fix z all precession/spin zeeman 10 0 0 1"


# === inputs ===


FREE = """\
units metal
atom_style spin
{atoms}
lattice sc 3.0
region box block 0 {size} 0 {size} 0 {size}
create_box 1 box
create_atoms 1 box
mass 1 58.0
set group all spin/atom {moment} {direction}
timestep {dt}
compute s all property/atom spx spy spz sp
compute m all reduce ave c_s[1] c_s[2] c_s[3]
{fixes}
thermo_style custom step time c_m[*]
thermo_modify format float %.17g
thermo {every}
dump d all custom {every} dump.out id c_s[*]
dump_modify d format float %.17g
{run}
"""


def free_spins(
    tmp_path: Path,
    fixes: str,
    *,
    moment: float = 1.0,
    direction: str = "1 0 0",
    size: int = 1,
    dt: float = 0.005,
    steps: int = 0,
    every: int = 1,
    atoms: str = "",
    run: str = "",
    check: bool = True,
) -> LammpsRun:
    """Equal spins that do not interact, on a frozen lattice without a pair style."""
    text = FREE.format(
        fixes=fixes,
        moment=moment,
        direction=direction,
        size=size,
        dt=dt,
        every=every,
        atoms=atoms,
        run=run or f"run {steps}",
    )
    return run_lmp(text, 1, tmp_path, check=check)


def magnetisation(run: LammpsRun) -> Array:
    """Mean spin direction at each line of the thermo output, (lines, 3)."""
    return columns(run.thermo[-1], "c_m[1]", "c_m[2]", "c_m[3]")


COUPLED = """\
units metal
atom_style spin
atom_modify map array
newton on
{processors}
read_data spins.data
{pair}
timestep {dt:.17g}
compute s all property/atom spx spy spz
{fixes}
thermo_style custom step pe ke etotal {thermo}
thermo_modify format float %.17g
thermo {every}
dump d all custom {every} dump.out id type x y z c_s[*]
dump_modify d format float %.17g
run {steps}
"""

EXCHANGE = """\
pair_style spin/exchange 3.5
pair_coeff * * exchange 3.4 0.02726 0.2171 1.841
"""
EXCHANGE_AND_LATTICE = """\
pair_style hybrid/overlay spin/exchange 3.5 lj/cut 4.0
pair_coeff * * spin/exchange exchange 3.4 0.02726 0.2171 1.841
pair_coeff * * lj/cut 0.1 2.3
"""
ALLEGRO = """\
pair_style spin/allegro
pair_coeff * * model.pth Ni O
"""


def iron(size: int = 4) -> Atoms:
    """Body-centred iron, 2.2 µB, random directions."""
    atoms = bulk("Fe", "bcc", 2.8665, cubic=True) * (size, size, size)
    atoms.set_initial_magnetic_moments(None)  # ASE has a collinear default
    moments = np.random.default_rng(4).normal(size=(len(atoms), 3))
    moments *= 2.2 / np.linalg.norm(moments, axis=1, keepdims=True)
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def nickel_oxide() -> Atoms:
    """32 atoms with canted moments on Ni and none on O."""
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 1)
    random = np.random.default_rng(1)
    atoms.positions += random.normal(scale=0.05, size=(len(atoms), 3))
    moments = random.normal(size=(len(atoms), 3))
    moments *= MOMENT / np.linalg.norm(moments, axis=1, keepdims=True)
    moments[atoms.numbers != 28] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def coupled_spins(
    tmp_path: Path,
    atoms: Atoms,
    pair: str,
    fixes: str,
    *,
    dt: float,
    steps: int,
    every: int = 0,
    nranks: int = 1,
    thermo: str = "",
    processors: str = "",
) -> LammpsRun:
    """Spins with an interaction, on the atoms of a data file."""
    types = TYPES if 28 in atoms.numbers else ("Fe",)
    write_data(atoms, tmp_path / "spins.data", types)
    text = COUPLED.format(
        pair=pair,
        fixes=fixes,
        dt=dt,
        steps=steps,
        every=every or max(1, steps),
        thermo=thermo,
        processors=processors,
    )
    return run_lmp(text, nranks, tmp_path)


def last_spins(run: LammpsRun) -> Array:
    return columns(run.dump()[-1], "c_s[1]", "c_s[2]", "c_s[3]")


# === one spin ===


def precession_rate(run: LammpsRun) -> float:
    """Slope of the azimuth, rad/ps."""
    spins = magnetisation(run)
    azimuth = np.unwrap(np.arctan2(spins[:, 1], spins[:, 0]))
    return float(np.polyfit(run.thermo[0]["Time"], azimuth, 1)[0])


@pytest.mark.parametrize("moment", [1.0, 3.0])
def test_physical_rate_is_gamma_b_for_any_moment(moment: float, tmp_path: Path) -> None:
    fixes = "fix s all spin/sib zeeman 10 0 0 2"
    run = free_spins(tmp_path, fixes, moment=moment, steps=2000)
    rate = precession_rate(run)
    log.info("%g muB: %.7f rad/ps, gamma B = %.7f", moment, rate, 10 * GAMMA)
    assert rate == pytest.approx(10 * GAMMA, rel=1e-4)


@pytest.mark.parametrize(("moment", "expected"), [(1.0, 1.759), (3.0, 5.277)])
def test_lammps_rate_with_lammps_zeeman(
    moment: float, expected: float, tmp_path: Path
) -> None:
    fixes = f"{LAMMPS_ZEEMAN}\nfix s all spin/sib convention lammps"
    run = free_spins(tmp_path, fixes, moment=moment, dt=0.001, steps=4000)
    rate = precession_rate(run)
    log.info("%g muB: %.7f rad/ps", moment, rate)
    assert rate == pytest.approx(expected, abs=5e-4)
    assert "WARNING: fix spin/sib" not in run.log


@pytest.mark.parametrize("moment", [1.0, 3.0])
def test_mixed_conventions_warn_of_the_factor_2(moment: float, tmp_path: Path) -> None:
    run = free_spins(
        tmp_path,
        f"{LAMMPS_ZEEMAN}\nfix s all spin/sib",
        moment=moment,
        steps=2000,
    )
    assert "factor 2" in run.log
    assert precession_rate(run) == pytest.approx(20 * GAMMA, rel=3e-4)

    fixes = "fix s all spin/sib convention lammps zeeman 10 0 0 1"
    run = free_spins(tmp_path, fixes, moment=moment, steps=2000)
    assert "half of LAMMPS' own Zeeman energy" in run.log
    expected = 10 * moment * _core.mu_B / _core.hbar
    assert precession_rate(run) == pytest.approx(expected, rel=1e-4)


def test_anisotropy_of_precession_spin_is_no_reason_to_warn(tmp_path: Path) -> None:
    fixes = "fix z all precession/spin anisotropy 0.001 0 1 1\nfix s all spin/sib"
    run = free_spins(tmp_path, fixes, steps=10)
    assert "WARNING: fix spin/sib" not in run.log
    # ω = (g/ħ) 2K (n·s) n at first: the anisotropy does act, and at the physical rate.
    half_axis = np.array([0.0, 1.0, 1.0]) / np.sqrt(2)
    assert not np.allclose(magnetisation(run)[-1] @ half_axis, 1.0)


def test_damped_spin_follows_tanh(tmp_path: Path) -> None:
    alpha = 0.2
    fixes = f"fix s all spin/sib alpha {alpha} zeeman 10 0 0 1"
    errors = []
    for dt in (0.04, 0.02):
        steps = round(8 / dt)
        run = free_spins(tmp_path, fixes, moment=2.0, dt=dt, steps=steps)
        tau = 10 * GAMMA * run.thermo[0]["Time"] / (1 + alpha**2)
        s_z = np.tanh(alpha * tau)
        s_xy = np.sqrt(1 - s_z**2)
        exact = np.stack([s_xy * np.cos(tau), s_xy * np.sin(tau), s_z], axis=1)
        errors.append(np.abs(magnetisation(run) - exact).max())
    log.info("largest error of a component: %s", errors)
    assert errors[1] < 2e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_length_is_kept_for_100000_steps(tmp_path: Path) -> None:
    fixes = "fix s all spin/sib alpha 0.1 temp 50 50 seed 3 zeeman 10 0 1 1"
    run = free_spins(tmp_path, fixes, size=2, steps=100_000, every=10_000)
    spins = np.stack([columns(f, *(f"c_s[{k}]" for k in "123")) for f in run.dump()])
    deviation = np.abs(np.linalg.norm(spins, axis=-1) - 1).max()
    log.info("largest ||s| - 1|: %.2e", deviation)
    assert deviation < 1e-12


# === thermal averages ===


# At α = 1 the average has an error linear in dt, 0.2 to 0.4 % for the steps chosen
# here; the statistical error is about as large.
@pytest.mark.parametrize(
    ("convention", "alpha", "temperature", "dt", "time"),
    [
        ("physical", 0.1, 5, 0.2, 80),
        ("physical", 0.1, 20, 0.2, 300),
        ("physical", 1, 5, 0.02, 20),
        ("physical", 1, 20, 0.01, 30),
        ("lammps", 0.1, 5, 0.2, 80),
        ("lammps", 0.1, 20, 0.2, 300),
        ("lammps", 1, 5, 0.02, 20),
        ("lammps", 1, 20, 0.006, 30),
    ],
)
def test_langevin(
    convention: str,
    alpha: float,
    temperature: float,
    dt: float,
    time: float,
    tmp_path: Path,
) -> None:
    bath = f"alpha {alpha} temp {temperature} {temperature} seed 4711"
    if convention == "physical":
        moment, energy = 3.0, 3 * _core.mu_B * 10
        fixes = f"fix s all spin/sib {bath} zeeman 10 0 0 1"
    else:
        moment, energy = 1.0, 2 * LAMMPS_MU_B * 10
        fixes = f"{LAMMPS_ZEEMAN}\nfix s all spin/sib convention lammps {bath}"
    run = free_spins(
        tmp_path,
        fixes,
        moment=moment,
        direction="0 0 1",
        size=20,
        dt=dt,
        every=round(0.2 / dt),
        atoms="atom_modify sort 0 0",
        run=f"undump d  # takes longer than the run\nrun {round(time / dt)}",
    )
    s_z = magnetisation(run)[:, 2]
    s_z = s_z[len(s_z) // 5 :]  # all spins start along the field
    x = energy / (_core.k_B * temperature)
    langevin = 1 / np.tanh(x) - 1 / x
    log.info(
        "%s, alpha %g, %g K: %.5f, Langevin %.5f, deviation %+.4f",
        *(convention, alpha, temperature, s_z.mean(), langevin),
        s_z.mean() / langevin - 1,
    )
    assert s_z.mean() == pytest.approx(langevin, rel=0.01)


def test_trajectory_is_that_of_the_core(tmp_path: Path) -> None:
    """Noise by (seed, tag, step, stage), two steps of dt/2, a temperature ramp."""
    alpha, dt, moment, steps = 0.3, 0.02, 1.7, 20
    run = free_spins(
        tmp_path,
        f"fix s all spin/sib g 1.9 temp 5 65 seed 99 zeeman 7 0 3 4 alpha {alpha}",
        size=2,
        moment=moment,
        dt=dt,
        steps=steps,
    )
    tags = np.arange(1, 9)
    spins = np.tile([1.0, 0.0, 0.0], (8, 1))
    rate = np.full(8, 1.9 / moment)
    field = 7 * np.array([0, 0.6, 0.8]) * moment * _core.mu_B / _core.hbar
    fm = np.tile(field, (8, 1))
    for step in range(1, steps + 1):
        temperature = 5 + 60 * step / steps
        amplitude = _core.noise_amplitude(alpha, temperature, rate[0], dt / 2)
        for stage in (0, 1):
            eta = amplitude * _core.gaussian3(99, tags, step, stage)
            trial = _core.sib_advance(spins, spins, fm, rate, eta, alpha, dt / 2)
            middle = (spins + trial) / 2
            spins = _core.sib_advance(spins, middle, fm, rate, eta, alpha, dt / 2)
    np.testing.assert_allclose(last_spins(run), spins, rtol=0, atol=1e-13)


# === interacting spins ===


def errors_of_refinement(
    tmp_path: Path, fix: str, reference: Array, atoms: Atoms
) -> list[float]:
    errors = []
    for steps in (20, 40, 80):
        run = coupled_spins(
            tmp_path, atoms, EXCHANGE, fix, dt=0.08 / steps, steps=steps
        )
        errors.append(float(np.abs(last_spins(run) - reference).max()))
    return errors


def test_exchange_agrees_with_nve_spin_to_second_order(tmp_path: Path) -> None:
    atoms = iron()
    sib, nve = "fix s all spin/sib convention lammps", "fix s all nve/spin lattice no"
    fine = coupled_spins(tmp_path, atoms, EXCHANGE, nve, dt=0.08 / 1280, steps=1280)
    reference = last_spins(fine)
    for fix in (sib, nve):
        errors = errors_of_refinement(tmp_path, fix, reference, atoms)
        log.info("%s: errors at 4, 2, 1 fs: %s", fix, errors)
        for coarse, finer in pairwise(errors):
            assert coarse / finer == pytest.approx(4, rel=0.12)
    # Control: at the physical rate (g / 2.2) it is another trajectory.
    physical = errors_of_refinement(tmp_path, "fix s all spin/sib", reference, atoms)
    assert physical[-1] > 0.1


def test_energy_tallies_belong_to_the_spins_of_the_forces(tmp_path: Path) -> None:
    """Pair, fix precession/spin and own Zeeman energies add up to a constant.

    Its fluctuation is third order in dt here. Tallied at the trial spins of a step, the
    terms would disagree in first order (ratio below 3 when this was tried).
    """
    fixes = """\
compute all_spins all spin
fix z all precession/spin anisotropy 0.003 1 1 0
fix s all spin/sib zeeman 30 0 0 1
fix_modify z energy yes
fix_modify s energy yes
"""
    fluctuation = []
    for dt in (0.002, 0.001):
        steps = round(0.5 / dt)
        run = coupled_spins(
            tmp_path,
            iron(),
            EXCHANGE,
            fixes,
            dt=dt,
            steps=steps,
            every=steps // 25,
            thermo="f_s[1] f_z c_all_spins[5]",
        )
        table = run.thermo[0]
        fluctuation.append(table["PotEng"][1:].std())
        # compute spin (pair and precession energies) still works beside the fix
        total = table["c_all_spins[5]"] + table["f_s[1]"]
        np.testing.assert_allclose(total, table["PotEng"], rtol=0, atol=1e-10)
    log.info("fluctuation of the energy, eV: %s", fluctuation)
    assert fluctuation[1] < 1e-4
    assert fluctuation[0] / fluctuation[1] > 4


def test_zeeman_energy(tmp_path: Path) -> None:
    moments = iron().get_initial_magnetic_moments()
    fixes = "fix s all spin/sib zeeman 30 0 0 -5\nfix_modify s energy yes"
    run = coupled_spins(tmp_path, iron(), "", fixes, dt=0.001, steps=0, thermo="f_s[1]")
    expected = _core.mu_B * 30 * moments[:, 2].sum()
    assert run.thermo[0]["f_s[1]"][0] == pytest.approx(expected, rel=1e-10)
    assert run.thermo[0]["PotEng"][0] == pytest.approx(expected, rel=1e-10)


STOCHASTIC = """\
velocity all create 1500 12
neigh_modify every 1 delay 0 check no
fix n all nve
fix s all spin/sib alpha 0.1 temp 100 300 seed {seed} zeeman 10 1 1 0
"""


def test_ranks_do_not_matter(tmp_path: Path) -> None:
    """100 noisy steps with atoms that change their owner."""

    def final(nranks: int, seed: int = 7) -> Array:
        run = coupled_spins(
            tmp_path,
            iron(),
            EXCHANGE_AND_LATTICE,
            STOCHASTIC.format(seed=seed),
            dt=0.002,
            steps=100,
            nranks=nranks,
        )
        assert "the lattice does not feel the spins" in run.log
        return last_spins(run)

    one = final(1)
    for nranks in (2, 4):
        deviation = np.abs(final(nranks) - one).max()
        log.info("%d ranks: %.1e", nranks, deviation)
        assert deviation < 1e-10
    assert np.abs(final(1, seed=8) - one).max() > 0.1


def test_ranks_do_not_matter_beside_a_thermostat(tmp_path: Path) -> None:
    """200 steps of fix nvt; 2000 are a row of the benchmarks."""
    one, *others = (
        noisy_lattice.run(tmp_path / str(nranks), 200, 200, nranks=nranks)
        for nranks in (1, 2, 4)
    )
    for name, least in (("spins", 0.1), ("positions", 0.03)):
        assert np.ptp(one[name], axis=0).max() > least
    for other in others:
        found = noisy_lattice.deviations(one, other)
        log.info("deviations: %s", found)
        assert max(found["spins"][1], found["positions"][1]) < 1e-8


def test_rank_without_atoms(tmp_path: Path) -> None:
    atoms = iron(3)
    atoms.cell[2, 2] *= 4
    spins = [
        last_spins(
            coupled_spins(
                tmp_path,
                atoms,
                EXCHANGE,
                "fix s all spin/sib alpha 0.1 temp 10 10 seed 1",
                dt=0.002,
                steps=20,
                nranks=nranks,
                processors=f"processors 1 1 {nranks}",
            )
        )
        for nranks in (1, 2)
    ]
    np.testing.assert_allclose(spins[1], spins[0], rtol=0, atol=1e-12)


# === the provider of cheap fields: pair_style spin/allegro ===


@pytest.mark.parametrize("save", [save_model, save_message_passing])
def test_spin_lattice_dynamics_conserves_energy(
    save: Callable[[Path], None], tmp_path: Path
) -> None:
    """Lattice and spins together; couplings need the network once for each step."""
    save(tmp_path / "model.pth")
    fixes = "velocity all create 300 5\nfix n all nve\nfix s all spin/sib"
    fluctuation, exchanged = [], []
    for dt in (0.001, 0.0005):
        steps = round(0.1 / dt)
        run = coupled_spins(
            tmp_path,
            nickel_oxide(),
            ALLEGRO,
            fixes,
            dt=dt,
            steps=steps,
            every=steps // 25,
        )
        fluctuation.append(run.thermo[0]["TotEng"].std())
        exchanged.append(run.thermo[0]["PotEng"].std())
        assert "WARNING: fix spin/sib" not in run.log
    log.info("std of total, potential energy, eV: %s %s", fluctuation, exchanged)
    assert fluctuation[1] < 2e-3 * exchanged[1]
    # second order in dt of the lattice, third of the spins
    assert 2.8 < fluctuation[0] / fluctuation[1] < 8


@pytest.mark.parametrize(
    ("save", "lattice", "expected"),
    [
        (save_model, "fix n all nve\n", "8 forward, 8 backward"),
        # output at the first and the last step alone
        (save_model, "", "1 forward, 2 backward"),
        (
            save_three_spins,
            "fix n all nve\n",
            "8 forward, 8 backward, 29 of the spins' network",
        ),
        (save_three_spins, "", "1 forward, 2 backward, 29 of the spins' network"),
    ],
)
def test_the_network_over_geometry_runs_once_a_step(
    save: Callable[[Path], None], lattice: str, expected: str, tmp_path: Path
) -> None:
    save(tmp_path / "model.pth")
    run = coupled_spins(
        tmp_path,
        nickel_oxide(),
        ALLEGRO,
        lattice + "fix s all spin/sib alpha 0.1 temp 100 300 seed 3",
        dt=0.001,
        steps=7,
    )
    passes = f"network passes in 7 steps and their setup: {expected}\n"
    assert passes in run.log


@pytest.mark.parametrize("save", [save_model, save_three_spins])
def test_allegro_ranks_and_hybrid_do_not_matter(
    save: Callable[[Path], None], tmp_path: Path
) -> None:
    save(tmp_path / "model.pth")
    hybrid = """\
pair_style hybrid/overlay spin/allegro lj/cut 3.0
pair_coeff * * spin/allegro model.pth Ni O
pair_coeff * * lj/cut 0.0 1.0
"""
    fixes = STOCHASTIC.format(seed=3)
    one, *others = [
        last_spins(
            coupled_spins(
                tmp_path,
                nickel_oxide(),
                pair,
                fixes,
                dt=0.001,
                steps=30,
                nranks=nranks,
            )
        )
        for pair, nranks in ((ALLEGRO, 1), (ALLEGRO, 2), (hybrid, 2))
    ]
    for other in others:
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-10)
    start = nickel_oxide().get_initial_magnetic_moments()[0] / MOMENT
    assert np.abs(one[0] - start).max() > 1e-3


def sib_in_python(
    model: DeployedModel,
    directions: Array,
    lengths: Array,
    *,
    alpha: float,
    temperature: float,
    seed: int,
    dt: float,
    steps: int,
) -> Array:
    """Directions (N, 3) after two SIB steps of dt/2 in each of so many steps."""
    tags = np.arange(1, len(directions) + 1)
    spins = directions
    # Predicted lengths are those of the last time that forces were computed, which is
    # with the spins of the end of a step.
    predicted = model.header.moment_mode == "predicted"
    for step in range(1, steps + 1):
        for stage in (0, 1):
            now = model(spins, lengths)
            if predicted and stage == 0:
                lengths = now.lengths
            moves = model.magnetic & (lengths > 0)
            rate = np.where(moves, _core.g_e / np.where(moves, lengths, 1.0), 0.0)
            amplitude = _core.noise_amplitude(alpha, temperature, 1.0, dt / 2)
            eta = amplitude * np.sqrt(rate)[:, None]
            eta = eta * _core.gaussian3(seed, tags, step, stage)
            start = (spins, rate, eta, alpha, dt / 2)
            middle = (spins + sib_half(start, spins, now.fm)) / 2
            unit = middle / np.linalg.norm(middle, axis=1, keepdims=True)
            spins = sib_half(start, middle, model(unit, lengths).fm)
    return spins


def sib_half(
    start: tuple[Array, Array, Array, float, float], spins: Array, fm: Array
) -> Array:
    """The predictor or the corrector."""
    first, rate, eta, alpha, dt = start
    return _core.sib_advance(first, spins, fm, rate, eta, alpha, dt)


@pytest.mark.parametrize(
    ("save", "nranks"),
    [
        (save_model, 2),
        (save_three_spins, 2),
        (save_input_moments, 2),
        (save_predicted_moments, 2),
        (save_message_passing, 1),
    ],
)
def test_trajectory_is_that_of_python(
    save: Callable[[Path], None], nranks: int, tmp_path: Path
) -> None:
    """Fields at trial spins, from couplings or from the network, ghosts included."""
    path = tmp_path / "model.pth"
    save(path)
    atoms = nickel_oxide()
    lengths = np.linalg.norm(atoms.get_initial_magnetic_moments(), axis=1)
    directions = np.tile([0.0, 0.0, 1.0], (len(atoms), 1))
    magnetic = lengths > 0
    moments = atoms.get_initial_magnetic_moments()
    directions[magnetic] = moments[magnetic] / lengths[magnetic, None]
    if save is save_input_moments:
        lengths = lengths * np.random.default_rng(2).uniform(0.4, 1.3, len(atoms))
        lengths[np.flatnonzero(magnetic)[2]] = 0.0
        directions[lengths == 0] = [0.0, 0.0, 1.0]
        atoms.set_initial_magnetic_moments(lengths[:, None] * directions)
    run = coupled_spins(
        tmp_path,
        atoms,
        ALLEGRO,
        "fix s all spin/sib alpha 0.2 temp 40 40 seed 8",
        dt=0.004,
        steps=6,
        nranks=nranks,
    )
    expected = sib_in_python(
        DeployedModel(path, atoms),
        directions,
        lengths,
        alpha=0.2,
        temperature=40.0,
        seed=8,
        dt=0.004,
        steps=6,
    )
    assert np.abs(expected - directions).max() > 0.1
    np.testing.assert_allclose(last_spins(run), expected, rtol=0, atol=1e-12)


# === what moves and what does not ===


def test_oxygen_and_other_groups_stay(tmp_path: Path) -> None:
    atoms = nickel_oxide()
    fixes = "group some id 1:16\nfix s some spin/sib zeeman 1000 1 0 0"
    run = coupled_spins(tmp_path, atoms, "", fixes, dt=0.001, steps=10)
    start, end = (columns(f, "c_s[1]", "c_s[2]", "c_s[3]") for f in run.dump())
    moved = np.abs(end - start).max(axis=1) > 1e-6
    magnetic = atoms.numbers == 28
    np.testing.assert_array_equal(moved, magnetic & (np.arange(32) < 16))
    assert np.isfinite(end).all()


def test_two_fixes_step_together(tmp_path: Path) -> None:
    spins = [
        last_spins(
            coupled_spins(tmp_path, iron(3), EXCHANGE, fixes, dt=0.002, steps=20)
        )
        for fixes in (
            "fix s all spin/sib alpha 0.1",
            "group a id 1:20\ngroup b subtract all a\n"
            "fix s a spin/sib alpha 0.1\nfix t b spin/sib alpha 0.1",
        )
    ]
    np.testing.assert_allclose(spins[1], spins[0], rtol=0, atol=1e-13)


def test_setforce_spin_is_obeyed(tmp_path: Path) -> None:
    fixes = "fix s all spin/sib zeeman 10 0 0 1\nfix f all setforce/spin 0.0 0.0 0.0"
    run = free_spins(tmp_path, fixes, steps=10)
    np.testing.assert_array_equal(magnetisation(run)[-1], [1, 0, 0])


def test_runs_continue_and_run_0_leaves_the_spins(tmp_path: Path) -> None:
    fixes = "fix s all spin/sib alpha 0.1 temp 20 20 seed 5 zeeman 10 0 0 1"
    whole = last_spins(free_spins(tmp_path, fixes, size=2, steps=20))
    parts = free_spins(tmp_path, fixes, size=2, run="run 0\nrun 12\nrun 0\nrun 8")
    np.testing.assert_array_equal(last_spins(parts), whole)
    rest = free_spins(tmp_path, fixes, size=2, run="run 0")
    np.testing.assert_array_equal(last_spins(rest), np.tile([1, 0, 0], (8, 1)))


def test_minimize_moves_atoms_only(tmp_path: Path) -> None:
    atoms = iron(3)
    atoms.rattle(0.1, seed=1)
    fixes = "fix s all spin/sib zeeman 10 0 0 1\nminimize 0 1e-3 20 100"
    run = coupled_spins(tmp_path, atoms, EXCHANGE_AND_LATTICE, fixes, dt=0.001, steps=0)
    moments = atoms.get_initial_magnetic_moments() / 2.2
    np.testing.assert_allclose(last_spins(run), moments, rtol=0, atol=1e-14)
    assert np.abs(columns(run.dump()[-1], "x", "y", "z") - atoms.positions).max() > 0.01


# === messages ===


FIX_ERRORS = {
    "alpha": ("alpha", "a value is missing after keyword 'alpha'; known keywords"),
    "alpha x": ("alpha x", "got 'x', expected a number; known keywords"),
    "alpha -1": ("alpha -0.1", "bad alpha, got -0.1, expected alpha >= 0"),
    "unknown": (
        "beta 1",
        "unknown keyword 'beta'; known keywords: alpha A, alpha/type",
    ),
    "twice": ("alpha 1 alpha 2", "keyword 'alpha' is given twice"),
    "no seed": ("alpha 0.1 temp 10 10", "temp needs a seed"),
    "seed 0": ("alpha 0.1 temp 10 10 seed 0", "bad seed, got '0', expected a positive"),
    "seed 1.5": ("alpha 0.1 temp 10 10 seed 1.5", "bad seed, got '1.5'"),
    "only seed": ("seed 3", "seed without temp has no meaning"),
    "temp one": ("alpha 0.1 temp 10", "a value is missing after keyword 'temp'"),
    "temp < 0": ("alpha 0.1 temp 10 -1 seed 3", "bad temp, got 10 -1"),
    "no bath": ("temp 10 10 seed 3", "without damping the spins do not couple"),
    "zeeman 0": ("zeeman 10 0 0 0", "the zeeman direction is 0 0 0"),
    "g": ("g 0", "bad g, got 0, expected g > 0"),
    "convention": ("convention si", "got 'si', expected physical or lammps"),
    "no convention": ("convention", "got 'nothing', expected physical or lammps"),
}


def assert_complains(run: LammpsRun, sentence: str) -> None:
    assert run.returncode != 0
    text = " ".join(run.log.split())
    assert "fix spin/sib: " in text
    assert sentence in text


@pytest.mark.parametrize("case", FIX_ERRORS)
def test_bad_arguments(case: str, tmp_path: Path) -> None:
    arguments, sentence = FIX_ERRORS[case]
    run = free_spins(tmp_path, f"fix s all spin/sib {arguments}", check=False)
    assert_complains(run, sentence)


SIB = "fix s all spin/sib"
COMPANY_ERRORS = {
    "nve/spin": (
        f"fix n all nve/spin lattice no\n{SIB}",
        "fix n (nve/spin) integrates spins",
    ),
    "twice": (f"{SIB}\nfix t all spin/sib", "(spin/sib) integrates spins of group all"),
    "langevin/spin": (
        f"{SIB}\nfix l all langevin/spin 10 0.1 7",
        "give this fix 'alpha A temp T1 T2 seed N'",
    ),
    "respa": (f"{SIB}\nrun_style respa 2 2", "got run_style respa, expected verlet"),
}


@pytest.mark.parametrize("case", COMPANY_ERRORS)
def test_bad_company(case: str, tmp_path: Path) -> None:
    fixes, sentence = COMPANY_ERRORS[case]
    atoms = "atom_modify map array"
    assert_complains(free_spins(tmp_path, fixes, atoms=atoms, check=False), sentence)


def test_nve_spin_on_other_atoms_is_allowed(tmp_path: Path) -> None:
    fixes = (
        "group a id 1\ngroup b subtract all a\n"
        "fix n a nve/spin lattice no\nfix s b spin/sib zeeman 10 0 0 1"
    )
    free_spins(tmp_path, fixes, size=2, steps=5, atoms="atom_modify map array")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("atom_style spin", "atom_style atomic", "got atom_style atomic, expected"),
        ("units metal", "units real", "got units real, expected metal"),
        ("spin\n", "spin\natom_modify id no\n", "atoms have no IDs"),
    ],
    ids=["atom_style", "units", "no IDs"],
)
def test_bad_setting(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    head = "units metal\natom_style spin\n".replace(old, new)
    text = f"{head}region r block 0 1 0 1 0 1\ncreate_box 1 r\nfix s all spin/sib\n"
    assert_complains(run_lmp(text, 1, tmp_path, check=False), sentence)


def test_long_range_spin_solver_is_refused(tmp_path: Path) -> None:
    write_data(iron(3), tmp_path / "spins.data", ("Fe",))
    pair = """\
pair_style spin/dipole/long 4.0
pair_coeff * * 4.0
kspace_style ewald/dipole/spin 1e-3
"""
    text = COUPLED.format(
        pair=pair, fixes=SIB, dt=0.001, steps=1, every=1, thermo="", processors=""
    )
    run = run_lmp(text, 1, tmp_path, check=False)
    assert_complains(run, "kspace_style ewald/dipole/spin has a spin field")


def test_nan_stops_with_step_atom_and_quantity(tmp_path: Path) -> None:
    broken = EXCHANGE.replace("1.841", "0.0")  # r/J3 is infinite, exp(-r/J3) zero
    data = tmp_path / "spins.data"
    write_data(iron(3), data, ("Fe",))
    text = COUPLED.format(
        pair=broken, fixes=SIB, dt=0.001, steps=5, every=1, thermo="", processors=""
    )
    run = run_lmp(text, 1, tmp_path, check=False)
    assert_complains(run, "bad spin field of atom 1 at step 1, got (")

    lines = data.read_text().splitlines()
    lines = [
        line.rsplit(maxsplit=4)[0] + " 0 0 0 2.2" if line[:5] == "17 1 " else line
        for line in lines
    ]
    data.write_text("\n".join(lines))
    run = run_lmp(text.replace("0.0\n", "1.841\n"), 1, tmp_path, check=False)
    assert_complains(run, "bad spin direction of atom 17 at step 1, got (")
