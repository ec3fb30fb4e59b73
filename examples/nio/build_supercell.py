"""Writes a LAMMPS data file of antiferromagnetic NiO.

    python examples/nio/build_supercell.py --model NiO.pth --repeat 2 2 2 -o nio.data

Rock salt with the order of the second kind (AFII): ferromagnetic (111) planes of Ni,
alternating, moments along [1 1 -2] in the planes. Three atom types, so that each
sublattice is a group in LAMMPS: 1 = Ni up, 2 = Ni down, 3 = O. Hence

    pair_coeff * * NiO.pth Ni Ni O
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers

from spinff.header import read_header

LATTICE_CONSTANT = 4.186
"""Å, of the cubic cell; that of the training data of potentials/NiO."""

EASY_AXIS = np.array([1.0, 1.0, -2.0]) / np.sqrt(6.0)
"""Direction of the moments of the first sublattice."""

TYPE_NAMES = ("Ni", "Ni", "O")
"""Element of each LAMMPS type: Ni up, Ni down, O."""


def build_supercell(
    repeat: tuple[int, int, int], lattice_constant: float, moment: float
) -> Atoms:
    """NiO with AFII order.

    Args:
        repeat: repetitions of the cubic cell of 8 atoms, each even: the order doubles
            the cell along every axis.
        lattice_constant: Å.
        moment: length of the moments of Ni, µB.

    Returns:
        Atoms with moments in ``get_initial_magnetic_moments()`` (N, 3) and the LAMMPS
        types, from 1, in ``arrays["type"]``.
    """
    if any(n < 2 or n % 2 for n in repeat):
        raise ValueError(
            f"build_supercell: the AFII order does not fit, got repeat {repeat}, "
            "expected even numbers; change them"
        )
    atoms = bulk("NiO", "rocksalt", a=lattice_constant, cubic=True).repeat(repeat)
    is_nickel = atoms.symbols == "Ni"
    # x + y + z of Ni is a whole number of cubic cells: the number of its (111) plane
    plane = np.rint(atoms.positions.sum(axis=1) / lattice_constant).astype(int)
    up = plane % 2 == 0
    sign = np.where(up, 1.0, -1.0) * is_nickel
    atoms.set_initial_magnetic_moments(moment * sign[:, None] * EASY_AXIS)
    atoms.arrays["type"] = np.where(is_nickel, np.where(up, 1, 2), 3)
    return atoms


def write_data_file(atoms: Atoms, path: Path) -> None:
    """Writes an orthogonal cell as a data file of ``atom_style spin``."""
    lines = ["NiO, AFII order: types 1 Ni up, 2 Ni down, 3 O", ""]
    lines += [f"{len(atoms)} atoms", f"{len(TYPE_NAMES)} atom types", ""]
    lines += [
        f"0 {length:.10g} {axis}lo {axis}hi"
        for axis, length in zip("xyz", atoms.cell.lengths(), strict=True)
    ]
    lines += ["", "Masses", ""]
    lines += [
        f"{number} {atomic_masses[atomic_numbers[name]]:.6g}"
        for number, name in enumerate(TYPE_NAMES, start=1)
    ]
    # id type x y z, direction of the moment (any for length 0), its length in µB
    lines += ["", "Atoms # spin", ""]
    moments = atoms.get_initial_magnetic_moments()
    for row, (kind, position, m) in enumerate(
        zip(atoms.arrays["type"], atoms.positions, moments, strict=True), start=1
    ):
        length = float(np.linalg.norm(m))
        direction = m / length if length > 0 else EASY_AXIS
        numbers = " ".join(f"{x:.10g}" for x in (*position, *direction, length))
        lines.append(f"{row} {kind} {numbers}")
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", type=Path, required=True, help="deployed model; says Ni's moment"
    )
    parser.add_argument(
        "--repeat",
        type=int,
        nargs=3,
        default=(2, 2, 2),
        metavar=("NX", "NY", "NZ"),
        help="cubic cells of 8 atoms along each axis, even (default: 2 2 2)",
    )
    parser.add_argument(
        "-a",
        type=float,
        default=LATTICE_CONSTANT,
        help=f"lattice constant in Å (default: {LATTICE_CONSTANT})",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("nio.data"))
    args = parser.parse_args()
    moment = read_header(args.model).moments["Ni"]
    atoms = build_supercell(tuple(args.repeat), args.a, moment)
    write_data_file(atoms, args.output)
    print(f"{args.output}: {len(atoms)} atoms, moments of Ni {moment:.4g} µB")


if __name__ == "__main__":
    main()
