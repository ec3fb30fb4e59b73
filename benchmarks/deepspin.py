"""A spin-lattice step beside DeePMD-kit's pair_style deepspin, 256 atoms of NiO.

Both on two ranks of one thread, in turn. Ours is pair_style spin/allegro with fix
spin/sib, fix nve: a whole step of SIB. Theirs is one force call, under fix nve. It is
the least that a step of theirs can cost, and more than its LAMMPS can do with it: stock
fix nve/spin takes fields from styles of LAMMPS' own SPIN package only, so it does not
turn the spins of deepspin on one rank and stops on two ("No suitable cutoff found for
sectoring operation"). SIB without kept couplings takes five calls a step.

Their model is the se_e2_a network of DeePMD-kit's NiO example
(examples/spin/se_e2_a/input_torch.json), trained on the frames of
examples/spin/data_reformat, which are those of nio_deltaspin. Errors on data_2 are
written beside the speeds, ours as `spinff evaluate` has them, theirs of the predictions
of `dp test`: the same mean absolute errors, of magnetic forces those of the components
on atoms with a moment. Our potential has moments of fixed length, so that a part along
the moment is no output of it: in the whole vector it counts as zero.

DEEPSPIN_PYTHON is the Python of an environment of its own, DEEPSPIN_MODEL a frozen
model; without that the row trains one for 1000 steps (a quarter of an hour on a core).
NIO_MODEL is ours, by default the one in potentials/.

    python3.11 -m venv deepmd
    deepmd/bin/pip install 'deepmd-kit[torch,lmp]==3.2.0' nvidia-cuda-runtime-cu12
    DEEPSPIN_PYTHON=deepmd/bin/python make benchmark ROWS=deepspin

The CUDA runtime is loaded by DeePMD-kit's library also where no GPU is used.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from one_pass import System, nickel_oxide
from rows import Options, Result, Row, cores_for_all_ranks

from lammps_tools import run_lmp, write_data
from spinff.evaluation import evaluate
from spinff.export import load_model

RANKS = 2
ROUNDS = 3
"""Pairs of runs; the ratio is the median over them."""
STEPS = {"spinff": 60, "deepspin": 3}
"""Of each run: some seconds of both."""
TRAINING_STEPS = 1000

INPUT = """\
units       metal
atom_style  spin
atom_modify map array
boundary    p p p
newton      on
read_data   atoms.data
pair_style  {pair}
pair_coeff  * * {coefficients}
neighbor    1.0 bin
timestep    0.0005
velocity    all create 40.0 1
fix         tether all spring/self 20.0
{fix}
fix         lattice all nve
thermo      1000000000
run         1
run         {steps}
"""
SIB = "fix spins all spin/sib alpha 0.1 temp 20 20 seed 1"

TRAINING = {
    "model": {
        "type_map": ["Ni", "O"],
        "descriptor": {
            "type": "se_e2_a",
            "sel": [60, 60],
            "rcut_smth": 5.4,
            "rcut": 5.6,
            "neuron": [25, 50, 100],
            "resnet_dt": False,
            "axis_neuron": 16,
            "seed": 1,
        },
        "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "seed": 1},
        "data_stat_nbatch": 10,
        "spin": {"use_spin": [True, False], "virtual_scale": [0.3140]},
    },
    "loss": {
        "type": "ener_spin",
        "start_pref_e": 0.02,
        "limit_pref_e": 1,
        "start_pref_fr": 1000,
        "limit_pref_fr": 1,
        "start_pref_fm": 1000,
        "limit_pref_fm": 1,
    },
}


class DeePMD:
    """An environment with DeePMD-kit and LAMMPS."""

    def __init__(self) -> None:
        """Of DEEPSPIN_PYTHON."""
        python = os.environ.get("DEEPSPIN_PYTHON")
        if python is None:
            sys.exit(
                "deepspin.py: no DeePMD-kit, got no environment variable "
                "DEEPSPIN_PYTHON, expected the Python of an environment with "
                "deepmd-kit[torch,lmp]==3.2.0 and nvidia-cuda-runtime-cu12"
            )
        self.programs = Path(python).absolute().parent
        libraries = self.programs.parent.glob(
            "lib/python*/site-packages/nvidia/cuda_runtime/lib"
        )
        self.environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "DP_INTRA_OP_PARALLELISM_THREADS": "1",
            "DP_INTER_OP_PARALLELISM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        }
        # the paths of this environment's plugin and libraries are not theirs
        for name in ("LAMMPS_PLUGIN_PATH", "PYTHONPATH"):
            self.environment.pop(name, None)

    def __call__(self, folder: Path, program: str, *arguments: object) -> str:
        """What a program prints, run in a folder."""
        command = [self.programs / program, *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"deepspin.py: {program} {arguments}: {done.stdout[-2000:]}")
        return done.stdout


def data_folder() -> Path:
    """The frames of nio_deltaspin."""
    root = os.environ.get("SPINFF_DATA")
    if root is None:
        sys.exit(
            "deepspin.py: no data, got no environment variable SPINFF_DATA, expected "
            "the folder that holds nio_deltaspin"
        )
    return Path(root).absolute() / "nio_deltaspin"


def trained(deepmd: DeePMD, folder: Path, options: Options) -> tuple[Path, str]:
    """A frozen model and what it is."""
    given = os.environ.get("DEEPSPIN_MODEL")
    if given is not None:
        return Path(given).absolute(), "given by DEEPSPIN_MODEL"
    steps = max(2, round(options.length * TRAINING_STEPS))
    data = data_folder()
    rate = {"type": "exp", "decay_steps": max(1, steps // 50)}
    training = {
        "training_data": {
            "systems": [str(data / "data_0"), str(data / "data_1")],
            "batch_size": 3,
        },
        "numb_steps": steps,
        "seed": 10,
        "disp_freq": 100,
        "save_freq": steps,
    }
    config = TRAINING | {
        "learning_rate": rate | {"start_lr": 0.001, "stop_lr": 1e-5},
        "training": training,
    }
    (folder / "input.json").write_text(json.dumps(config))
    deepmd(folder, "dp", "--pt", "train", "input.json", "--skip-neighbor-stat")
    deepmd(folder, "dp", "--pt", "freeze", "-o", "deepspin.pth")
    return folder / "deepspin.pth", f"trained for {steps} steps of 3 frames"


def speed(log: str, atoms: int, steps: int) -> float:
    """Atom steps per second of the last run in a log."""
    log = log[: log.rindex("Total wall time")]
    return atoms * steps / float(re.findall(r"^Loop time of (\S+)", log, re.M)[-1])


def ours(system: System, folder: Path, fix: str, steps: int) -> float:
    """Atom steps per second of pair_style spin/allegro."""
    coefficients = f"{system.model} {' '.join(system.types)}"
    text = INPUT.format(
        pair="spin/allegro", coefficients=coefficients, fix=fix, steps=steps
    )
    run_lmp(text, RANKS, folder, timeout=None)
    return speed((folder / "log.lammps").read_text(), len(system.atoms), steps)


def theirs(
    deepmd: DeePMD, model: Path, system: System, folder: Path, steps: int
) -> float:
    """Atom steps per second of pair_style deepspin."""
    coefficients = " ".join(system.types)
    text = INPUT.format(
        pair=f"deepspin {model}", coefficients=coefficients, fix="", steps=steps
    )
    (folder / "in.deepspin").write_text(text)
    lmp = deepmd.programs / "lmp"
    arguments = (
        "-n",
        RANKS,
        lmp,
        "-in",
        "in.deepspin",
        "-nocite",
        "-log",
        "log.theirs",
    )
    deepmd(folder, "mpiexec", *arguments)
    return speed((folder / "log.theirs").read_text(), len(system.atoms), steps)


def their_errors(deepmd: DeePMD, model: Path, folder: Path) -> dict[str, float]:
    """Mean absolute errors on data_2, as `spinff evaluate` names them."""
    data = data_folder() / "data_2"
    # of all frames: -n 0
    deepmd(folder, "dp", "--pt", "test", "-m", model, "-s", data, "-n", 0, "-d", "out")

    def errors(kind: str) -> NDArray[np.float64]:
        label, prediction = np.split(
            np.loadtxt(folder / f"out.{kind}.out", ndmin=2), 2, axis=1
        )
        return prediction - label

    moments = np.load(data / "set.000" / "spin.npy").reshape(-1, 3)
    directions = moments[np.linalg.norm(moments, axis=1) > 0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    magnetic = errors("fm")
    along = (magnetic * directions).sum(axis=1, keepdims=True) * directions
    found = {
        "energy_mae_mev_per_atom": errors("e_peratom"),
        "forces_mae_mev_per_a": errors("fr"),
        "magnetic_forces_mae_mev_per_mub": magnetic,
        "magnetic_forces_transverse_mae_mev_per_mub": magnetic - along,
    }
    return {name: 1e3 * float(np.abs(values).mean()) for name, values in found.items()}


def our_errors(model: Path) -> dict[str, float]:
    """The same of our potential."""
    data = data_folder() / "data_2"
    found = evaluate(load_model(model), [data], progress=False).errors().as_dict()
    names = (
        "energy_mae_mev_per_atom",
        "forces_mae_mev_per_a",
        "magnetic_forces_mae_mev_per_mub",
        "magnetic_forces_transverse_mae_mev_per_mub",
    )
    return {name: float(str(found[name])) for name in names}


def deepspin(options: Options) -> Result:
    """Whole steps of ours over force calls of theirs; the bare calls beside them."""
    deepmd = DeePMD()
    system = nickel_oxide()
    steps = {name: max(1, round(options.length * n)) for name, n in STEPS.items()}
    speeds: dict[str, list[float]] = {"step": [], "call": [], "deepspin": []}
    with tempfile.TemporaryDirectory() as name, cores_for_all_ranks():
        folder = Path(name)
        write_data(system.atoms, folder / "atoms.data", system.types)
        model, origin = trained(deepmd, folder, options)
        for _ in range(ROUNDS):
            speeds["step"].append(ours(system, folder, SIB, steps["spinff"]))
            speeds["call"].append(ours(system, folder, "", steps["spinff"]))
            other = theirs(deepmd, model, system, folder, steps["deepspin"])
            speeds["deepspin"].append(other)
        errors = {"spinff": our_errors(system.model)}
        errors["deepspin"] = their_errors(deepmd, model, folder)

    def ratios(kind: str) -> dict[str, Any]:
        values = np.divide(speeds[kind], speeds["deepspin"])
        return {
            "ratio": float(np.median(values)),
            "smallest": float(values.min()),
            "largest": float(values.max()),
            "atom_steps_per_s": statistics.median(speeds[kind]),
            "deepspin_atom_steps_per_s": statistics.median(speeds["deepspin"]),
        }

    cases = [
        {"case": "step of SIB over their force call", **ratios("step")},
        {"case": "force call over force call", **ratios("call")},
        {"case": "errors on data_2", "deepspin_model": origin, **errors},
    ]
    for case in cases:
        print(f"  {case}", flush=True)
    what = (
        "atom steps per second of a spin-lattice step, NiO, 256 atoms, over a force "
        f"call of DeePMD-kit 3.2's deepspin; our model {system.model.name}"
    )
    value = float(cases[0]["ratio"])
    return Result(what, value, 60.0, RANKS, cases, at_least=True)


ROWS: dict[str, Row] = {"deepspin": deepspin}
