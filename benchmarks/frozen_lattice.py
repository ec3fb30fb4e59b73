"""Spin dynamics on a frozen lattice: pair_style spin/couplings beside Spirit.

The same SIB steps of the same simple cubic ferromagnet on one core each. SPIRIT_PYTHON
is the Python of an environment of its own that has Spirit:

    python3.11 -m venv spirit && spirit/bin/pip install spirit==2.2.0 numpy
    SPIRIT_PYTHON=spirit/bin/python make benchmark ROWS=frozen_lattice
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from rows import Options, Result, Row

from lammps_tools import run_lmp, write_data
from spin_thermodynamics import ENERGY, MOMENT, shell, table

ROUNDS = 5
"""Pairs of runs; the ratio is the median over them."""
WORK = 4e6
"""SIB steps times spins of each run."""
DT = 0.001
"""Length of a SIB step, ps."""
ALPHA = 0.1
DISTANCE = 3.0
"""Å."""

INPUT = """\
units metal
atom_style spin
read_data atoms.data
pair_style spin/couplings
pair_coeff * * table.json X
timestep {dt}
fix spins all spin/sib alpha {alpha} {bath}
thermo_style custom step pe
thermo_modify format float %.17g
thermo 1000000000
run {warm_up}
run {steps}
"""


def spirit(file: Path, temperature: float, steps: int) -> tuple[float, float]:
    """Energy of the spins in a file, eV, and processor time of so many SIB steps, s."""
    python = os.environ.get("SPIRIT_PYTHON")
    if python is None:
        sys.exit(
            "frozen_lattice.py: no Spirit, got no environment variable SPIRIT_PYTHON, "
            "expected the Python of an environment with spirit==2.2.0 and numpy"
        )
    values = (1e3 * ENERGY, MOMENT, ALPHA, temperature, DT, steps)
    script = Path(__file__).with_name("spirit_sib.py")
    output = subprocess.run(
        [python, script, file, *map(str, values)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(output.splitlines()[-1])
    return 1e-3 * found["energy_meV"], found["seconds"]


def spinff(folder: Path, temperature: float, steps: int) -> tuple[float, float]:
    """The same of LAMMPS, whose time step is two SIB steps of half its length."""
    bath = f"temp {temperature} {temperature} seed 1" if temperature > 0 else ""
    text = INPUT.format(
        dt=2 * DT,
        alpha=ALPHA,
        bath=bath,
        warm_up=max(1, steps // 20),
        steps=steps // 2,
    )
    run = run_lmp(text, 1, folder, timeout=None)
    log = run.log[: run.log.index("Total wall time")]  # the screen repeats it
    loop = float(re.findall(r"^Loop time of (\S+)", log, re.M)[-1])
    share = float(re.findall(r"^(\S+)% CPU use", log, re.M)[-1])
    return run.thermo[0]["PotEng"][0], loop * share / 100


def measure(size: int, temperature: float, options: Options) -> dict[str, Any]:
    """Speeds of both, in SIB steps times spins per second of processor time."""
    spins = np.random.default_rng(1).normal(size=(size, size, size, 3))
    spins /= np.linalg.norm(spins, axis=-1, keepdims=True)
    atoms = Atoms("H", cell=[DISTANCE] * 3, pbc=True) * (size, size, size)
    atoms.set_initial_magnetic_moments(MOMENT * spins.reshape(-1, 3))
    steps = 2 * max(5, round(options.length * WORK / size**3 / 2))
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "spins.npy", spins)
        write_data(atoms, folder / "atoms.data", ("H",))
        content = table(couplings=[shell(DISTANCE, -ENERGY)])
        (folder / "table.json").write_text(json.dumps(content))
        for _ in range(ROUNDS):
            energy, seconds = spinff(folder, temperature, steps)
            ours.append(size**3 * steps / seconds)
            other, seconds = spirit(folder / "spins.npy", temperature, steps)
            theirs.append(size**3 * steps / seconds)
    if abs(energy / other - 1) > 1e-6:
        sys.exit(
            "frozen_lattice.py: the two do not compute the same thing, got energies of "
            f"{energy} and {other} eV of the same spins, expected equal ones"
        )
    ratios = [one / two for one, two in zip(ours, theirs, strict=True)]
    case = {
        "case": f"{size}^3 spins, {temperature:g} K",
        "ratio": statistics.median(ratios),
        "smallest": min(ratios),
        "largest": max(ratios),
        "spinff_per_s": statistics.median(ours),
        "spirit_per_s": statistics.median(theirs),
        "energy_deviation": float(abs(energy / other - 1)),
    }
    print(f"  {case}", flush=True)
    return case


def frozen_lattice(options: Options) -> Result:
    """Two sizes, without noise and with; the value is the smallest ratio."""
    cases = [measure(n, T, options) for n in (20, 30) for T in (0.0, 100.0)]
    what = "SIB steps per processor second on a frozen lattice, spinff over Spirit 2.2"
    return Result(what, min(case["ratio"] for case in cases), None, 1, cases)


ROWS: dict[str, Row] = {"frozen_lattice": frozen_lattice}
