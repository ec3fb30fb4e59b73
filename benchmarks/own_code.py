"""The share of our own C++ in a spin-lattice step: 5000 atoms of NiO on one rank.

Linux' perf samples the processor time of lmp between two of its runs (Debian: package
linux-perf) and says in which library each sample lies. Ours is spinffplugin.so: graph,
contraction, SIB step, noise, sums and checks, with the headers of torch and the
standard library that are compiled into it. The C, mathematics and C++ libraries serve
libtorch and the plugin alike; counted as if all of them were the plugin's they give an
upper limit. Samples in the kernel, which are page faults of large tensors, count on
neither side.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from one_pass import SPINS, nickel_oxide
from rows import Options, Result, Row
from scaling import INPUT

from lammps_tools import ranks_of, start_lmp, wait_for, write_data

CELLS = (25, 5, 5)
"""Cubic cells of 8 atoms."""
STEPS = 20
FREQUENCY = 500
"""Samples per second."""
SHARED = ("libc.so", "libm.so", "libstdc++.so")


def samples(folder: Path, steps: int) -> dict[str, int]:
    """Samples of some steps by library."""
    system = nickel_oxide(CELLS)
    write_data(system.atoms, folder / "atoms.data", system.types)
    text = INPUT.format(
        model=system.model, types=" ".join(system.types), fix=SPINS, steps=steps
    )
    run = f"run         {steps}\n"
    # perf attaches while lmp waits
    text = text.replace(run, 'shell "touch warm; sleep 2"\n' + run)
    record = f"perf record -q -e cpu-clock -F {FREQUENCY} -o perf.data -p".split()
    report = "perf report -q -i perf.data --stdio --sort dso -F sample,dso -t ;".split()
    with start_lmp(text, 1, folder) as process:
        wait_for((folder / "warm").exists, 600)
        (rank,) = wait_for(lambda: ranks_of(process.pid, 1), 10)
        with subprocess.Popen([*record, str(rank)], cwd=folder):  # ends with the rank
            output = process.communicate()[0]
    if process.returncode != 0:
        sys.exit(f"own_code.py: lmp failed: {output[-2000:]}")
    lines = subprocess.run(
        report, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    pairs = [line.split(";") for line in lines if ";" in line]
    return {library.strip(): int(count) for count, library in pairs}


def own_code(options: Options) -> Result:
    """The plugin's share of the samples outside the kernel."""
    if shutil.which("perf") is None:
        sys.exit(
            "own_code.py: no perf, got no such program, expected it in PATH; install "
            "the package linux-perf"
        )
    with tempfile.TemporaryDirectory() as name:
        found = samples(Path(name), max(2, round(options.length * STEPS)))
    total = sum(count for library, count in found.items() if "kernel" not in library)
    own = sum(count for library, count in found.items() if "spinff" in library)
    shared = sum(n for library, n in found.items() if library.startswith(SHARED))
    case = {
        "case": "5000 atoms, shares outside the kernel",
        "share": own / total,
        "upper_limit": (own + shared) / total,
        "kernel_over_the_rest": sum(found.values()) / total - 1,
        "samples": found,
    }
    print(f"  {case}", flush=True)
    what = "share of our own C++ in the processor time of a step, NiO, 5000 atoms"
    return Result(what, own / total, 0.02, 1, [case])


ROWS: dict[str, Row] = {"own_code": own_code}
