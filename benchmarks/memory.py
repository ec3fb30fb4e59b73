"""Memory of lmp: for each atom, and whether it grows over a long run.

Whole spin-lattice steps of NiO on one rank. lmp itself is asked, between its runs: the
peak (VmHWM) and the present size (VmRSS) of the process, as Linux counts them.
"""

import re
import tempfile
from pathlib import Path

from one_pass import SPINS, nickel_oxide
from rows import Options, Result, Row

from lammps_tools import run_lmp, write_data

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
"""
RUN = """\
run         {steps}
shell       "grep Vm /proc/$PPID/status > memory.{number}"
"""

SIZES = {1000: (5, 5, 5), 2000: (10, 5, 5), 4000: (10, 10, 5)}
"""Atoms and cubic cells."""
STEPS = 10_000
"""Of the run that must not grow, after a tenth of them."""
FORCES = 10
"""Steps of the runs for the peak."""
GIB = 2**30
MACHINES = {"24 GiB": 24 * GIB, "80 GB": 80e9}


def memory(cells: tuple[int, int, int], runs: list[int]) -> list[dict[str, int]]:
    """VmHWM and VmRSS, bytes, after each of some runs of so many steps."""
    system = nickel_oxide(cells)
    text = INPUT.format(model=system.model, types=" ".join(system.types), fix=SPINS)
    for number, steps in enumerate(runs):
        text += RUN.format(steps=steps, number=number)
    with tempfile.TemporaryDirectory() as name:
        write_data(system.atoms, Path(name) / "atoms.data", system.types)
        run_lmp(text, 1, Path(name), timeout=None)
        found = [(Path(name) / f"memory.{n}").read_text() for n in range(len(runs))]
    return [
        {key: 1024 * int(kib) for key, kib in re.findall(r"^(Vm\w+):\s+(\d+)", t, re.M)}
        for t in found
    ]


def memory_per_atom(options: Options) -> Result:
    """Slope of the peak between the smallest and the largest system."""
    steps = max(1, round(options.length * FORCES))
    peaks = {n: memory(cells, [steps])[0]["VmHWM"] for n, cells in SIZES.items()}
    small, large = min(SIZES), max(SIZES)
    slope = (peaks[large] - peaks[small]) / (large - small)
    cases = [
        {"case": f"{n} atoms", "peak_MiB": peak / 2**20} for n, peak in peaks.items()
    ]
    # what does not grow with the system is needed once
    fixed = peaks[small] - slope * small
    for name, size in MACHINES.items():
        cases.append({"case": f"fits into {name}", "atoms": (size - fixed) / slope})
    for case in cases:
        print(f"  {case}", flush=True)
    what = "peak memory of lmp for each atom, KiB, NiO, TorchScript, 1 rank"
    return Result(what, slope / 1024, None, 1, cases)


def memory_growth(options: Options) -> Result:
    """A system of 64 atoms: what a long run adds to a warm one."""
    rest = max(10, round(options.length * STEPS))
    runs = [max(1, rest // 10)] + 10 * [rest // 10]
    sizes = [found["VmRSS"] for found in memory((2, 2, 2), runs)]
    growth = (sizes[-1] - sizes[0]) / 1024
    cases = [{"case": f"every {rest // 10} steps", "MiB": [s / 2**20 for s in sizes]}]
    print(f"  {cases[0]}", flush=True)
    what = f"growth of lmp over {rest} steps after {rest // 10}, KiB, NiO, 64 atoms"
    return Result(what, growth, 0.0, 1, cases)


ROWS: dict[str, Row] = {
    "memory_per_atom": memory_per_atom,
    "memory_growth": memory_growth,
}
