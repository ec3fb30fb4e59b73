"""pair_style spin/allegro against the same model evaluated in Python."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from e3nn.util.jit import script
from numpy.typing import NDArray

import test_magnet
import test_message_passing
from lammps_models import (
    CUTOFFS,
    MOMENT,
    R_MAX,
    TYPES,
    save_input_moments,
    save_message_passing,
    save_model,
    save_predicted_moments,
    save_three_spins,
)
from lammps_tools import DeployedModel, LammpsRun, columns, run_lmp, write_data
from small_models import MODELS, small_checkpoint
from spinff.export import make_header, scriptable
from spinff.header import TERMS
from spinff.models import Checkpoint

pytestmark = pytest.mark.lammps

Array = NDArray[np.float64]

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
    """Two layers, 20 Å of vacuum, and in it two atoms that have no neighbours."""
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 1)
    atoms.cell[2, 2] += 20.0
    atoms.positions[:, 2] += 3.0
    atoms += Atoms("NiO", positions=[[0.0, 0.0, 15.5], [4.17, 4.17, 15.5]])
    return with_moments(atoms, 3)


STRUCTURES = {"nio": nickel_oxide, "triclinic": small_triclinic, "slab": slab}
PROCESSORS = {"nio": "", "triclinic": "", "slab": "processors 1 1 *"}
"""The slab is cut across z: some ranks own nothing, some only atoms without edges."""


def with_lengths(atoms: Atoms) -> Atoms:
    """Moments of different lengths, one of them 0."""
    random = np.random.default_rng(5)
    moments = atoms.get_initial_magnetic_moments()
    moments *= random.uniform(0.4, 1.3, size=(len(atoms), 1))
    moments[np.flatnonzero(atoms.numbers == 28)[1]] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    return atoms


# === the two sides ===


@dataclass
class Result:
    """What both sides give, in LAMMPS' units."""

    energy: Array
    """eV, (1,)."""
    atom_energy: Array
    """eV, (N,)."""
    term_energies: Array
    """eV, of each of TERMS."""
    forces: Array
    """eV/Å, (N, 3)."""
    fm: Array
    """rad·THz, (N, 3)."""
    virial: Array
    """eV, (3, 3)."""
    magnetic_energy: Array
    """eV, (1,)."""
    moments: Array
    """µB, lengths (N,)."""

    def deviation(self, other: "Result") -> dict[str, float]:
        """Largest difference of each quantity, relative to its largest value."""
        return {
            name: float(
                np.abs(value - getattr(other, name)).max() / np.abs(value).max()
            )
            for name, value in vars(self).items()
        }


def evaluate(path: Path, atoms: Atoms) -> Result:
    """The deployed model in Python, on ASE's neighbour list."""
    model = DeployedModel(path, atoms)
    moments = atoms.get_initial_magnetic_moments()
    lengths = np.linalg.norm(moments, axis=1)
    directions = moments / np.where(lengths > 0, lengths, 1.0)[:, None]
    values = model(directions, lengths)
    i, j = model.edges
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, values.edge_gradient)
    np.add.at(forces, j, -values.edge_gradient)
    virial = -model.vectors.T @ values.edge_gradient
    energies = values.energies
    totals = dict(zip(model.header.terms, energies.sum(0), strict=True))
    return Result(
        energy=np.array([energies.sum()]),
        atom_energy=energies.sum(1),
        term_energies=np.array([totals.get(term, 0.0) for term in TERMS]),
        forces=forces,
        fm=values.fm,
        virial=0.5 * (virial + virial.T),
        magnetic_energy=np.array([energies[:, 1:].sum()]),
        moments=values.lengths,
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
pair_coeff * * {model} Ni O
timestep 0.001
compute atom_energy all pe/atom
compute atom_stress all stress/atom NULL
compute stress_sum all reduce sum c_atom_stress[*]
compute magnetic all spin
compute terms all pair spin/allegro
compute spins all property/atom sp spx spy spz fmx fmy fmz
thermo_style custom step pe pxx pyy pzz pxy pxz pyz vol &
    c_stress_sum[*] c_magnetic[*] c_terms[*]
thermo_modify format float %.17g
thermo 1
dump out all custom 1 dump.out id x y z fx fy fz c_atom_energy c_spins[*]
dump_modify out format float %.17g
run 0
"""


def run_structure(
    atoms: Atoms,
    tmp_path: Path,
    nranks: int,
    processors: str = "",
    extra: str = "",
    model: str = "model.pth",
) -> LammpsRun:
    write_data(atoms, tmp_path / "structure.data", TYPES)
    text = INPUT.format(processors=processors, extra=extra, model=model)
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
        term_energies=np.array(
            [thermo[f"c_terms[{k + 1}]"] for k in range(len(TERMS))]
        ),
        moments=frame["c_spins[1]"],
    )


# === the models ===


NETWORKS: dict[str, Callable[..., Checkpoint]] = {
    **{kind: partial(small_checkpoint, **changes) for kind, changes in MODELS.items()},
    "nequip": partial(test_message_passing.checkpoint, **MODELS["ring-tenn"]),
    "magnet": test_magnet.checkpoint,
}
"""The small real networks, with random weights."""


def save_network(path: Path, kind: str, dtype: str) -> None:
    checkpoint = NETWORKS[kind](
        model_dtype=dtype,
        moments={"Ni": MOMENT},
        r_max=R_MAX,
        per_edge_type_cutoff={
            name: dict(zip(TYPES, row, strict=True))
            for name, row in zip(TYPES, CUTOFFS, strict=True)
        },
    )
    text = make_header(checkpoint).to_json()
    module = script(scriptable(checkpoint), in_place=False)
    torch.jit.save(module, str(path), {"spinff.json": text})


@pytest.fixture(scope="session")
def network_file(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, str], Path]:
    """The file of a kind and a dtype, written once."""
    folder = tmp_path_factory.mktemp("networks")

    def file(kind: str, dtype: str) -> Path:
        path = folder / f"{kind}-{dtype}.pth"
        if not path.exists():
            save_network(path, kind, dtype)
        return path

    return file


TOYS: dict[str, Callable[[Path], None]] = {
    "couplings": save_model,
    "three_spins": save_three_spins,
    "predicted_moments": save_predicted_moments,
    "input_moments": save_input_moments,
    "message_passing": save_message_passing,
}
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
"""Relative to the largest value of each quantity."""


# === tests ===


def assert_agreement(
    path: Path, atoms: Atoms, name: str, nranks: int, tolerance: float
) -> None:
    """LAMMPS gives what Python gives, on a number of ranks."""
    expected = evaluate(path, atoms)
    run = run_structure(atoms, path.parent, nranks, PROCESSORS[name], model=path.name)
    for quantity, deviation in expected.deviation(result_of(run)).items():
        assert deviation < tolerance, quantity


# The real networks below run on 1, 2, 4 ranks; these are quick and known in every term.
@pytest.mark.parametrize(
    ("kind", "name", "nranks"),
    [
        ("couplings", "nio", 2),
        ("couplings", "triclinic", 1),
        ("couplings", "slab", 4),
        ("three_spins", "nio", 2),
        ("three_spins", "triclinic", 1),
        ("three_spins", "slab", 4),
        ("predicted_moments", "nio", 2),
        ("input_moments", "nio", 2),
        ("message_passing", "nio", 1),
        ("message_passing", "triclinic", 1),
    ],
)
def test_agrees_with_python(kind: str, name: str, nranks: int, tmp_path: Path) -> None:
    TOYS[kind](tmp_path / "model.pth")
    atoms = STRUCTURES[name]()
    if kind == "input_moments":
        atoms = with_lengths(atoms)
    assert_agreement(tmp_path / "model.pth", atoms, name, nranks, TOLERANCE["float64"])


@pytest.mark.parametrize(
    ("kind", "dtype", "name", "numbers"),
    [
        ("msenn", "float64", "nio", (1, 2, 4)),
        ("msenn", "float64", "triclinic", (2,)),
        ("msenn", "float64", "slab", (4,)),
        ("msenn", "float32", "nio", (2,)),
        ("ring-tenn", "float64", "nio", (1, 2, 4)),
        ("ring-tenn", "float64", "slab", (4,)),
        ("ring-tenn", "float32", "nio", (2,)),
        ("ring-tenn-no-soc", "float64", "nio", (2,)),
        ("input", "float64", "nio", (1, 2, 4)),
        ("predicted", "float64", "nio", (1, 2, 4)),
        ("nequip", "float64", "nio", (1,)),
        ("magnet", "float64", "nio", (1,)),
    ],
)
def test_network_agrees_with_python_on_any_number_of_ranks(
    kind: str,
    dtype: str,
    name: str,
    numbers: tuple[int, ...],
    network_file: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "model.pth").symlink_to(network_file(kind, dtype))
    atoms = STRUCTURES[name]()
    if kind in ("input", "magnet"):
        atoms = with_lengths(atoms)
    for nranks in numbers:
        assert_agreement(tmp_path / "model.pth", atoms, name, nranks, TOLERANCE[dtype])


def test_terms_add_up(tmp_path: Path) -> None:
    """The vector of compute pair is the energy in parts, in the order of TERMS."""
    save_three_spins(tmp_path / "model.pth")
    result = result_of(run_structure(nickel_oxide(), tmp_path, 2))
    terms = result.term_energies
    assert terms.sum() == pytest.approx(result.energy[0], rel=1e-14)
    present = [term for term, value in zip(TERMS, terms, strict=True) if value != 0.0]
    assert present == ["lattice", "exchange", "anisotropy", "biquadratic", "tenn"]


def test_a_moment_of_0_has_any_direction(tmp_path: Path) -> None:
    """Also the 0 0 0 of a data file, of which LAMMPS makes NaN."""
    save_input_moments(tmp_path / "model.pth")
    atoms = with_lengths(nickel_oxide())
    expected = evaluate(tmp_path / "model.pth", atoms)
    file = tmp_path / "structure.data"
    write_data(atoms, file, TYPES)
    text = file.read_text()
    assert " 0 0 1 0\n" in text
    file.write_text(text.replace(" 0 0 1 0\n", " 0 0 0 0\n"))
    got = result_of(
        run_lmp(INPUT.format(processors="", extra="", model="model.pth"), 2, tmp_path)
    )
    for quantity, deviation in expected.deviation(got).items():
        assert deviation < 1e-12, quantity


def spins_of(run: LammpsRun) -> Array:
    """Moments (N,3), µB, of the last frame."""
    frame = run.dump()[-1]
    directions = columns(frame, "c_spins[2]", "c_spins[3]", "c_spins[4]")
    return directions * frame["c_spins[1]"][:, None]


def test_spins_turn_while_the_lattice_rests(tmp_path: Path) -> None:
    """Couplings of a lattice at rest are kept; forces and fields follow the spins."""
    save_model(tmp_path / "model.pth")
    atoms = nickel_oxide()
    before = evaluate(tmp_path / "model.pth", atoms)
    write_data(atoms, tmp_path / "structure.data", TYPES)
    text = INPUT.format(processors="", extra="", model="model.pth").replace(
        "run 0", "min_style spin\nmin_modify discrete_factor 10.0\nminimize 0 0 3 100"
    )
    run = run_lmp(text, 2, tmp_path)
    atoms.set_initial_magnetic_moments(spins_of(run))
    after = evaluate(tmp_path / "model.pth", atoms)
    assert after.energy < before.energy - 1e-3
    assert before.deviation(after)["forces"] > 1e-4
    for quantity, deviation in after.deviation(result_of(run)).items():
        assert deviation < 1e-10, quantity


def test_a_run_of_spins_alone_writes_the_forces_it_would_have(tmp_path: Path) -> None:
    """Forces that nobody reads are not computed; another fix might read them."""
    save_model(tmp_path / "model.pth")
    write_data(nickel_oxide(), tmp_path / "structure.data", TYPES)
    text = INPUT.format(processors="", extra="", model="model.pth").replace(
        "thermo 1\n", "thermo 10\n"
    )
    text = text.replace("all custom 1 dump", "all custom 4 dump")
    text = text.replace("run 0", "fix spins all spin/sib alpha 0.1\n{}run 11")
    lazy = run_lmp(text.format(""), 2, tmp_path)
    lazy_frames = lazy.dump()
    reader = "fix reader all ave/atom 1 1 1 fx\n"
    eager = run_lmp(text.format(reader), 2, tmp_path)
    assert [frame["step"][0] for frame in lazy_frames] == [0, 4, 8]
    for one, other in zip(lazy_frames, eager.dump(), strict=True):
        for name, values in one.items():
            np.testing.assert_allclose(other[name], values, rtol=1e-10, atol=1e-10)
        assert np.abs(columns(one, "fx", "fy", "fz")).max() > 0.1
    for name, values in lazy.thermo[0].items():
        np.testing.assert_allclose(eager.thermo[0][name], values, rtol=1e-10)


@pytest.mark.parametrize("hybrid", [False, True])
def test_type_that_the_model_does_not_see(hybrid: bool, tmp_path: Path) -> None:
    """NULL: those atoms feel nothing and are not felt."""
    save_model(tmp_path / "model.pth")
    atoms = nickel_oxide()
    without = evaluate(tmp_path / "model.pth", atoms)
    helium = Atoms("He2", positions=atoms.positions[:2] + 0.6)
    write_data(atoms + helium, tmp_path / "structure.data", (*TYPES, "He"))
    text = INPUT.format(processors="", extra="", model="model.pth").replace(
        "Ni O\n", "Ni O NULL\n"
    )
    if hybrid:
        text = text.replace("pair_style ", "pair_style hybrid/overlay zero 3.0 ")
        text = text.replace("* * model.pth", "* * spin/allegro model.pth")
        text = text.replace("timestep", "pair_coeff * * zero\ntimestep")
    run = run_lmp(text, 2, tmp_path)
    got = result_of(run)
    assert np.all(got.forces[-2:] == 0.0)
    assert np.all(got.atom_energy[-2:] == 0.0)
    trimmed = Result(
        **{
            name: value[:32] if len(value) == 34 else value
            for name, value in vars(got).items()
        }
    )
    for quantity, deviation in without.deviation(trimmed).items():
        assert deviation < 1e-10, quantity


def test_restart_needs_the_pair_commands_again(tmp_path: Path) -> None:
    """As with other learned potentials, the restart file does not name the model."""
    save_model(tmp_path / "model.pth")
    atoms = nickel_oxide()
    first = run_structure(atoms, tmp_path, 2, extra="")
    text = (
        INPUT.format(processors="", extra="", model="model.pth")
        + "write_restart state\n"
    )
    write_data(atoms, tmp_path / "structure.data", TYPES)
    run_lmp(text, 2, tmp_path)
    again = run_lmp(
        text.replace("read_data structure.data", "read_restart state"), 1, tmp_path
    )
    deviations = result_of(first).deviation(result_of(again))
    assert max(deviations.values()) < 1e-10
