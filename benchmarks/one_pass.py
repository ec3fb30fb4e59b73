"""What the spins cost: a spin-lattice step over a lattice-only step of one network.

Both runs are in one input script and alternate, so that a change of the machine's speed
meets both. The lattice-only step leaves out fix spin/sib and nothing else: the network
is evaluated with the same spins, which stay as they are. Atoms are tied to their sites,
because the question is time, and the cri3 network is not trained.
"""

import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from rows import REPOSITORY, Options, Result, Row

from lammps_tools import run_lmp, write_data
from spinff.data.references import reference
from spinff.header import read_header

MSENN = "exchange,anisotropy,biquadratic"
STEPS = 30
"""Of each run."""
ROUNDS = 5
"""Pairs of runs; the ratio is the median over them."""

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
run         {steps}
fix         spins all spin/sib alpha 0.1 temp 20 20 seed 1
run         {steps}
unfix       spins
next        round
jump        SELF again
"""

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


def nickel_oxide() -> System:
    """The potential in ``potentials/`` on 256 atoms."""
    model = REPOSITORY / "potentials" / "NiO" / "NiO.pth"
    atoms = bulk("NiO", "rocksalt", a=4.186, cubic=True).repeat((4, 4, 2))
    plane = np.rint(atoms.positions.sum(axis=1) / 4.186).astype(int)
    sign = np.where(plane % 2 == 0, 1.0, -1.0) * (atoms.symbols == "Ni")
    moment = read_header(model).moments["Ni"]
    atoms.set_initial_magnetic_moments(moment * sign[:, None] * np.array([0, 0, 1]))
    return System("NiO, 256 atoms, exchange,biquadratic", model, atoms, ("Ni", "O"))


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


def measure(system: System, folder: Path, options: Options) -> dict[str, object]:
    """Times of both steps, their ratio, and the passes of a run with spins."""
    write_data(system.atoms, folder / "atoms.data", system.types)
    steps = max(5, round(options.length * STEPS))
    text = INPUT.format(
        model=system.model,
        types=" ".join(system.types),
        steps=steps,
        rounds=ROUNDS,
    )
    log = run_lmp(text, options.ranks, folder, timeout=None).log
    log = log[: log.index("Total wall time")]  # the screen repeats it
    times = [float(t) / steps for t in re.findall(r"^Loop time of (\S+)", log, re.M)]
    lattice, spins = times[1::2], times[2::2]  # the first run warms up
    ratios = [b / a for a, b in zip(lattice, spins, strict=True)]
    steps_run, forward, backward = map(int, re.findall(PASSES, log)[-1])
    ratio = statistics.median(ratios)
    print(f"  {system.name}: {ratio:.4f} ({min(ratios):.4f} to {max(ratios):.4f})")
    return {
        "case": system.name,
        "ratio": ratio,
        "smallest": min(ratios),
        "largest": max(ratios),
        "seconds_lattice": statistics.median(lattice),
        "seconds_spins": statistics.median(spins),
        "passes": {"steps": steps_run, "forward": forward, "backward": backward},
    }


def one_pass(options: Options) -> Result:
    """MSENN of NiO and of cri3; the bar is theirs."""
    cases = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for system in (nickel_oxide(), chromium_iodide(folder, MSENN)):
            cases.append(measure(system, folder, options))
    what = "time of a spin-lattice step over a lattice-only step, MSENN, TorchScript"
    worst = max(float(str(case["ratio"])) for case in cases)
    return Result(what, worst, 1.05, options.ranks, cases)


def one_pass_tenn(options: Options) -> Result:
    """With a TENN the field of each trial spin is a call of its network."""
    with tempfile.TemporaryDirectory() as name:
        system = chromium_iodide(Path(name), f"{MSENN},tenn")
        case = measure(system, Path(name), options)
    what = "time of a spin-lattice step over a lattice-only step, MSENN + TENN"
    return Result(what, float(str(case["ratio"])), None, options.ranks, [case])


ROWS: dict[str, Row] = {"one_pass": one_pass, "one_pass_tenn": one_pass_tenn}
