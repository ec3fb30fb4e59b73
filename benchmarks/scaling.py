"""Speed on two ranks of one thread over one rank: whole spin-lattice steps of NiO.

Strong scaling: 2000 atoms on both. Weak scaling: 1000 atoms for each rank. The runs are
apart and alternate. The time is that of the clock: both cores have to be free.

A model of the step is fitted to runs of several sizes on one and two ranks, and says
what more ranks would do:

    t = a N_owned + b N_ghost + c N_directions + d

with the atoms of a rank, the ghost atoms around them, and the directions of space in
which there is another rank; a is the network and what else is done for an atom, b the
neighbour list and the exchange of ghosts, c the latency of a step's messages, d what a
step costs without atoms (a thousand operators of TorchScript). Assumed:
a core and memory bandwidth of its own for each rank, as here; the latency and bandwidth
of messages between cores of one machine also between machines (an interconnect of some
microseconds adds some 0.1 ms a step); equal cubic domains, none fuller than the mean by
more than the rounding to whole atoms; what happens every so many steps (neighbour
lists, output) as here.
"""

import math
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from one_pass import SPINS, Times, nickel_oxide
from rows import Options, Result, Row, cores_for_all_ranks
from scipy.optimize import nnls

from lammps_tools import run_lmp, write_data

ROUNDS = 9
"""Of runs on one rank and on two; a ratio is the median over them."""
STEPS = 20
"""Of each run."""

INPUT = """\
units       metal
atom_style  spin
boundary    p p p
newton      on
read_data   atoms.data
pair_style  spin/allegro
pair_coeff  * * {model} {types}
neighbor    1.0 bin
timestep    0.0005
velocity    all create 40.0 1
fix         tether all spring/self 20.0
fix         lattice all nve
{fix}
thermo      1000000000
run         3
run         {steps}
"""


@dataclass
class Timing:
    """A run of lmp."""

    atoms: int
    ranks: int
    ghosts: float
    """Of a rank, on average."""
    seconds: float
    """A step."""


def timing(cells: tuple[int, int, int], nranks: int, steps: int) -> Timing:
    """Runs so many cubic cells, 8 atoms each."""
    system = nickel_oxide(cells)
    text = INPUT.format(
        model=system.model, types=" ".join(system.types), fix=SPINS, steps=steps
    )
    with tempfile.TemporaryDirectory() as name:
        write_data(system.atoms, Path(name) / "atoms.data", system.types)
        log = run_lmp(text, nranks, Path(name), timeout=None).log
    log = log[: log.index("Total wall time")]  # the screen repeats it
    loop = float(re.findall(r"^Loop time of (\S+)", log, re.M)[-1])
    ghosts = float(re.findall(r"^Nghost: +(\S+) ave", log, re.M)[-1])
    return Timing(len(system.atoms), nranks, ghosts, loop / steps)


def speed(cells: tuple[int, int, int], nranks: int, steps: int) -> float:
    """Atom steps per second."""
    found = timing(cells, nranks, steps)
    return found.atoms / found.seconds


def compare(
    name: str,
    one: tuple[int, int, int],
    two: tuple[int, int, int],
    options: Options,
) -> dict[str, Any]:
    """Speed on two ranks over one, of as many cells each."""
    steps = max(3, round(options.length * STEPS))
    speeds = np.array(
        [[speed(one, 1, steps), speed(two, 2, steps)] for _ in range(ROUNDS)]
    )
    ratios = speeds[:, 1] / speeds[:, 0]
    case = {
        "case": name,
        "ratio": float(np.median(ratios)),
        "smallest": float(ratios.min()),
        "largest": float(ratios.max()),
        "atom_steps_per_s_1_rank": float(np.median(speeds[:, 0])),
        "atom_steps_per_s_2_ranks": float(np.median(speeds[:, 1])),
    }
    print(f"  {case}", flush=True)
    return case


def strong_scaling(options: Options) -> Result:
    """The value is that of strong scaling; weak scaling is reported beside it."""
    with cores_for_all_ranks():
        cases = [
            compare("2000 atoms", (10, 5, 5), (10, 5, 5), options),
            compare("1000 atoms a rank", (5, 5, 5), (10, 5, 5), options),
        ]
    what = "atom steps per second on 2 ranks over 1, NiO, 2000 atoms, TorchScript"
    return Result(what, cases[0]["ratio"], 1.85, 2, cases, at_least=True)


# === the model ===

SIZES = [(2, 2, 2), (4, 4, 2), (4, 4, 4), (5, 5, 5), (10, 5, 5)]
"""Cubic cells of the runs it is fitted to, each on one and on two ranks."""
REPEATS = 3
"""Of each run; the fastest counts, because others on the machine only slow it."""
DENSITY = 8 / 4.186**3
"""Atoms per cubic angstrom."""
SHELL = 6.0
"""Angstrom, in which a rank has ghosts: cutoff and skin."""
PREDICTED = (4608, 2880, 10**8)
"""Atoms: of the papers' runs, and of a large one."""
RANKS = (1, 2, 8, 64, 512)


def terms(atoms: float, ranks: int, ghosts: float) -> list[float]:
    """What a, b, c and d multiply."""
    directions = min(3, round(math.log2(ranks))) if ranks > 1 else 0
    return [math.ceil(atoms / ranks), ghosts, directions, 1]


def ghosts_of_cube(atoms: float) -> float:
    """Ghosts of a rank whose domain is a cube of so many atoms."""
    side = (atoms / DENSITY) ** (1 / 3)
    return DENSITY * ((side + 2 * SHELL) ** 3 - side**3)


def measured(options: Options) -> list[Timing]:
    """The fastest run of each size on one and on two ranks."""
    steps = max(3, round(options.length * STEPS))
    with cores_for_all_ranks():
        return [
            min((timing(cells, n, steps) for _ in range(REPEATS)), key=seconds_of)
            for cells in SIZES
            for n in (1, 2)
        ]


def prediction(atoms: int, ranks: int, fit: Times) -> dict[str, Any]:
    """A step on ranks whose domains are cubes."""
    alone, step = (
        float(np.dot(terms(atoms, n, ghosts_of_cube(atoms / n)), fit))
        for n in (1, ranks)
    )
    return {
        "case": f"predicted: {atoms} atoms, {ranks} ranks",
        "seconds": step,
        "speedup": alone / step,
        "efficiency": alone / step / ranks,
    }


def scaling_model(options: Options) -> Result:
    """Fits the model; the value is its largest relative deviation from a run."""
    runs = measured(options)
    rows = np.array([terms(run.atoms, run.ranks, run.ghosts) for run in runs])
    seconds = np.array([run.seconds for run in runs])
    # relative deviations count: the small systems are what latency shows in
    fit, _ = nnls(rows / seconds[:, None], np.ones(len(runs)))
    ratios = rows @ fit / seconds
    per = ("atom", "ghost", "direction", "step")
    names = [f"seconds_per_{unit}" for unit in per]
    cases = [{"case": "fit", **dict(zip(names, fit.tolist(), strict=True))}]
    for run, ratio in zip(runs, ratios, strict=True):
        cases.append({"case": "run", **asdict(run), "model_over_run": float(ratio)})
    cases += [prediction(atoms, n, fit) for atoms in PREDICTED for n in RANKS]
    for case in cases:
        print(f"  {case}", flush=True)
    what = "largest relative deviation of a model of the step from runs it is fitted to"
    return Result(what, float(np.abs(ratios - 1).max()), None, 2, cases)


def seconds_of(run: Timing) -> float:
    """Key for ``min``."""
    return run.seconds


ROWS: dict[str, Row] = {
    "strong_scaling": strong_scaling,
    "scaling_model": scaling_model,
}
