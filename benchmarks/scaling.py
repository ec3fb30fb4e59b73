"""Speed on two ranks of one thread over one rank: whole spin-lattice steps of NiO.

Strong scaling: 2000 atoms on both. Weak scaling: 1000 atoms for each rank. The runs are
apart and alternate. The time is that of the clock: both cores have to be free.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from one_pass import SPINS, nickel_oxide
from rows import Options, Result, Row, cores_for_all_ranks

from lammps_tools import run_lmp, write_data

ROUNDS = 5
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


def speed(cells: tuple[int, int, int], nranks: int, steps: int) -> float:
    """Atom steps per second of so many cubic cells, 8 atoms each."""
    system = nickel_oxide(cells)
    text = INPUT.format(
        model=system.model, types=" ".join(system.types), fix=SPINS, steps=steps
    )
    with tempfile.TemporaryDirectory() as name:
        write_data(system.atoms, Path(name) / "atoms.data", system.types)
        log = run_lmp(text, nranks, Path(name), timeout=None).log
    log = log[: log.index("Total wall time")]  # the screen repeats it
    loop = float(re.findall(r"^Loop time of (\S+)", log, re.M)[-1])
    return len(system.atoms) * steps / loop


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


ROWS: dict[str, Row] = {"strong_scaling": strong_scaling}
