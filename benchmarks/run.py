"""Runs benchmark rows; each writes benchmarks/results/ROW.json.

    python benchmarks/run.py [ROW ...] [--ranks N] [--length FACTOR]

A file has what, value, bar, at_least, holds, cores, command and the single cases. `make
benchmark ROWS="..."` calls this.
"""

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

import compiled  # noqa: E402 - they import from the folder added above
import cutoffs  # noqa: E402
import deepspin  # noqa: E402
import force_call  # noqa: E402
import frozen_lattice  # noqa: E402
import memory  # noqa: E402
import molecular_dynamics  # noqa: E402
import monte_carlo  # noqa: E402
import one_pass  # noqa: E402
import own_code  # noqa: E402
import plain_allegro  # noqa: E402
import rank_invariance  # noqa: E402
import scaling  # noqa: E402
import thermodynamics  # noqa: E402
from rows import Options, Row  # noqa: E402

ROWS: dict[str, Row] = {
    **compiled.ROWS,
    **cutoffs.ROWS,
    **deepspin.ROWS,
    **force_call.ROWS,
    **frozen_lattice.ROWS,
    **memory.ROWS,
    **molecular_dynamics.ROWS,
    **monte_carlo.ROWS,
    **one_pass.ROWS,
    **own_code.ROWS,
    **plain_allegro.ROWS,
    **rank_invariance.ROWS,
    **scaling.ROWS,
    **thermodynamics.ROWS,
}


def main() -> None:
    """Runs the rows named on the command line, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks")
    parser.add_argument("--length", type=float, default=1.0, help="factor on all runs")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.rows) - set(ROWS))
    if unknown:
        parser.error(
            f"unknown row, got {unknown[0]}, expected one of: {', '.join(ROWS)}"
        )
    options = Options(arguments.ranks, arguments.length)
    for name in arguments.rows or ROWS:
        result = ROWS[name](options)
        command = f"python benchmarks/run.py {name} --ranks {options.ranks}"
        if options.length != 1:
            command += f" --length {options.length:g}"
        result.write(name, command)
        verdict = {None: "no bar", True: "holds", False: "DOES NOT HOLD"}[result.holds]
        side = "at least" if result.at_least else "at most"
        bar = f"{side} {result.bar}" if result.bar is not None else "none"
        print(f"{name}: {result.value:.4g}, bar {bar}: {verdict}", flush=True)


if __name__ == "__main__":
    main()
