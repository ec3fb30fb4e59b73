"""fix spin/sib as a thermostat: heat, restart, ramp, damping by type, temperature."""

import json
import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from lammps_models import (
    MOMENT,
    TYPES,
    save_input_moments,
    save_model,
    save_three_spins,
)
from lammps_tools import LammpsRun, columns, run_lmp, write_data
from spin_thermodynamics import shell, table
from spinff import _core

pytestmark = pytest.mark.lammps
log = logging.getLogger(__name__)  # measured figures: pytest --log-cli-level=info

Array = NDArray[np.float64]

GAMMA = _core.g_e * _core.mu_B / _core.hbar
"""Gyromagnetic ratio of the electron, rad/(ps·T)."""
J = -0.006
"""eV, of the simple cubic ferromagnet here."""
EASY_AXIS = [[0, 0, 0], [0, 0, 0], [0, 0, -0.002]]
"""eV."""


# === inputs ===


INPUT = """\
units metal
atom_style spin
atom_modify map array sort 0 0
newton on
{head}
{pair}
timestep {dt:.17g}
compute s all property/atom spx spy spz fmx fmy fmz sp
{fixes}
thermo_style custom step time pe ke etotal ecouple econserve f_s f_s[*] {thermo}
thermo_modify format float %.17g
thermo {every}
dump d all custom {every} dump.out id type x y z vx vy vz fx fy fz c_s[*]
dump_modify d format float %.17g
{run}
"""
FREE_SPINS = """\
lattice sc 3.0
region box block 0 {size} 0 {size} 0 {size}
create_box {types} box
create_atoms 1 box
mass * 55.0
set group all spin/atom/random 31 2.0"""
MAGNET = """\
pair_style spin/couplings
pair_coeff * * table.json X"""
NICKEL_OXIDE = """\
pair_style spin/allegro
pair_coeff * * model.pth Ni O"""


def random_moments(atoms: Atoms, lengths: Array) -> Atoms:
    """Random directions, of lengths in µB."""
    moments = np.random.default_rng(1).normal(size=(len(atoms), 3))
    moments *= (lengths / np.linalg.norm(moments, axis=1))[:, None]
    atoms.set_initial_magnetic_moments(None)  # ASE has a collinear default
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def ferromagnet() -> Atoms:
    """64 atoms of a simple cubic lattice."""
    atoms = Atoms("Fe", cell=[3.0] * 3, pbc=True) * (4, 4, 4)
    return random_moments(atoms, np.full(64, 2.0))


def nickel_oxide() -> Atoms:
    """32 atoms, displaced; moments on Ni and none on O."""
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 1)
    atoms.rattle(0.05, seed=1)
    return random_moments(atoms, np.where(atoms.numbers == 28, MOMENT, 0.0))


def spins(
    tmp_path: Path,
    fixes: str,
    *,
    pair: str = MAGNET,
    size: int = 4,
    types: int = 1,
    dt: float = 0.002,
    steps: int = 0,
    every: int = 0,
    nranks: int = 1,
    thermo: str = "",
    run: str = "",
    check: bool = True,
) -> LammpsRun:
    """A ferromagnet with an easy axis, nickel oxide, or free spins without a pair."""
    content = table(couplings=[shell(3.0, J)], A=EASY_AXIS, tolerance=0.4)
    (tmp_path / "table.json").write_text(json.dumps(content))
    head = "read_data spins.data"
    if pair == MAGNET:
        write_data(ferromagnet(), tmp_path / "spins.data", ("Fe",))
    elif pair == NICKEL_OXIDE:
        write_data(nickel_oxide(), tmp_path / "spins.data", TYPES)
    else:
        head = FREE_SPINS.format(size=size, types=types)
    text = INPUT.format(
        head=head,
        pair=pair,
        dt=dt,
        fixes=fixes,
        thermo=thermo,
        every=every or max(1, steps),
        run=run or f"run {steps}",
    )
    return run_lmp(text, nranks, tmp_path, check=check)


# === the heat of the bath ===


def test_a_damped_spin_gives_its_zeeman_energy_to_the_bath(tmp_path: Path) -> None:
    """Sign and size: E = −mB tanh(αγBt/(1+α²)) from across the field."""
    fixes = """\
set group all spin/atom 2.0 1 0 0
fix s all spin/sib alpha 0.2 zeeman 10 0 0 1
"""
    errors = []
    for dt in (0.04, 0.02):
        steps = round(4 / dt)
        run = spins(tmp_path, fixes, pair="", size=1, dt=dt, steps=steps, every=1)
        time = run.thermo[0]["Time"]
        energy = 2 * _core.mu_B * 10
        exact = energy * np.tanh(0.2 * 10 * GAMMA * time / (1 + 0.2**2))
        errors.append(np.abs(run.thermo[0]["f_s"] - exact).max() / energy)
        np.testing.assert_allclose(run.thermo[0]["Ecouple"], run.thermo[0]["f_s"])
    log.info("largest error of the heat / mB: %s", errors)
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


NO_BATH = ""
DAMPED = "alpha 0.1"
NOISY = f"{DAMPED} temp 60 60 seed 7"


def drifts(
    tmp_path: Path,
    fixes: str,
    *,
    pair: str = MAGNET,
    time: float = 1.0,
    dts: tuple[float, ...] = (0.004, 0.002, 0.001),
) -> list[float]:
    """Largest change of the conserved energy, eV, for each of the time steps."""
    found = []
    for dt in dts:
        steps = round(time / dt)
        every = max(1, steps // 25)
        run = spins(tmp_path, fixes, pair=pair, dt=dt, steps=steps, every=every)
        energy, heat = run.thermo[0]["Econserve"], run.thermo[0]["f_s"]
        found.append(float(np.abs(energy - energy[0]).max()))
        log.info("%g fs: %.1e eV, heat %.1e eV", 1e3 * dt, found[-1], heat[-1])
        if DAMPED not in fixes:
            np.testing.assert_allclose(heat, 0.0, rtol=0, atol=1e-12)
        else:
            assert np.abs(heat).max() > 20 * found[-1]
    return found


@pytest.mark.parametrize("bath", [NO_BATH, DAMPED, NOISY])
def test_energy_and_heat_add_up_to_second_order(bath: str, tmp_path: Path) -> None:
    fixes = f"fix s all spin/sib {bath} zeeman 10 1 1 0\nfix_modify s energy yes"
    found = drifts(tmp_path, fixes)
    # 16 to second order, 4 to first; another time step has another noise
    assert found[0] / found[-1] > (7 if bath == NOISY else 12)


def test_energy_and_heat_add_up_beside_a_lattice(tmp_path: Path) -> None:
    save_model(tmp_path / "model.pth")
    fixes = f"velocity all create 100 3\nfix n all nve\nfix s all spin/sib {DAMPED}"
    steps = (0.001, 0.0005, 0.00025)
    found = drifts(tmp_path, fixes, pair=NICKEL_OXIDE, time=0.1, dts=steps)
    for coarse, fine in pairwise(found):
        assert coarse / fine > 3


@pytest.mark.parametrize("save", [save_model, save_three_spins])
def test_energy_and_heat_add_up_with_noise_and_a_lattice(
    save: Callable[[Path], None], tmp_path: Path
) -> None:
    """Not to second order: products of more than two spins, fields of a network."""
    save(tmp_path / "model.pth")
    fixes = f"velocity all create 100 3\nfix n all nve\nfix s all spin/sib {NOISY}"
    run = spins(tmp_path, fixes, pair=NICKEL_OXIDE, dt=0.001, steps=100, every=4)
    energy, heat = run.thermo[0]["Econserve"], run.thermo[0]["f_s"]
    log.info("%.1e eV of heat %.1e eV", np.ptp(energy), np.ptp(heat))
    assert np.ptp(energy) < 5e-3 * np.ptp(heat)


@pytest.mark.parametrize("pair", [MAGNET, NICKEL_OXIDE])
def test_heat_does_not_depend_on_the_ranks(pair: str, tmp_path: Path) -> None:
    save_model(tmp_path / "model.pth")
    lattice = "velocity all create 300 3\nfix n all nve" if pair == NICKEL_OXIDE else ""
    fixes = f"{lattice}\nfix s all spin/sib {NOISY} zeeman 10 1 1 0"
    heat = []
    for nranks in (1, 2, 4):
        run = spins(tmp_path, fixes, pair=pair, steps=10, nranks=nranks)
        heat.append([run.thermo[0][name][-1] for name in OUTPUTS])
    log.info("heat, Zeeman energy, spin temperature: %s", heat[0])
    assert abs(heat[0][0]) > 1e-3
    np.testing.assert_allclose(heat[1:], [heat[0]] * 2, rtol=1e-9)


OUTPUTS = ("f_s", "f_s[1]", "f_s[2]")


def test_heat_flows_from_the_hot_bath_to_the_cold_one(tmp_path: Path) -> None:
    """Each fix keeps the account of its own atoms; together they keep the energy."""
    fixes = """\
group a id 1:32
group b subtract all a
fix s a spin/sib alpha 0.1 temp 20 20 seed 7
fix t b spin/sib alpha 0.1 temp 300 300 seed 8
"""
    run = spins(tmp_path, fixes, steps=20000, every=100, dt=0.001, thermo="f_t")
    out = run.thermo[0]
    late = out["Step"] >= 4000  # both have come to a steady state
    flow = [np.polyfit(out["Time"][late], out[f][late], 1)[0] for f in ("f_s", "f_t")]
    log.info("heat taken by the cold and the hot bath, eV/ps: %s", flow)
    assert flow[0] > 0.01
    assert flow[1] == pytest.approx(-flow[0], rel=0.1)
    np.testing.assert_allclose(
        out["Ecouple"], out["f_s"] + out["f_t"], rtol=0, atol=1e-10
    )


def test_potential_energy_has_the_zeeman_energy_only_if_told(tmp_path: Path) -> None:
    """And not the heat; compute pe/atom agrees."""
    fixes = f"""\
fix s all spin/sib {NOISY} zeeman 10 0 0 1
fix_modify s energy yes
compute each all pe/atom
compute sum all reduce sum c_each
compute pair all pair spin/couplings
"""
    commands = "run 20\nfix_modify s energy no\nrun 5"
    columns = "c_sum c_pair"
    run = spins(tmp_path, fixes, every=5, run=commands, thermo=columns)
    for told, out in zip((1.0, 0.0), run.thermo, strict=True):
        assert (np.abs(out["f_s[1]"]) > 1e-3).all()
        expected = out["c_pair"] + told * out["f_s[1]"]
        np.testing.assert_allclose(out["PotEng"], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(out["c_sum"], expected, rtol=0, atol=1e-12)
        total = out["TotEng"] + out["f_s"]
        np.testing.assert_allclose(out["Econserve"], total, rtol=0, atol=1e-12)


def test_zeeman_goes_with_its_fix(tmp_path: Path) -> None:
    fixes = """\
fix s all spin/sib zeeman 10 0 0 1
fix s all spin/sib zeeman 20 0 0 1
unfix s
fix s all spin/sib
info fixes
"""
    run = spins(tmp_path, fixes, size=1, steps=1)
    assert "s_ZEEMAN" not in run.log
    assert run.thermo[0]["f_s[1]"][0] == 0.0


# === spin temperature ===


def test_spin_temperature_is_that_of_the_bath(tmp_path: Path) -> None:
    """Free spins: kT = ⟨h² sin²θ⟩/⟨2h cosθ⟩ holds for the Langevin distribution."""
    fixes = "fix s all spin/sib alpha 0.5 temp 12 12 seed 3 zeeman 10 0 0 1"
    run = spins(
        tmp_path, fixes, pair="", size=10, dt=0.02, steps=4000, every=20, thermo=""
    )
    measured = run.thermo[0]["f_s[2]"][50:]
    log.info("spin temperature %.2f ± %.2f K", measured.mean(), measured.std())
    assert measured.mean() == pytest.approx(12, rel=0.02)


def test_spin_temperature_formula(tmp_path: Path) -> None:
    run = spins(tmp_path, "fix s all spin/sib zeeman 30 0 0 1", steps=0)
    frame = run.dump()[0]
    e = columns(frame, "c_s[1]", "c_s[2]", "c_s[3]")
    fm = columns(frame, "c_s[4]", "c_s[5]", "c_s[6]")
    expected = (
        _core.hbar * (np.cross(e, fm) ** 2).sum() / (2 * _core.k_B * (e * fm).sum())
    )
    assert run.thermo[0]["f_s[2]"][0] == pytest.approx(expected, rel=1e-10)


# === damping by type ===

TWO_TYPES = """\
set group all spin/atom 2.0 1 0 0
set atom 5*8 type 2
compute t all property/atom type
"""


def test_each_type_has_its_damping(tmp_path: Path) -> None:
    fixes = TWO_TYPES + "fix s all spin/sib alpha/type 2 0.3 alpha 0.1 zeeman 10 0 0 1"
    run = spins(tmp_path, fixes, pair="", size=2, types=2, dt=0.01, steps=300)
    s_z = run.dump()[-1]["c_s[3]"]
    for atoms, alpha in ((slice(0, 4), 0.1), (slice(4, 8), 0.3)):
        exact = np.tanh(alpha * 10 * GAMMA * 3 / (1 + alpha**2))
        np.testing.assert_allclose(s_z[atoms], exact, rtol=0, atol=1e-4)


def test_noise_follows_the_damping_of_the_type(tmp_path: Path) -> None:
    """One average for both types; none for a type that is not damped."""
    fixes = """\
set atom 1*1000 type 1
set atom 1001*2000 type 2
set atom 2001*2197 type 3
set group all spin/atom 3.0 0.6 0 0.8
fix s all spin/sib alpha 0.05 alpha/type 1 0.4 alpha/type 3 0 &
    temp 10 10 seed 11 zeeman 10 0 0 1
"""
    run = spins(
        tmp_path, fixes, pair="", size=13, types=3, dt=0.05, steps=3200, every=40
    )
    frames = np.stack([frame["c_s[3]"] for frame in run.dump()[20:]])
    x = 3 * _core.mu_B * 10 / (_core.k_B * 10)
    langevin = 1 / np.tanh(x) - 1 / x
    for atoms in (slice(0, 1000), slice(1000, 2000)):
        log.info("<s_z> %.4f, Langevin %.4f", frames[:, atoms].mean(), langevin)
        assert frames[:, atoms].mean() == pytest.approx(langevin, rel=0.015)
    np.testing.assert_allclose(frames[:, 2000:], 0.8, rtol=0, atol=1e-12)


DAMPING_ERRORS = {
    "missing": ("alpha/type 1", "a value is missing after keyword 'alpha/type'"),
    "text": ("alpha/type 1 x", "bad value after keyword 'alpha/type', got 'x'"),
    "type 0": ("alpha/type 0 1", "got '0', expected an integer from 1 to 2"),
    "type 3": ("alpha/type 3 1", "got '3', expected an integer from 1 to 2"),
    "type 1.5": ("alpha/type 1.5 1", "got '1.5', expected an integer from 1 to 2"),
    "negative": ("alpha/type 2 -1", "bad alpha/type of type 2, got -1, expected"),
    "twice": ("alpha/type 1 1 alpha/type 1 2", "given twice for type 1; keep one"),
    "no bath": (
        "alpha/type 1 0 temp 10 10 seed 3",
        "without damping the spins do not couple",
    ),
}


@pytest.mark.parametrize("case", DAMPING_ERRORS)
def test_bad_damping(case: str, tmp_path: Path) -> None:
    arguments, sentence = DAMPING_ERRORS[case]
    fixes = f"fix s all spin/sib {arguments}"
    run = spins(tmp_path, fixes, pair="", size=1, types=2, check=False)
    assert run.returncode != 0
    text = " ".join(run.log.split())
    assert "fix spin/sib: " in text
    assert sentence in text


# === one run or several, and restart files ===


def final_state(run: LammpsRun) -> dict[str, Array]:
    """All columns of the last frame, and the last outputs."""
    state = run.dump()[-1]
    return state | {name: run.thermo[-1][name][-1:] for name in OUTPUTS}


def assert_same(one: dict[str, Array], other: dict[str, Array]) -> None:
    """To the last bit."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values, err_msg=name)


def test_a_ramp_over_several_runs(tmp_path: Path) -> None:
    """start and stop, as for the thermostats of LAMMPS."""
    fixes = "fix s all spin/sib alpha 0.1 temp 10 400 seed 7 zeeman 10 0 0 1"
    whole = final_state(spins(tmp_path, fixes, steps=40, every=40))
    for run, same in (
        ("run 15 start 0 stop 40\nrun 25 start 0 stop 40", True),
        ("run 40 upto start 0 stop 40", True),
        ("run 15\nrun 25", False),  # 10 to 400 K twice
    ):
        parts = final_state(spins(tmp_path, fixes, every=40, run=run))
        if same:
            assert_same(whole, parts)
        else:
            assert np.abs(parts["c_s[3]"] - whole["c_s[3]"]).max() > 1e-3


MOVING = """\
fix n all nve
fix s all spin/sib alpha 0.1 temp 100 100 seed 7 zeeman 10 1 0 0"""
RESTART_CASES: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "couplings": (MAGNET, MOVING.splitlines()[1], save_model),
    "allegro": (NICKEL_OXIDE, MOVING, save_model),
    "allegro with TENN": (NICKEL_OXIDE, MOVING, save_three_spins),
    "longitudinal": (NICKEL_OXIDE, f"{MOVING} longitudinal 20", save_input_moments),
}


def test_two_runs_are_one(tmp_path: Path) -> None:
    """Forces at the seam are of the same spins; new neighbour lists, other rounding."""
    save_model(tmp_path / "model.pth")
    start = f"velocity all create 300 3\n{MOVING}"
    one, two = (
        final_state(spins(tmp_path, start, pair=NICKEL_OXIDE, every=20, run=run))
        for run in ("run 20", "run 13\nrun 7")
    )
    for name in one.keys() - {"x", "y", "z"}:  # wrapped into the box by the second
        np.testing.assert_allclose(
            two[name], one[name], rtol=1e-9, atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("nranks", [1, 2])
@pytest.mark.parametrize("case", RESTART_CASES)
def test_restart_goes_on_to_the_bit(case: str, nranks: int, tmp_path: Path) -> None:
    """As the run that wrote the file, which built its neighbour lists at that step."""
    pair, fixes, save = RESTART_CASES[case]
    save(tmp_path / "model.pth")
    start = f"velocity all create 300 3\n{fixes}\nrestart 12 state.*"
    whole = spins(tmp_path, start, pair=pair, steps=30, every=6, nranks=nranks)
    again = restarted(tmp_path, nranks)
    assert abs(whole.thermo[0]["f_s"][2]) > 1e-3
    for name in ("PotEng", "KinEng", *OUTPUTS):
        np.testing.assert_array_equal(
            again.thermo[0][name], whole.thermo[0][name][2:], err_msg=name
        )
    for one, other in zip(whole.dump()[2:], again.dump(), strict=True):
        assert_same(one, other)


def restarted(tmp_path: Path, nranks: int) -> LammpsRun:
    """The rest of the run whose script is in ``tmp_path``, from the file of step 12."""
    text = (tmp_path / "in.lmp").read_text()
    for old, new in (
        ("velocity all create 300 3", ""),
        ("read_data spins.data", "read_restart ../state.12"),
        ("table.json", "../table.json"),
        ("model.pth", "../model.pth"),
        ("run 30", "run 18"),
    ):
        text = text.replace(old, new)
    directory = tmp_path / "again"
    directory.mkdir()
    return run_lmp(text, nranks, directory)
