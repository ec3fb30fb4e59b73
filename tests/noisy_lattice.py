"""Noisy spins on a lattice with a thermostat: ranks and restarts must not change a run.

Used by a short test and, over its full length, by benchmarks/rank_invariance.py.
"""

from pathlib import Path

import numpy as np
from ase.build import bulk
from numpy.typing import NDArray

from lammps_models import MOMENT, TYPES, save_model
from lammps_tools import TIMEOUT, columns, run_lmp, write_data

Array = NDArray[np.float64]

INPUT = """\
units metal
atom_style spin
atom_modify map array sort 0 0
newton on
{start}
pair_style spin/allegro
pair_coeff * * model.pth Ni O
timestep 0.001
fix tether all spring/self 5.0  # at its lattice constant the toy is no crystal
fix lattice all nvt temp 100 100 0.1
fix spins all spin/sib alpha 0.1 temp 100 100 seed 7
compute s all property/atom spx spy spz
thermo_style custom step temp pe econserve f_spins
thermo {every}
dump d all custom {every} dump.out id xu yu zu vx vy vz c_s[*]
dump_modify d format float %.17g
restart {half} state.*
run {steps} upto
"""
START = "read_data atoms.data\nvelocity all create 100 5"

QUANTITIES = {
    "spins": ("c_s[1]", "c_s[2]", "c_s[3]"),
    "positions": ("xu", "yu", "zu"),
    "velocities": ("vx", "vy", "vz"),
}

Frames = dict[str, Array]
"""Each of QUANTITIES, (frames, atoms, 3)."""


def run(
    directory: Path,
    steps: int,
    every: int,
    *,
    nranks: int,
    restart: Path | None = None,
    timeout: float | None = TIMEOUT,
) -> Frames:
    """64 atoms of the toy NiO from random spins, with a restart file half way.

    Args:
        directory: where, and where the files stay; made here.
        steps: number of the last step.
        every: steps between frames.
        nranks: MPI ranks.
        restart: file to go on from instead of beginning.
        timeout: longest time it may take, s; None for any.
    """
    directory.mkdir()
    save_model(directory / "model.pth")
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 2)
    moments = np.random.default_rng(1).normal(size=(len(atoms), 3))
    moments *= MOMENT / np.linalg.norm(moments, axis=1, keepdims=True)
    moments[atoms.numbers != 28] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    write_data(atoms, directory / "atoms.data", TYPES)
    text = INPUT.format(
        start=f"read_restart {restart}" if restart else START,
        every=every,
        half=steps // 2,
        steps=steps,
    )
    frames = run_lmp(text, nranks, directory, timeout=timeout).dump()
    return {
        name: np.stack([columns(frame, *names) for frame in frames])
        for name, names in QUANTITIES.items()
    }


def deviations(one: Frames, other: Frames) -> dict[str, list[float]]:
    """Largest difference of each quantity, frame by frame."""
    return {
        name: np.abs(other[name] - one[name]).max(axis=(1, 2)).tolist() for name in one
    }
