"""One noisy spin-lattice run on 1 to 8 ranks, and continued from a restart file.

The noise is keyed by atom and time step. Ranks may differ by rounding only, which
the dynamics lets grow; a run continued on as many ranks differs by nothing.
"""

import tempfile
from pathlib import Path

from rows import Options, Result, Row

from noisy_lattice import deviations, run

RANKS = (1, 2, 4, 8)
STEPS = 2000
EVERY = STEPS // 10
"""Steps between frames; the bar belongs to the first of them."""


def rank_invariance(options: Options) -> Result:
    """Deviations from the run on one rank, of every quantity and frame."""
    every = max(1, round(options.length * EVERY))
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        frames = {}
        for nranks in RANKS:
            directory = Path(folder) / str(nranks)
            frames[nranks] = run(
                directory, 10 * every, every, nranks=nranks, timeout=None
            )
            found = deviations(frames[1], frames[nranks])
            print(f"  {nranks} ranks, after {every} and {10 * every} steps: ", end="")
            print({name: (values[1], values[-1]) for name, values in found.items()})
            steps = [every * frame for frame in range(11)]
            cases.append({"ranks": nranks, "steps": steps, **found})
    what = f"largest deviation of spins and positions (A) from 1 rank, step {every}"
    worst = max(case[name][1] for case in cases for name in ("spins", "positions"))
    return Result(what, worst, 1e-8, max(RANKS), cases)


def exact_restart(options: Options) -> Result:
    """The second half of the run, from the file that the first half wrote."""
    steps = 10 * max(1, round(options.length * EVERY))
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for nranks in RANKS:
            whole, rest = (Path(folder) / f"{name}{nranks}" for name in ("all", "rest"))
            first = run(whole, steps, steps // 2, nranks=nranks, timeout=None)
            state = whole / f"state.{steps // 2}"
            second = run(
                rest, steps, steps // 2, nranks=nranks, timeout=None, restart=state
            )
            later = {name: values[1:] for name, values in first.items()}
            found = {name: max(d) for name, d in deviations(later, second).items()}
            cases.append({"ranks": nranks, **found})
            print(f"  {cases[-1]}", flush=True)
    what = f"largest deviation after a restart at step {steps // 2}, to step {steps}"
    worst = max(case[name] for case in cases for name in found)
    return Result(what, worst, 0.0, max(RANKS), cases)


ROWS: dict[str, Row] = {
    "rank_invariance": rank_invariance,
    "exact_restart": exact_restart,
}
