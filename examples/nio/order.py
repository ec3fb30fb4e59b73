"""Antiferromagnetic order of the Ni spins in a dump of in.anneal.

    python examples/nio/order.py anneal.dump [LATTICE_CONSTANT]

The order of the second kind has wave vectors k = 2π/a (±½, ±½, ½), four of them. With
M_k = Σ_i e_i cos(k·r_i) / N, Σ_k |M_k|² is 1 where all second neighbours are
antiparallel, and 4/N for random spins. One k alone, with its 1: ferromagnetic (111)
planes, alternating.
"""

import sys
from pathlib import Path

import numpy as np
from build_supercell import LATTICE_CONSTANT
from numpy.typing import NDArray


def staggered(dump: Path, lattice_constant: float) -> NDArray[np.float64]:
    """|M_k|² of the four wave vectors in the order +++, −++, +−+, −−+."""
    lines = dump.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
    rows = np.array([line.split() for line in lines[start + 1 :]], dtype=float)
    positions, spins = rows[:, 1:4], rows[:, 4:7]
    signs = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [-1, -1, 1]])
    phases = np.cos(np.pi / lattice_constant * positions @ signs.T)
    return ((phases.T @ spins / len(spins)) ** 2).sum(axis=1)


def main() -> None:
    """Command line."""
    lattice_constant = float(sys.argv[2]) if len(sys.argv) > 2 else LATTICE_CONSTANT
    found = staggered(Path(sys.argv[1]), lattice_constant)
    parts = " + ".join(f"{value:.4f}" for value in found)
    print(f"sum of |M_k|^2: {parts} = {found.sum():.4f}")


if __name__ == "__main__":
    main()
