"""AOTInductor beside TorchScript, on one core.

The networks are those of the examples, untrained, each deployed in both formats
(``spinff deploy --format``); see networks.py. Compiling them takes minutes.
"""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from force_call import times
from networks import Example, cri3, deploy, model_config, nio
from one_pass import System, case, cost_of_spins, worst
from rows import Options, Result, Row

STEPS = 20
"""Force calls of each run."""
EXAMPLES = {"NiO": nio, "cri3": cri3}

_folder = tempfile.TemporaryDirectory()


@cache
def deployed(name: str) -> tuple[Example, Path, Path]:
    """An example and its MSENN in both formats, written once for all rows."""
    example = EXAMPLES[name]()
    config = model_config(example)
    paths = (Path(_folder.name, f"{name}{ending}") for ending in (".pth", ".pt2"))
    script, compiled = (deploy(config, path) for path in paths)
    return example, script, compiled


def aotinductor(options: Options) -> Result:
    """A force call of the one over one of the other; the value is the smallest."""
    steps = max(3, round(options.length * STEPS))
    cases = []
    for name in EXAMPLES:
        example, script, compiled = deployed(name)
        with tempfile.TemporaryDirectory() as folder:
            slow, fast = times(example, [script, compiled], Path(folder), steps)
        notes: dict[str, object] = {
            "seconds_torchscript": float(np.median(slow)),
            "seconds_aotinductor": float(np.median(fast)),
        }
        title = f"{example.name}, {','.join(example.terms)}"
        cases.append(case(title, slow / fast, notes))
    what = "time of a force call, TorchScript over AOTInductor, MSENN, one core"
    least = min(float(str(case["ratio"])) for case in cases)
    return Result(what, least, 2.2, 1, cases, at_least=True)


def one_pass_aotinductor(options: Options) -> Result:
    """The row ``one_pass`` with compiled networks."""
    cases = []
    for name in EXAMPLES:
        example, _, compiled = deployed(name)
        title = f"{example.name}, {','.join(example.terms)}"
        system = System(title, compiled, example.atoms, example.types)
        with tempfile.TemporaryDirectory() as folder:
            cases.append(cost_of_spins(system, Path(folder), options))
    what = "time of a spin-lattice step over a lattice-only step, MSENN, AOTInductor"
    return Result(what, worst(cases), 1.15, options.ranks, cases)


ROWS: dict[str, Row] = {
    "aotinductor": aotinductor,
    "one_pass_aotinductor": one_pass_aotinductor,
}
