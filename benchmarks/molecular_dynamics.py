"""Spin-lattice dynamics at 300 K: energy drift without baths, and constant pressure.

``nve_drift``: 64 atoms of NiO, the potential in ``potentials/``, tied to their sites,
brought to 300 K by baths of lattice and spins, then left alone: slope of the total
energy over 10 ps for three time steps. ``nve_drift_free``: the same with the rock salt
of the reference Hamiltonian of that name, free. ``npt``: 20 ps of this rock salt, and
of a sheet of CrI3 whose area alone follows the pressure, with both baths. The models of
the references are trained here.

The potential of NiO comes from frames of one cell with atoms 0.002 Å off their sites:
it says nothing of a free lattice at 300 K. The tie of 200 eV/Å² keeps the atoms within
the 0.014 Å that it has seen.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from one_pass import spinff
from rows import REPOSITORY, Options, Result, Row

from lammps_tools import LammpsRun, run_lmp, write_data
from spinff.data.references import reference
from spinff.header import read_header

sys.path.insert(0, str(REPOSITORY / "examples" / "nio"))

import build_supercell

TEMPERATURE = 300.0
"""K."""
NIO = REPOSITORY / "potentials" / "NiO" / "NiO.pth"

START = """\
units       metal
atom_style  spin
boundary    p p p
newton      on
read_data   atoms.data
pair_style  spin/allegro
pair_coeff  * * {model} {types}
neighbor    1.0 bin
velocity    all create {hot} 1 mom yes rot no dist gaussian
thermo_modify flush yes
"""

TIE = """\
fix         tie all spring/self 200.0
fix_modify  tie energy yes
"""

DRIFT = """\
timestep    0.0005
fix         lattice all nvt temp {T} {T} 0.1
fix         spins all spin/sib alpha 0.1 temp {T} {T} seed 1
thermo      200
run         {equilibration}
unfix       lattice
unfix       spins
write_data  warm.data nocoeff
timestep    {dt}
fix         lattice all nve
fix         spins all spin/sib
thermo_style custom step temp pe ke etotal
thermo      {every}
reset_timestep 0
run         {steps}
"""

PRESSURE = """\
timestep    0.001
fix         lattice all npt temp {T} {T} 0.1 {axes}
fix         spins all spin/sib alpha 0.1 temp {T} {T} seed 1
variable    area equal lx*ly
compute     m all spin
thermo_style custom step temp press pxx pyy vol v_area f_spins[2] c_m[4]
thermo      20
run         {steps}
"""


@dataclass
class System:
    """A deployed model and the atoms it is run on."""

    name: str
    model: Path
    atoms: Atoms
    types: tuple[str, ...]
    axes: str
    """Of fix npt."""
    tied: bool = False
    """Each atom to its site."""


def antiferromagnet(model: Path) -> Atoms:
    """64 atoms of rock salt, order of the second kind."""
    moment = read_header(model).moments["Ni"]
    a = build_supercell.LATTICE_CONSTANT
    return build_supercell.build_supercell((2, 2, 2), a, moment)


def nickel_oxide() -> System:
    """The potential of real data, on a lattice that is tied."""
    name = "NiO, 64 atoms tied to their sites"
    return System(name, NIO, antiferromagnet(NIO), ("Ni", "O"), "", tied=True)


def rock_salt(folder: Path) -> System:
    """A model of the reference ``rocksalt``; minutes of training."""
    frames = folder / "rocksalt.xyz"
    spinff(
        *("data", "generate", "rocksalt", "-n", 160, "--seed", 1),
        *("--displacement", 0.08, "-o", frames),
    )
    config = REPOSITORY / "examples" / "demo" / "train.yaml"
    spinff(
        *("train", config, f"data.split_dataset.path={frames}", "epochs=8"),
        *("-o", folder / "rocksalt"),
    )
    model = folder / "rocksalt.pth"
    spinff("deploy", folder / "rocksalt" / "model.pth", "-o", model)
    atoms = antiferromagnet(model)
    return System("rocksalt, 64 atoms", model, atoms, ("Ni", "O"), "iso 0 0 1.0")


def chromium_iodide(folder: Path) -> System:
    """A sheet of 72 atoms; its network is trained for minutes."""
    for part, number, seed in (("train", 200, 1), ("val", 20, 2)):
        # as far off their sites as thermal atoms, and strained as much
        spinff(
            *("data", "generate", "cri3", "-n", number, "--seed", seed),
            *("--repeat", 2, 2, 1, "--displacement", 0.08),
            *("-o", folder / f"cri3_{part}.xyz"),
        )
    config = REPOSITORY / "examples" / "monolayers" / "cri3.yaml"
    spinff(
        *("train", config, f"frames={folder}/cri3_", "epochs=10"),
        "terms=[exchange,anisotropy,biquadratic]",
        "+data.stats_manager.num_three_body_bessels=4",
        *("-o", folder / "cri3"),
    )
    model = folder / "cri3.pth"
    spinff("deploy", folder / "cri3" / "model.pth", "-o", model)
    atoms = reference("cri3").structure((3, 3, 1))
    atoms.set_initial_magnetic_moments(atoms.arrays.pop("magnetic_moments"))
    axes = "x 0 0 1.0 y 0 0 1.0 couple xy"
    return System("cri3 sheet, 72 atoms", model, atoms, ("Cr", "I"), axes)


def start(system: System) -> str:
    """The system, and velocities of twice the temperature: it starts on its sites."""
    types = " ".join(system.types)
    text = START.format(model=system.model, types=types, hot=2 * TEMPERATURE)
    return text + (TIE if system.tied else "")


def averages(run: LammpsRun, *columns: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over the second half of the last run."""
    table = run.thermo[-1]
    half = len(table["Step"]) // 2
    return {
        column: (float(table[column][half:].mean()), float(table[column][half:].std()))
        for column in columns
    }


def nve_drift(options: Options) -> Result:
    """NiO, tied."""
    with tempfile.TemporaryDirectory() as name:
        return drifts(nickel_oxide(), Path(name), options)


def nve_drift_free(options: Options) -> Result:
    """Rock salt, free."""
    with tempfile.TemporaryDirectory() as name:
        return drifts(rock_salt(Path(name)), Path(name), options)


def drifts(system: System, folder: Path, options: Options) -> Result:
    """Three time steps; the bar is none, the largest step worth using is read off."""
    cases = [drift_of(system, dt, folder, options) for dt in (0.001, 0.0005, 0.00025)]
    what = f"drift of the total energy without baths, meV/atom/ps: {system.name}"
    worst = max(abs(float(str(case["drift"]))) for case in cases)
    return Result(what, worst, None, options.ranks, cases)


def drift_of(
    system: System, dt: float, folder: Path, options: Options
) -> dict[str, object]:
    """One run, baths and then none."""
    write_data(system.atoms, folder / "atoms.data", system.types)
    text = start(system) + DRIFT.format(
        T=TEMPERATURE,
        dt=dt,
        equilibration=round(options.length * 2000),
        steps=round(options.length * 10 / dt),
        every=max(1, round(0.01 / dt)),
    )
    run = run_lmp(text, options.ranks, folder, timeout=None)
    table = run.thermo[-1]
    time, energy = dt * table["Step"], 1e3 * table["TotEng"] / len(system.atoms)
    line = np.polyfit(time, energy, 1)
    print(f"  {system.name}, {1e3 * dt:g} fs: {line[0]:+.4g} meV/atom/ps", flush=True)
    return {
        "case": f"{system.name}, {1e3 * dt:g} fs",
        "drift": float(line[0]),
        # what the line leaves: the fluctuation of a conserved quantity
        "scatter": float((energy - np.polyval(line, time)).std()),
        "temperature": averages(run, "Temp")["Temp"][0],
        "picoseconds": float(time[-1]),
    }


def npt(options: Options) -> Result:
    """Whether they hold together; the deviation of the mean pressure."""
    cases = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for system in (rock_salt(folder), chromium_iodide(folder)):
            write_data(system.atoms, folder / "atoms.data", system.types)
            steps = round(options.length * 20000)
            text = start(system) + PRESSURE.format(
                T=TEMPERATURE, axes=system.axes, steps=steps
            )
            run = run_lmp(text, options.ranks, folder, timeout=None)
            columns = ("Temp", "Pxx", "Pyy", "Volume", "v_area", "f_spins[2]", "c_m[4]")
            found = averages(run, *columns)
            area = found["v_area"][0] / float(run.thermo[-1]["v_area"][0])
            print(f"  {system.name}: area {area:.4f} of the first", flush=True)
            cases.append(
                {
                    "case": system.name,
                    "picoseconds": 0.001 * steps,
                    "area_over_first": area,
                    **{name: list(pair) for name, pair in found.items()},
                }
            )
    what = "constant pressure, 300 K: largest relative change of the area"
    worst = max(abs(float(str(case["area_over_first"])) - 1) for case in cases)
    return Result(what, worst, 0.05, options.ranks, cases)


ROWS: dict[str, Row] = {
    "nve_drift": nve_drift,
    "nve_drift_free": nve_drift_free,
    "npt": npt,
}
