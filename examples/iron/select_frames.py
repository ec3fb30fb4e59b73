"""Writes fe_train.xyz, fe_val.xyz and fe_test.xyz: a part of the fe_collinear data.

    python examples/iron/select_frames.py PATH/fe_npj2021.xyz.gz

Of the frames below −6 eV/atom with at most 60 atoms, 400 are drawn to train on, 50 to
choose the epoch and 200 to test, with one seed. Stress is read from VASP's kB.
"""

import argparse
from pathlib import Path

import numpy as np

from spinff.data import read_frames
from spinff.data.extxyz import write_extxyz

PARTS = {"train": 400, "val": 50, "test": 200}
SEED = 1
HIGHEST_ENERGY = -6.0
"""eV/atom; above it lie frames with atoms almost on top of each other."""
MOST_ATOMS = 60


def main() -> None:
    """Reads, draws and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("."))
    args = parser.parse_args()
    frames = read_frames(args.path, keys={"stress_kB": "stress_kB"})
    kept = [
        atoms
        for atoms in frames
        if len(atoms) <= MOST_ATOMS
        and atoms.get_potential_energy() / len(atoms) < HIGHEST_ENERGY
    ]
    order = np.random.default_rng(SEED).permutation(len(kept))
    start = 0
    for name, count in PARTS.items():
        part = [kept[i] for i in order[start : start + count]]
        start += count
        file = args.output / f"fe_{name}.xyz"
        write_extxyz(file, part)
        print(f"{file}: {len(part)} frames, {sum(map(len, part))} atoms")


if __name__ == "__main__":
    main()
