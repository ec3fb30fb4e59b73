"""Several models in pair_style spin/allegro, and compute spin/deviation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from e3nn.util.jit import script

from lammps_models import MOMENT, R_MAX, TYPES, save_model
from lammps_tools import LammpsRun, columns, run_lmp, write_data
from small_models import small_checkpoint
from spinff.export import make_header, scriptable
from spinff.units import HBAR
from test_lammps_pair import Array, evaluate, nickel_oxide

pytestmark = pytest.mark.lammps

FILES = ("a.pth", "b.pth", "c.pth")

INPUT = """\
units metal
atom_style spin
newton on
read_data structure.data
pair_style spin/allegro
pair_coeff * * {files} Ni O
timestep 0.001
compute spins all property/atom sp spx spy spz fmx fmy fmz
{compute}
fix lattice all nve
fix spins all spin/sib alpha 0.1 temp 100 100 seed 3
thermo_style custom step pe {thermo}
thermo_modify format float %.17g
thermo 1
dump out all custom 1 dump.out id x y z fx fy fz c_spins[*] {dump}
dump_modify out format float %.17g
run 2
"""
DEVIATION = {
    "compute": "group nickel type 1\ncompute d all spin/deviation\n"
    "compute dn nickel spin/deviation",
    "thermo": "c_d[*] c_dn[*]",
    "dump": "c_d[*]",
}
NOTHING = dict.fromkeys(DEVIATION, "")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three models: another seed, other cutoffs and terms."""
    folder = tmp_path_factory.mktemp("models")
    changes: tuple[dict[str, object], ...] = (
        {},
        {"seed": 8, "r_max": R_MAX + 0.5},
        {"seed": 9, "terms": ["exchange", "tenn"]},
    )
    for name, change in zip(FILES, changes, strict=True):
        arguments: dict[str, object] = {"moments": {"Ni": MOMENT}, "r_max": R_MAX}
        checkpoint = small_checkpoint(**(arguments | change))
        module = script(scriptable(checkpoint), in_place=False)
        text = make_header(checkpoint).to_json()
        torch.jit.save(module, str(folder / name), {"spinff.json": text})
    return folder


def run(
    models: Path, tmp_path: Path, nranks: int, files: str, **parts: str
) -> LammpsRun:
    write_data(nickel_oxide(), tmp_path / "structure.data", TYPES)
    for name in FILES:
        (tmp_path / name).symlink_to(models / name)
    return run_lmp(INPUT.format(files=files, **parts), nranks, tmp_path)


def frame_atoms(frame: dict[str, Array]) -> Atoms:
    """The atoms of a frame of the dump, with the moments they have there."""
    atoms = nickel_oxide()
    atoms.positions = columns(frame, "x", "y", "z")
    directions = columns(frame, "c_spins[2]", "c_spins[3]", "c_spins[4]")
    atoms.set_initial_magnetic_moments(directions * frame["c_spins[1]"][:, None])
    return atoms


def deviations(models: Path, atoms: Atoms) -> Array:
    """Of forces (eV/Å) and of tangential −∂E/∂e (eV) in Python, (N, 2)."""
    results = [evaluate(models / name, atoms) for name in FILES]
    moments = atoms.get_initial_magnetic_moments()
    lengths = np.linalg.norm(moments, axis=1, keepdims=True)
    e = moments / np.where(lengths > 0, lengths, 1.0)
    forces = np.stack([result.forces for result in results])
    fields = HBAR * np.stack([result.fm for result in results])
    fields -= (fields * e).sum(-1, keepdims=True) * e
    return np.stack(
        [np.sqrt(values.var(axis=0).sum(-1)) for values in (forces, fields)], axis=1
    )


@pytest.mark.parametrize("nranks", [1, 2, 4])
def test_deviation_is_that_of_python(models: Path, nranks: int, tmp_path: Path) -> None:
    """At the atoms and spins that are written, whatever the forces were made with."""
    result = run(models, tmp_path, nranks, " ".join(FILES), **DEVIATION)
    thermo = result.thermo[0]
    for step, frame in enumerate(result.dump()):
        expected = deviations(models, frame_atoms(frame))
        got = columns(frame, "c_d[1]", "c_d[2]")
        scale = expected.max(axis=0)
        np.testing.assert_allclose(got / scale, expected / scale, rtol=0, atol=1e-9)
        nickel = expected[frame["c_spins[1]"] > 0]
        everything = [*expected.max(axis=0), expected[:, 0].mean(), nickel[:, 1].mean()]
        of_nickel = [*nickel.max(axis=0), *nickel.mean(axis=0)]
        for name, values in (("c_d", everything), ("c_dn", of_nickel)):
            largest_f, largest_t, mean_f, mean_t = values
            for k, value in enumerate((largest_f, mean_f, largest_t, mean_t)):
                assert thermo[f"{name}[{k + 1}]"][step] == pytest.approx(value, 1e-9)


def test_the_first_model_drives(models: Path, tmp_path: Path) -> None:
    """Others and the compute change nothing: the same trajectory to the bit."""
    (tmp_path / "one").mkdir()
    (tmp_path / "three").mkdir()
    alone = run(models, tmp_path / "one", 2, "b.pth", **NOTHING)
    first = run(models, tmp_path / "three", 2, "b.pth a.pth c.pth", **DEVIATION)
    for ours, theirs in zip(alone.dump(), first.dump(), strict=True):
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)


@pytest.mark.parametrize(
    ("files", "style", "sentence"),
    [
        ("m.pth", "spin/allegro", "nothing to compare, got 1 model in pair_coeff"),
        (None, "zero 5.0", "no pair_style spin/allegro, or more than one, got"),
        ("m.pth n.pth", "spin/allegro", "model file 'n.pth'"),
    ],
)
def test_bad_input(
    files: str | None, style: str, sentence: str, tmp_path: Path
) -> None:
    save_model(tmp_path / "m.pth")
    write_data(nickel_oxide(), tmp_path / "structure.data", TYPES)
    text = (
        "units metal\natom_style spin\nread_data structure.data\n"
        f"pair_style {style}\npair_coeff * * {f'{files} Ni O' if files else ''}\n"
        "compute d all spin/deviation\nthermo_style custom step c_d[1]\nrun 0\n"
    )
    result = run_lmp(text, 1, tmp_path, check=False)
    assert result.returncode != 0
    assert sentence in " ".join(result.log.split())
