"""What seeing spins adds to a force call: MSENN and TENN over a plain Allegro.

All of one example are deployed networks of the same hyperparameters and cutoffs, on the
same contraction, in the same executor of TorchScript, and are called by LAMMPS on the
same edges: atoms move with constant velocities whatever the forces
(fix nve/noforce), and spins rest. A force call gives energies, forces, virial and spin
forces. The plain Allegro is the model without terms. Networks alternate in one run of
lmp on one rank, and times are those of the processor.

NiO is there twice: with the cutoffs of its example, where three of five edges are
magnetic ones, and with 5 Å for all pairs, where one of six is.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from networks import Example, cri3, deploy, model_config, nio
from one_pass import Times, case, worst
from rows import Options, Result, Row

from lammps_tools import run_lmp, write_data

STEPS = 20
"""Force calls of each run."""
ROUNDS = 15
"""Times that the networks of one case alternate; a ratio is the median over them."""

INPUT = """\
units       metal
atom_style  spin
boundary    p p p
newton      on
read_data   atoms.data
neighbor    1.0 bin
timestep    0.0005
velocity    all create 1.0 1
fix         lattice all nve/noforce
thermo_style custom step pe press
thermo      1
label       again
variable    round loop {rounds}
{runs}
next        round
jump        SELF again
"""

RUN = """\
pair_style  none
pair_style  spin/allegro
pair_coeff  * * {model} {types}
run         3
run         {steps}"""


def times(
    example: Example, models: list[Path], folder: Path, steps: int
) -> list[Times]:
    """Processor seconds of a force call in each round, by model."""
    write_data(example.atoms, folder / "atoms.data", example.types)
    types = " ".join(example.types)
    runs = [RUN.format(model=model, types=types, steps=steps) for model in models]
    text = INPUT.format(rounds=ROUNDS, runs="\n".join(runs))
    log = run_lmp(text, 1, folder, timeout=None).log
    log = log[: log.index("Total wall time")]  # the screen repeats it
    loops = np.array(re.findall(r"^Loop time of (\S+)", log, re.M), float)
    shares = np.array(re.findall(r"^(\S+)% CPU use", log, re.M), float) / 100
    seconds = (loops * shares)[1::2] / steps  # the run before each warms it up
    return list(seconds.reshape(ROUNDS, len(models)).T)


ALL_PAIRS = {"Ni": {"Ni": 5.0, "O": 5.0}, "O": {"Ni": 5.0, "O": 5.0}}


def compare(
    example: Example,
    network: dict[str, object],
    options: Options,
    edges: dict[str, object],
) -> dict[str, object]:
    """The example's network with some arguments over the one without terms.

    Args:
        example: with its atoms.
        network: arguments of its model.
        options: of the run.
        edges: arguments of both models.
    """
    steps = max(3, round(options.length * STEPS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = deploy(model_config(example, terms=[], **edges), folder / "plain.pth")
        other = deploy(model_config(example, **network, **edges), folder / "other.pth")
        base, seconds = times(example, [plain, other], folder, steps)
    notes: dict[str, object] = {
        "seconds_plain": float(np.median(base)),
        "seconds_call": float(np.median(seconds)),
    }
    terms = network["terms"]
    assert isinstance(terms, list)
    title = [example.name, *(["5 A for all pairs"] if edges else []), ",".join(terms)]
    return case(", ".join(title), seconds / base, notes)


def without_soc(example: Example) -> dict[str, object]:
    """Its MSENN without spin-orbit coupling, which has no anisotropy."""
    terms = [term for term in example.terms if term != "anisotropy"]
    return {"terms": terms, "spin_orbit_coupling": False}


def with_soc(example: Example) -> dict[str, object]:
    """Its MSENN."""
    return {"terms": list(example.terms)}


def with_tenn(example: Example) -> dict[str, object]:
    """Its MSENN and a TENN."""
    return {"terms": [*example.terms, "tenn"]}


def row(what: str, bar: float, network: Callable[[Example], dict[str, object]]) -> Row:
    """The worst of NiO and cri3."""

    def run(options: Options) -> Result:
        everywhere: dict[str, object] = {"per_edge_type_cutoff": ALL_PAIRS}
        cases = [
            compare(example, network(example), options, edges)
            for example, edges in ((nio(), {}), (nio(), everywhere), (cri3(), {}))
        ]
        return Result(
            f"time of a force call over plain Allegro's, {what}, TorchScript, 1 rank",
            worst(cases),
            bar,
            1,
            cases,
        )

    return run


ROWS: dict[str, Row] = {
    "force_call": row("MSENN without spin-orbit coupling", 1.1, without_soc),
    "force_call_soc": row("MSENN with spin-orbit coupling", 1.6, with_soc),
    "force_call_tenn": row("MSENN + TENN", 3.0, with_tenn),
}
