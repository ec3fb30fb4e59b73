"""pair_style spin/allegro among LAMMPS' ensembles, minimisers and other commands.

The model is a toy (``lammps_models``): what is tested is that these commands see its
energies, forces and fields as those of any pair style, on any number of ranks.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from lammps_models import TYPES, save_model
from lammps_tools import LammpsRun, columns, run_lmp, write_data
from spinff.units import HBAR
from test_lammps_pair import Array, nickel_oxide, slab, with_moments

pytestmark = pytest.mark.lammps

INPUT = """\
units metal
atom_style spin
atom_modify map array
newton on
{before}
read_data structure.data
{pair}
neighbor 1.0 bin
timestep 0.0005
group nickel type 1
group oxygen type 2
compute spins all property/atom sp spx spy spz fmx fmy fmz
thermo_style custom step pe etotal press lx ly lz
thermo_modify format float %.17g
thermo 1
{commands}
"""
PAIR = "pair_style spin/allegro\npair_coeff * * model.pth Ni O"
DUMP = (
    "dump out all custom 1 dump.out id xu yu zu fx fy fz c_spins[*]\n"
    "dump_modify out format float %.17g\n"
)
SIB = "fix spins nickel spin/sib alpha 0.1 temp 300 300 seed 3\n"


def run(
    tmp_path: Path,
    commands: str,
    nranks: int = 1,
    atoms: Atoms | None = None,
    pair: str = PAIR,
    before: str = "",
) -> LammpsRun:
    save_model(tmp_path / "model.pth")
    write_data(atoms or nickel_oxide(), tmp_path / "structure.data", TYPES)
    text = INPUT.format(pair=pair, commands=commands, before=before)
    return run_lmp(text, nranks, tmp_path)


def state(result: LammpsRun) -> dict[str, Array]:
    """Positions, forces, spins and fields of the last frame."""
    frame = result.dump()[-1]
    return {
        "x": columns(frame, "xu", "yu", "zu"),
        "f": columns(frame, "fx", "fy", "fz"),
        "spins": columns(frame, "c_spins[2]", "c_spins[3]", "c_spins[4]"),
        "fm": columns(frame, "c_spins[5]", "c_spins[6]", "c_spins[7]"),
    }


def assert_same(ours: LammpsRun, theirs: LammpsRun, tolerance: float) -> None:
    expected = state(theirs)
    for name, values in state(ours).items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            values, expected[name], rtol=0, atol=tolerance * scale, err_msg=name
        )


# === ensembles: the same trajectory on any number and arrangement of ranks ===

LATTICE = {
    "nve": "fix lattice all nve\n",
    "nvt": "fix lattice all nvt temp 50 50 0.05\n",
    "langevin": "fix lattice all nve\nfix bath oxygen langevin 50 50 0.05 7\n",
    "npt-iso": "fix lattice all npt temp 50 50 0.05 iso 0 0 0.5\n",
    "npt-film": "fix lattice all npt temp 50 50 0.05 x 0 0 0.5 y 0 0 0.5 couple xy\n",
    "frozen spins": "fix lattice all nvt temp 50 50 0.05\n",
}


@pytest.mark.parametrize("name", LATTICE)
def test_ensembles_on_several_ranks(name: str, tmp_path: Path) -> None:
    """Spins in a bath of their own, or at rest; oxygen is not in its group.

    LAMMPS' langevin draws its numbers rank by rank: of it, one rank is all there is.
    """
    spins = "" if name == "frozen spins" else SIB
    commands = f"velocity all create 100 5\n{LATTICE[name]}{spins}{DUMP}run 20"
    atoms = slab() if name == "npt-film" else None
    results = []
    for nranks in (1,) if name == "langevin" else (1, 3):
        folder = tmp_path / str(nranks)
        folder.mkdir()
        results.append(run(folder, commands, nranks, atoms))
    thermo = results[0].thermo[0]
    assert np.isfinite(thermo["TotEng"]).all()
    moved = np.abs(thermo["Lx"] - thermo["Lx"][0]).max()
    assert (moved > 0) == name.startswith("npt")
    assert (thermo["Lz"] == thermo["Lz"][0]).all() == (name != "npt-iso")
    for other in results[1:]:
        assert_same(other, results[0], 1e-9)


def cube() -> Atoms:
    """64 atoms: a box longer than LAMMPS' cutoff, which some arrangements need."""
    return with_moments(bulk("NiO", "rocksalt", 4.17, cubic=True) * (2, 2, 2), 1)


ARRANGEMENTS = {
    "processors 4 1 1": ("processors 4 1 1", ""),
    "processors 1 2 2": ("processors 1 2 2", ""),
    "fix balance": ("", "fix even all balance 3 1.0 shift xyz 10 1.05\n"),
    "rcb": ("comm_style tiled", "balance 1.0 rcb\n"),
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_any_arrangement_of_ranks(name: str, tmp_path: Path) -> None:
    before, balance = ARRANGEMENTS[name]
    moving = f"velocity all create 100 5\n{LATTICE['nve']}{SIB}{DUMP}run 10"
    for folder in ("one", "four"):
        (tmp_path / folder).mkdir()
    alone = run(tmp_path / "one", moving, 1, cube())
    shared = run(tmp_path / "four", balance + moving, 4, cube(), before=before)
    assert_same(shared, alone, 1e-9)


@pytest.mark.parametrize("boundary", ["p p f", "p p s", "p p p"])
def test_film_thinner_than_the_cutoff(boundary: str, tmp_path: Path) -> None:
    """One layer of NiO in open boundaries is one in a vacuum."""
    atoms = nickel_oxide()
    layer = atoms[atoms.positions[:, 2] < 1.5]
    layer.cell[2, 2] = 30.0
    layer.positions[:, 2] += 15.0
    for folder in ("film", "periodic"):
        (tmp_path / folder).mkdir()
    commands = f"{LATTICE['nve']}{SIB}{DUMP}run 5"
    film = run(tmp_path / "film", commands, 2, layer, before=f"boundary {boundary}")
    assert_same(film, run(tmp_path / "periodic", commands, 1, layer), 1e-9)


# === minimisers ===

MINIMISERS = {
    # with LAMMPS' default, a tenth of a precession, it jumps about a minimum for ever
    "spin": "min_modify discrete_factor 100\n",
    "spin/cg": "min_modify line spin_none discrete_factor 50\n",
    "spin/lbfgs": "",
}


def canted(angle: float) -> Atoms:
    """NiO with its moments near the antiferromagnetic order, at perfect sites."""
    atoms = nickel_oxide()
    atoms.positions = np.rint(atoms.positions / 2.085) * 2.085
    sites = np.rint(atoms.positions / 2.085)
    nickel = atoms.numbers == 28
    sign = np.where(sites[:, 2] % 2 == 0, 1.0, -1.0)
    random = np.random.default_rng(3)
    e = sign[:, None] * np.array([0.0, 0.0, 1.0]) + angle * random.normal(
        size=(len(atoms), 3)
    )
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    atoms.set_initial_magnetic_moments(1.278 * e * nickel[:, None])
    return atoms


def largest_torque(result: LammpsRun) -> float:
    """|e × ∂E/∂e|, eV."""
    last = state(result)
    return float(np.abs(HBAR * np.cross(last["spins"], last["fm"])).max())


@pytest.mark.parametrize("style", MINIMISERS)
def test_minimisers_of_spins(style: str, tmp_path: Path) -> None:
    """Each ends where no torque is left, lower than it began, on several ranks too."""
    minimise = (
        f"min_style {style}\n{MINIMISERS[style]}minimize 0 1e-8 1000 10000\n{DUMP}run 0"
    )
    energies = []
    for nranks in (1, 2):
        folder = tmp_path / str(nranks)
        folder.mkdir()
        result = run(folder, minimise, nranks, canted(0.4))
        energies.append(result.thermo[-1]["PotEng"][-1])
        assert energies[-1] < result.thermo[0]["PotEng"][0] - 1e-3
        assert largest_torque(result) < 1e-7
    assert energies[0] == pytest.approx(energies[1], abs=1e-8)


def test_a_minimisation_of_spins_has_no_use_for_forces(tmp_path: Path) -> None:
    """Between outputs the network is not called; the forces written are those."""
    minimise = "min_style spin/lbfgs\nminimize 0 1e-8 200 2000\n"
    lazy, eager = (
        run(tmp_path, f"thermo {every}\n{minimise}{DUMP}run 0", atoms=canted(0.4))
        for every in (1000, 1)
    )
    assert lazy.thermo[0]["Step"][-1] > 5
    passes = re.search(r"their setup: 1 forward, (\d+) backward", lazy.log)
    assert passes is not None
    assert int(passes[1]) <= 2  # the first step and the last
    for name, values in lazy.thermo[0].items():
        np.testing.assert_array_equal(values[-1], eager.thermo[0][name][-1])


def test_joint_minimisation_of_spins_atoms_and_cell(tmp_path: Path) -> None:
    """In turns, as LAMMPS' minimisers of spins leave the atoms alone.

    Under tension, as the toy is far from its own lattice constant.
    """
    commands = (
        "variable turn loop 4\nlabel again\n"
        "min_style spin/lbfgs\nminimize 0 1e-8 200 2000\n"
        "fix cell all box/relax iso -90000 vmax 0.001\n"
        "min_style cg\nminimize 0 1e-6 100 1000\n"
        f"unfix cell\nnext turn\njump SELF again\n{DUMP}run 0"
    )
    result = run(tmp_path, commands, 2, canted(0.2))
    energies = [table["PotEng"][-1] for table in result.thermo]
    assert (np.diff(energies) < 1e-8).all()
    last = state(result)
    assert np.abs(last["f"]).max() < 1e-4
    assert largest_torque(result) < 1e-4
    assert abs(result.thermo[-1]["Press"][-1] + 90000) < 20.0  # bar


# === other forces and fields beside the model's ===

OVERLAYS = {
    "zbl": (
        "zbl 1.5 2.5",
        "1 1 zbl 28 28\npair_coeff 1 2 zbl 28 8\npair_coeff 2 2 zbl 8 8",
    ),
    "spin/dipole/cut": ("spin/dipole/cut 4.0", "* * spin/dipole/cut 4.0"),
}


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_adds_up(name: str, tmp_path: Path) -> None:
    """Energy, forces and fields of both styles are the sums of those of each."""
    style, coefficients = OVERLAYS[name]
    pairs = {
        "model": PAIR,
        "other": f"pair_style hybrid/overlay {style}\npair_coeff {coefficients}",
        "both": f"pair_style hybrid/overlay spin/allegro {style}\n"
        f"pair_coeff * * spin/allegro model.pth Ni O\npair_coeff {coefficients}",
    }
    results = {}
    for key, pair in pairs.items():
        (tmp_path / key).mkdir()
        results[key] = run(tmp_path / key, f"{DUMP}run 0", 2, pair=pair)
    states = {key: state(result) for key, result in results.items()}
    seen = "f" if name == "zbl" else "fm"
    assert np.abs(states["other"][seen]).max() > 1e-3
    for quantity in ("f", "fm"):
        total = states["model"][quantity] + states["other"][quantity]
        np.testing.assert_allclose(states["both"][quantity], total, atol=1e-10)
    energy = {key: r.thermo[0]["PotEng"][0] for key, r in results.items()}
    assert energy["both"] == pytest.approx(energy["model"] + energy["other"], 1e-12)


# === data in and out ===


def test_written_data_is_read_back(tmp_path: Path) -> None:
    """write_data after some steps, then the same energy and forces from the file."""
    commands = (
        f"{LATTICE['nve']}{SIB}run 5\nunfix lattice\nunfix spins\nrun 0\n"
        f"write_data structure2.data\n{DUMP}run 0"
    )
    first = run(tmp_path, commands, 2)
    text = INPUT.format(pair=PAIR, commands=f"{DUMP}run 0", before="")
    again = run_lmp(text.replace("structure.data", "structure2.data"), 1, tmp_path)
    expected, got = first.thermo[-1]["PotEng"][-1], again.thermo[0]["PotEng"][0]
    assert got == pytest.approx(expected, abs=1e-9)


def test_rerun_gives_the_energies_of_the_run(tmp_path: Path) -> None:
    """Of a moving lattice; the spins are those of the data file, as dumps have none."""
    commands = (
        f"velocity all create 100 5\n{LATTICE['nve']}"
        "dump out all custom 1 dump.out id x y z\ndump_modify out format float %.17g\n"
        "run 4\nundump out\nrerun dump.out dump x y z"
    )
    result = run(tmp_path, commands, 2)
    ran, rerun = result.thermo
    np.testing.assert_allclose(rerun["PotEng"], ran["PotEng"], rtol=0, atol=1e-9)
