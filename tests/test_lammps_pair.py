"""pair_style spin/allegro against the same model evaluated in Python."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from lammps_models import CUTOFFS, MOMENT, R_MAX, TYPES, save_model
from lammps_tools import LammpsRun, columns, run_lmp, write_data
from spinff import _core

pytestmark = pytest.mark.lammps

Array = NDArray[np.float64]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}
NKTV2P = 1.6021765e6
"""LAMMPS' factor from eV/Å³ to bar in units metal (src/update.cpp)."""


# === structures ===


def with_moments(atoms: Atoms, seed: int) -> Atoms:
    """Displaces the atoms and gives Ni canted moments."""
    random = np.random.default_rng(seed)
    atoms.positions += random.normal(scale=0.08, size=(len(atoms), 3))
    moments = random.normal(size=(len(atoms), 3))
    moments[:, 2] += 2.0 * np.sign(moments[:, 2])
    moments *= MOMENT / np.linalg.norm(moments, axis=1, keepdims=True)
    moments[atoms.numbers != 28] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def nickel_oxide() -> Atoms:
    """32 atoms, canted and displaced; one edge is shorter than r_max."""
    return with_moments(bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 1), 1)


def small_triclinic() -> Atoms:
    """8 atoms in a cell smaller than twice the cutoff: atoms neighbour themselves."""
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True)
    cell = [[4.3, 0.0, 0.0], [1.1, 4.1, 0.0], [-0.7, 0.9, 4.2]]
    atoms.set_cell(cell, scale_atoms=True)
    return with_moments(atoms, 2)


def slab() -> Atoms:
    """Two double layers and 20 Å of vacuum."""
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 1)
    atoms.cell[2, 2] += 20.0
    atoms.positions[:, 2] += 3.0
    return with_moments(atoms, 3)


STRUCTURES = {"nio": nickel_oxide, "triclinic": small_triclinic, "slab": slab}
PROCESSORS = {"nio": "", "triclinic": "", "slab": "processors 1 1 *"}
"""The slab is cut across z, so that some ranks own nothing."""


# === the two sides ===


@dataclass
class Result:
    """Energy eV, per-atom energies eV, forces eV/Å, fm rad·THz, virial eV."""

    energy: Array
    atom_energy: Array
    forces: Array
    fm: Array
    virial: Array
    magnetic_energy: Array

    def deviation(self, other: "Result") -> dict[str, float]:
        """Largest difference of each quantity, relative to its largest value."""
        return {
            name: float(
                np.abs(value - getattr(other, name)).max() / np.abs(value).max()
            )
            for name, value in vars(self).items()
        }


def evaluate(model: torch.jit.ScriptModule, atoms: Atoms) -> Result:
    """The model in Python, on ASE's neighbour list."""
    types = np.array([TYPES.index(s) for s in atoms.get_chemical_symbols()])
    i, j, vectors, r = neighbor_list("ijDd", atoms, R_MAX)
    keep = r < np.array(CUTOFFS)[types[i], types[j]]
    i, j, vectors = i[keep], j[keep], vectors[keep]
    magnetic = np.flatnonzero((types[i] == 0) & (types[j] == 0))
    moments = atoms.get_initial_magnetic_moments()
    lengths = np.linalg.norm(moments, axis=1, keepdims=True)
    directions = np.divide(moments, lengths, where=lengths > 0, out=0.0 * moments)
    outputs = model(
        torch.tensor(vectors),
        torch.tensor(np.stack([i, j])),
        torch.tensor(types),
        torch.tensor(magnetic),
        torch.tensor(directions),
    )
    atom_energy, g, spin_gradient = (output.detach().numpy() for output in outputs)
    lattice = model.couplings(
        torch.tensor(vectors),
        torch.tensor(np.stack([i, j])),
        torch.tensor(types),
        torch.tensor(magnetic),
    )[0].numpy()
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, g)
    np.add.at(forces, j, -g)
    virial = -vectors.T @ g
    return Result(
        energy=np.array([atom_energy.sum()]),
        atom_energy=atom_energy,
        forces=forces,
        fm=-spin_gradient / _core.hbar,
        virial=0.5 * (virial + virial.T),
        magnetic_energy=np.array([(atom_energy - lattice).sum()]),
    )


INPUT = """\
units metal
atom_style spin
atom_modify map array
newton on
{processors}
read_data structure.data
{extra}
pair_style spin/allegro
pair_coeff * * model.pth Ni O
timestep 0.001
compute atom_energy all pe/atom
compute atom_stress all stress/atom NULL
compute stress_sum all reduce sum c_atom_stress[*]
compute magnetic all spin
compute spins all property/atom sp spx spy spz fmx fmy fmz
thermo_style custom step pe pxx pyy pzz pxy pxz pyz vol c_stress_sum[*] c_magnetic[*]
thermo_modify format float %.17g
thermo 1
dump out all custom 1 dump.out id x y z fx fy fz c_atom_energy c_spins[*]
dump_modify out format float %.17g
run 0
"""


def run_structure(
    atoms: Atoms, tmp_path: Path, nranks: int, processors: str = "", extra: str = ""
) -> LammpsRun:
    write_data(atoms, tmp_path / "structure.data", TYPES)
    text = INPUT.format(processors=processors, extra=extra)
    return run_lmp(text, nranks, tmp_path)


def symmetric(values: list[float]) -> Array:
    """xx yy zz xy xz yz as a matrix."""
    xx, yy, zz, xy, xz, yz = values
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def result_of(run: LammpsRun) -> Result:
    thermo = {name: value[-1] for name, value in run.thermo[0].items()}
    frame = run.dump()[-1]
    pressure = [thermo[f"P{axes}"] for axes in ("xx", "yy", "zz", "xy", "xz", "yz")]
    virial = symmetric(pressure) * thermo["Volume"] / NKTV2P
    stress = symmetric([thermo[f"c_stress_sum[{k}]"] for k in range(1, 7)])
    np.testing.assert_allclose(-stress / NKTV2P, virial, rtol=0, atol=1e-10)
    return Result(
        energy=np.array([thermo["PotEng"]]),
        atom_energy=frame["c_atom_energy"],
        forces=columns(frame, "fx", "fy", "fz"),
        fm=columns(frame, "c_spins[5]", "c_spins[6]", "c_spins[7]"),
        virial=virial,
        magnetic_energy=np.array([thermo["c_magnetic[5]"]]),
    )


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    value: torch.dtype = request.param
    return value


# === tests ===


@pytest.mark.parametrize("name", STRUCTURES)
def test_agrees_with_python_on_any_number_of_ranks(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    atoms = STRUCTURES[name]()
    expected = evaluate(save_model(tmp_path / "model.pth", dtype), atoms)
    for nranks in (1, 2, 4, 8):
        run = run_structure(atoms, tmp_path, nranks, PROCESSORS[name])
        for quantity, deviation in expected.deviation(result_of(run)).items():
            assert deviation < TOLERANCE[dtype], (nranks, quantity)
