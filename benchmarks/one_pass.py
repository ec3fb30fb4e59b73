"""What the spins cost: a spin-lattice step over a lattice-only step of one network.

The runs are in one input script and alternate, so that a change of the machine's speed
meets all of them. The lattice-only step leaves out fix spin/sib and nothing else: the
network is evaluated with the same spins, which stay as they are. Atoms are tied to
their sites, because the question is time, and the cri3 network is not trained.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray
from rows import REPOSITORY, Options, Result, Row

from lammps_tools import run_lmp, write_data
from spinff.data.references import reference
from spinff.header import read_header

Times = NDArray[np.float64]

MSENN = "exchange,anisotropy,biquadratic"
STEPS = 30
"""Of each run."""
ROUNDS = 5
"""Times that the runs of one case alternate; a ratio is the median over them."""

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
thermo      {steps}
run         {steps}
label       again
variable    round loop {rounds}
{runs}
next        round
jump        SELF again
"""

SPINS = "fix spins all spin/sib alpha 0.1 temp 20 20 seed 1"
RUNS = {"lattice": "", "spins": SPINS, "substeps": f"{SPINS} substeps 10"}
"""The fix of each kind of run."""

PASSES = r"network passes in (\d+) steps and their setup: (\d+) forward, (\d+) backward"


@dataclass
class System:
    """A deployed model and the atoms it is run on."""

    name: str
    model: Path
    atoms: Atoms
    types: tuple[str, ...]


def spinff(*arguments: object) -> None:
    """A command of spinff, quiet unless it fails."""
    command = [Path(sys.executable).parent / "spinff", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"one_pass.py: {' '.join(map(str, command))}: {done.stderr[-2000:]}")


def nickel_oxide(cells: tuple[int, int, int] = (4, 4, 2)) -> System:
    """The potential in ``potentials/``, or that of NIO_MODEL, on cells of 8 atoms."""
    default = REPOSITORY / "potentials" / "NiO" / "NiO.pth"
    model = Path(os.environ.get("NIO_MODEL", default)).absolute()
    atoms = bulk("NiO", "rocksalt", a=4.186, cubic=True).repeat(cells)
    plane = np.rint(atoms.positions.sum(axis=1) / 4.186).astype(int)
    sign = np.where(plane % 2 == 0, 1.0, -1.0) * (atoms.symbols == "Ni")
    moment = read_header(model).moments["Ni"]
    atoms.set_initial_magnetic_moments(moment * sign[:, None] * np.array([0, 0, 1]))
    name = f"NiO, {len(atoms)} atoms, exchange,biquadratic"
    return System(name, model, atoms, ("Ni", "O"))


def chromium_iodide(folder: Path, terms: str) -> System:
    """The network of ``examples/monolayers/cri3.yaml`` on 648 atoms, hardly trained."""
    for part, number in (("train", 3), ("val", 1)):
        frames = folder / f"cri3_{part}.xyz"
        spinff("data", "generate", "cri3", "-n", number, "--seed", 1, "-o", frames)
    config = REPOSITORY / "examples" / "monolayers" / "cri3.yaml"
    settings = [f"frames={folder}/cri3_", f"terms=[{terms}]", "epochs=1"]
    spinff("train", config, *settings, "-o", folder / "cri3")
    model = folder / "cri3.pth"
    spinff("deploy", folder / "cri3" / "model.pth", "-o", model)
    atoms = reference("cri3").structure((9, 9, 1))
    atoms.set_initial_magnetic_moments(atoms.arrays.pop("magnetic_moments"))
    return System(f"cri3, 648 atoms, {terms}", model, atoms, ("Cr", "I"))


def measure(
    system: System, folder: Path, options: Options, kinds: tuple[str, ...]
) -> tuple[dict[str, Times], dict[str, object]]:
    """Seconds a step of each round by kind of run, and what else is worth writing."""
    write_data(system.atoms, folder / "atoms.data", system.types)
    steps = max(5, round(options.length * STEPS))
    runs = []
    for kind in kinds:
        fix = RUNS[kind]
        runs += [fix, f"run {steps}", "unfix spins"] if fix else [f"run {steps}"]
    text = INPUT.format(
        model=system.model,
        types=" ".join(system.types),
        steps=steps,
        rounds=ROUNDS,
        runs="\n".join(runs),
    )
    log = run_lmp(text, options.ranks, folder, timeout=None).log
    log = log[: log.index("Total wall time")]  # the screen repeats it
    times = np.array(re.findall(r"^Loop time of (\S+)", log, re.M), float) / steps
    rounds = times[1:].reshape(ROUNDS, len(kinds))  # the first run warms up
    steps_run, forward, backward = map(int, re.findall(PASSES, log)[-1])
    passes = {"steps": steps_run, "forward": forward, "backward": backward}
    medians = np.median(rounds, axis=0)
    notes: dict[str, object] = {
        f"seconds_{kind}": float(median)
        for kind, median in zip(kinds, medians, strict=True)
    }
    notes["passes"] = passes
    return dict(zip(kinds, rounds.T, strict=True)), notes


def case(name: str, ratios: Times, notes: dict[str, object]) -> dict[str, object]:
    """One case of a result; the ratio is the median."""
    spread = {"smallest": float(ratios.min()), "largest": float(ratios.max())}
    ratio = float(np.median(ratios))
    print(f"  {name}: {ratio:.4f} ({ratios.min():.4f} to {ratios.max():.4f})")
    return {"case": name, "ratio": ratio, **spread, **notes}


def cost_of_spins(system: System, folder: Path, options: Options) -> dict[str, object]:
    """A step with spins over one without."""
    times, notes = measure(system, folder, options, ("lattice", "spins"))
    return case(system.name, times["spins"] / times["lattice"], notes)


def cost_of_substeps(
    system: System, folder: Path, options: Options
) -> dict[str, object]:
    """What 10 substeps add to one, over a step without spins."""
    times, notes = measure(system, folder, options, ("lattice", "spins", "substeps"))
    added = (times["substeps"] - times["spins"]) / times["lattice"]
    return case(system.name, added, notes)


def worst(cases: list[dict[str, object]]) -> float:
    """The largest ratio."""
    return max(float(str(case["ratio"])) for case in cases)


def both_systems(
    cost: Callable[[System, Path, Options], dict[str, object]], options: Options
) -> list[dict[str, object]]:
    """A cost of NiO and of cri3 with MSENN."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        systems = (nickel_oxide(), chromium_iodide(folder, MSENN))
        return [cost(system, folder, options) for system in systems]


def one_pass(options: Options) -> Result:
    """MSENN of NiO and of cri3; the bar is theirs."""
    cases = both_systems(cost_of_spins, options)
    what = "time of a spin-lattice step over a lattice-only step, MSENN, TorchScript"
    return Result(what, worst(cases), 1.05, options.ranks, cases)


def substeps(options: Options) -> Result:
    """The same two: the couplings of one pass serve all substeps."""
    cases = both_systems(cost_of_substeps, options)
    what = "time that substeps 10 adds to substeps 1, over a lattice-only step, MSENN"
    return Result(what, worst(cases), 0.05, options.ranks, cases)


def one_pass_tenn(options: Options) -> Result:
    """With a TENN the field of each trial spin is a call of its network."""
    with tempfile.TemporaryDirectory() as name:
        system = chromium_iodide(Path(name), f"{MSENN},tenn")
        cases = [cost_of_spins(system, Path(name), options)]
    what = "time of a spin-lattice step over a lattice-only step, MSENN + TENN"
    return Result(what, worst(cases), None, options.ranks, cases)


ROWS: dict[str, Row] = {
    "one_pass": one_pass,
    "one_pass_tenn": one_pass_tenn,
    "substeps": substeps,
}
