"""pair_style spin/couplings: against NumPy on 1, 2, 4 ranks, dynamics, messages."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from lammps_tools import LammpsRun, columns, run_lmp, write_data
from spin_thermodynamics import System, chain, measure, shell, table, uniaxial
from spinff import _core

pytestmark = pytest.mark.lammps

Array = NDArray[np.float64]
Table = dict[str, Any]

TOLERANCE = 0.09
"""Å, of the tables below."""


# === a table and a lattice for each kind ===


def give_moments(atoms: Atoms, lengths: dict[str, float]) -> Atoms:
    """Random directions; atoms displaced by much less than the tolerance."""
    random = np.random.default_rng(7)
    atoms.positions += random.uniform(-0.01, 0.01, size=(len(atoms), 3))
    moments = random.normal(size=(len(atoms), 3))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    length = np.array([lengths[symbol] for symbol in atoms.get_chemical_symbols()])
    atoms.set_initial_magnetic_moments(None)  # ASE has collinear defaults
    atoms.set_initial_magnetic_moments(length[:, None] * moments)
    return atoms


def iron() -> tuple[Atoms, Table]:
    """Three isotropic shells in body-centred iron; the box is one of 27 cells."""
    atoms = bulk("Fe", "bcc", 2.8665, cubic=True) * (3, 3, 3)
    shells = [shell(2.8665 * r, J) for r, J in ((0.866, -22), (1, -8), (1.414, 1.5))]
    content = table(couplings=shells, tolerance=TOLERANCE)
    content["units"] |= {"energy": "meV"}
    return give_moments(atoms, {"Fe": 2.0}), content


CELL = np.array([[3.1, 0.0, 0.0], [0.7, 3.3, 0.0], [-0.4, 0.6, 3.6]])
"""Triclinic; the box is smaller than twice the longest bond."""


def full() -> tuple[Atoms, Table]:
    """Two magnetic species and one that is not; nothing that symmetry could hide.

    Tensors by vector within and between species, given in one direction or in both,
    a shell by distance, K and A.
    """
    atoms = Atoms(
        ["Fe", "Co", "O"],
        scaled_positions=[[0, 0, 0], [0.5, 0.52, 0.47], [0.5, 0, 0]],
        cell=CELL,
        pbc=True,
    )
    between = atoms.positions[1] - atoms.positions[0]
    random = np.random.default_rng(12)

    def tensor() -> list[list[float]]:
        return random.normal(scale=0.01, size=(3, 3)).tolist()

    def bond(ends: list[str], vector: Array, **constants: object) -> dict[str, Any]:
        return {"species": ends, "vector": vector.tolist(), **constants}

    forward = tensor()
    couplings = [
        bond(["X1", "X1"], CELL[0], J=forward),
        bond(["X1", "X1"], -CELL[0], J=np.transpose(forward).tolist()),
        bond(["X1", "X1"], CELL[1], J=tensor(), K=0.004),
        bond(["X1", "X2"], between, J=tensor(), K=-0.003),
        bond(["X2", "X1"], -(between - CELL[0]), J=tensor()),
        {"species": ["X1", "X2"], "distance": 4.68, "J": tensor()},
        {"species": ["X2", "X2"], "distance": 3.1, "K": 0.006},
    ]
    anisotropy = random.normal(scale=0.002, size=(3, 3))
    content = table(couplings=couplings, tolerance=TOLERANCE)
    content["species"] = {
        "X1": {"moment": 2.0, "A": (anisotropy + anisotropy.T).tolist()},
        "X2": {"moment": 1.5, "A": [[0, 0, 0], [0, 0, 0], [0, 0, -0.001]]},
        "ligand": {"moment": 0.0},
    }
    return give_moments(atoms * (3, 2, 2), {"Fe": 2.0, "Co": 1.5, "O": 0.0}), content


CASES = {
    "isotropic": (iron, ("Fe",), "X"),
    "full": (full, ("Fe", "Co", "O"), "X1 X2 ligand"),
}


# === the NumPy side: a plain sum over all pairs and all entries ===


def directed(content: Table) -> list[dict[str, Any]]:
    """The entries in both directions, in eV and as matrices; each bond once."""
    unit = {"eV": 1.0, "meV": 1e-3}[content["units"]["energy"]]
    entries: list[dict[str, Any]] = []
    for item in content["couplings"]:
        J = unit * np.array(item.get("J", 0.0))
        J = J if J.shape else J * np.eye(3)
        a, b = item["species"]
        other = {"species": [b, a], "J": J.T, "K": unit * item.get("K", 0.0)}
        one = other | {"species": [a, b], "J": J}
        if "vector" in item:
            one["vector"] = np.array(item["vector"])
            other["vector"] = -one["vector"]
            known = [e for e in entries if e["species"] == [a, b] and "vector" in e]
            if any(np.allclose(e["vector"], one["vector"]) for e in known):
                continue  # given in both directions
            entries += [one, other]
        else:
            one["distance"] = other["distance"] = item["distance"]
            entries += [one] if a == b else [one, other]
    return entries


def numpy_sum(
    content: Table, names: list[str], atoms: Atoms, e: Array
) -> tuple[Array, Array]:
    """Energies of the atoms by term (N,3) in eV, and fm (N,3) in rad·THz."""
    energies, gradient = np.zeros((len(atoms), 3)), np.zeros((len(atoms), 3))
    entries = directed(content)
    for i, j, r in zip(*neighbor_list("ijD", atoms, 6.0), strict=True):
        for entry in entries:
            if entry["species"] != [names[i], names[j]]:
                continue
            if "vector" in entry:
                off = np.linalg.norm(r - entry["vector"])
            else:
                off = abs(np.linalg.norm(r) - entry["distance"])
            if off > content["tolerance"]:
                continue
            J, K, cosine = entry["J"], entry["K"], e[i] @ e[j]
            energies[i] += 0.5 * e[i] @ J @ e[j], 0.0, 0.5 * K * cosine**2
            gradient[i] += 0.5 * J @ e[j] + K * cosine * e[j]
            gradient[j] += 0.5 * J.T @ e[i] + K * cosine * e[i]
    for i, name in enumerate(names):
        A = np.array(content["species"][name].get("A", np.zeros((3, 3))))
        energies[i, 1] = e[i] @ A @ e[i]
        gradient[i] += 2 * A @ e[i]
    return energies, -gradient / _core.hbar


# === the LAMMPS side ===


INPUT = """\
units metal
atom_style spin
atom_modify map array
newton {newton}
{processors}
read_data structure.data
pair_style spin/couplings
pair_coeff * * table.json {names}
timestep 0.001
compute atom_energy all pe/atom
compute magnetic all spin
compute terms all pair spin/couplings
compute spins all property/atom spx spy spz fmx fmy fmz
thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_magnetic[5] c_terms[*]
thermo_modify format float %.17g
thermo 1
dump out all custom 1 dump.out id type x y z fx fy fz c_atom_energy c_spins[*]
dump_modify out format float %.17g
run 0
"""


def write_case(
    case: str, directory: Path, **changes: str
) -> tuple[Atoms, Table, list[str], str]:
    """Structure, table, name of each atom, and the input script."""
    make, symbols, labels = CASES[case]
    atoms, content = make()
    write_data(atoms, directory / "structure.data", symbols)
    (directory / "table.json").write_text(json.dumps(content))
    of_symbol = dict(zip(symbols, labels.split(), strict=True))
    names = [of_symbol[symbol] for symbol in atoms.get_chemical_symbols()]
    settings = {"newton": "on", "processors": "", "names": labels} | changes
    return atoms, content, names, INPUT.format(**settings)


def directions(atoms: Atoms) -> Array:
    """Unit vectors; z for an atom without a moment, as write_data() has it."""
    moments = atoms.get_initial_magnetic_moments()
    lengths = np.linalg.norm(moments, axis=1, keepdims=True)
    return np.where(lengths > 0, moments / np.maximum(lengths, 1e-9), [0.0, 0.0, 1.0])


def assert_same_inputs(frame: dict[str, Array], atoms: Atoms, e: Array) -> None:
    shift = columns(frame, "x", "y", "z") - atoms.positions
    images = np.linalg.solve(np.asarray(atoms.cell).T, shift.T)
    np.testing.assert_allclose(images, images.round(), rtol=0, atol=1e-10)
    got = columns(frame, "c_spins[1]", "c_spins[2]", "c_spins[3]")
    np.testing.assert_allclose(got, e, rtol=0, atol=1e-12)


def assert_same_outputs(run: LammpsRun, energies: Array, fm: Array) -> None:
    frame = run.dump()[-1]
    thermo = {name: values[-1] for name, values in run.thermo[-1].items()}
    total = energies.sum()
    assert thermo["PotEng"] == pytest.approx(total, rel=1e-12)
    assert thermo["c_magnetic[5]"] == pytest.approx(total, rel=1e-12)
    terms = [thermo[f"c_terms[{k}]"] for k in (1, 2, 3)]
    np.testing.assert_allclose(terms, energies.sum(0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        frame["c_atom_energy"], energies.sum(1), rtol=0, atol=1e-13
    )
    got = columns(frame, "c_spins[4]", "c_spins[5]", "c_spins[6]")
    np.testing.assert_allclose(got, fm, rtol=0, atol=1e-11 * np.abs(fm).max())
    assert np.all(columns(frame, "fx", "fy", "fz") == 0.0)
    assert all(thermo[f"P{axes}"] == 0.0 for axes in ("xx", "yy", "zz", "xy"))


@pytest.mark.parametrize("nranks", [1, 2, 4])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_numpy(case: str, nranks: int, tmp_path: Path) -> None:
    atoms, content, names, text = write_case(case, tmp_path)
    e = directions(atoms)
    run = run_lmp(text, nranks, tmp_path)
    assert_same_inputs(run.dump()[-1], atoms, e)
    energies, fm = numpy_sum(content, names, atoms, e)
    used = {"isotropic": [True, False, False], "full": [True, True, True]}[case]
    assert list(np.abs(energies).sum(0) > 1e-3) == used
    assert_same_outputs(run, energies, fm)
    assert "WARNING: pair_style" not in run.log


def test_newton_off_and_a_short_ghost_cutoff(tmp_path: Path) -> None:
    """Neither matters: fields need no other rank, LAMMPS keeps the ghosts needed."""
    short = "comm_modify cutoff 1.0"
    settings = {"newton": "off", "processors": short}
    atoms, content, names, text = write_case("full", tmp_path, **settings)
    run = run_lmp(text, 2, tmp_path)
    assert_same_outputs(run, *numpy_sum(content, names, atoms, directions(atoms)))


def test_types_that_are_not_seen_in_a_hybrid(tmp_path: Path) -> None:
    """NULL, a rank without atoms, and another style beside this one."""
    atoms, content, names, text = write_case(
        "full", tmp_path, processors="processors * 1 1"
    )
    text = text.replace("X1 X2 ligand", "X1 NULL NULL").replace(
        "pair_style spin/couplings\npair_coeff * *",
        "pair_style hybrid/overlay zero 5.0 spin/couplings\n"
        "pair_coeff * * zero\npair_coeff * * spin/couplings",
    )
    run = run_lmp(text, 2, tmp_path)
    seen = np.array(names) == "X1"
    content["couplings"] = [
        c for c in content["couplings"] if c["species"] == ["X1", "X1"]
    ]
    energies, fm = numpy_sum(content, names, atoms, directions(atoms))
    energies[~seen], fm[~seen] = 0.0, 0.0
    assert_same_outputs(run, energies, fm)


# === dynamics ===


MOVING = """\
units metal
atom_style spin
atom_modify map array
newton on
read_data structure.data
pair_style hybrid/overlay lj/cut 4.0 spin/couplings
pair_coeff * * lj/cut 0.05 2.3
pair_coeff * * spin/couplings table.json X
neighbor 0.3 bin
neigh_modify every 1 delay 0 check {check}
velocity all create {kelvin} 12
timestep 0.002
fix n all nve
fix s all spin/sib alpha 0.1 temp 100 300 seed 7
compute spins all property/atom spx spy spz
thermo_style custom step pe
thermo 1
dump out all custom 30 dump.out id x y z c_spins[*]
dump_modify out format float %.17g
run 30
"""


def moving_iron(
    directory: Path,
    kelvin: float,
    check: str,
    nranks: int = 1,
    *,
    ends_well: bool = True,
) -> LammpsRun:
    write_case("isotropic", directory)
    text = MOVING.format(kelvin=kelvin, check=check)
    return run_lmp(text, nranks, directory, check=ends_well)


def test_ranks_do_not_matter(tmp_path: Path) -> None:
    """Noise, a lattice that moves, and bonds matched anew at every step or never."""
    spins = []
    for nranks, check in ((1, "no"), (1, "yes"), (2, "no"), (4, "no")):
        first, last = moving_iron(tmp_path, 10, check, nranks).dump()
        spins.append(columns(last, *(f"c_spins[{k}]" for k in (1, 2, 3))))
        moved = columns(last, "x", "y", "z") - columns(first, "x", "y", "z")
        assert np.abs(moved).max() > 0.01
    for other in spins[1:]:
        assert np.abs(other - spins[0]).max() < 1e-10


@pytest.mark.parametrize("check", ["no", "yes"])
def test_a_bond_that_leaves_the_tolerance(check: str, tmp_path: Path) -> None:
    """Named with step, atoms and distance, between two neighbour lists and at one."""
    run = moving_iron(tmp_path, 2000, check, ends_well=False)
    assert run.returncode != 0
    sentence = (
        r"spin/couplings: atoms \d+ and \d+ do not fit the table at step (\d+), got a "
        r"distance of ([\d.]+) angstrom, ([\d.]+) angstrom off coupling \d \(X-X, "
        r"distance ([\d.]+)\), expected at most the tolerance of 0\.09 angstrom; "
    )
    found = re.search(sentence, " ".join(run.log.split()))
    assert found is not None, run.log[-2000:]
    step, distance, off, listed = map(float, found.groups())
    assert 0 < step <= 30
    assert 0.09 < off < 0.12  # seen at once, not when the atom is far away
    assert abs(distance - listed) == pytest.approx(off, abs=1e-3)


WRITE_SPINS = """\
write_dump all custom spins.out id c_spins[*] modify format float %.17g
"""


def test_nve_spin_and_sib_agree_to_second_order(tmp_path: Path) -> None:
    """Fix nve/spin asks for the field of one spin at a time.

    It is of first order in terms that are not linear in each spin: no A and K here.
    """
    atoms, content, _, text = write_case("full", tmp_path)
    for part in (*content["species"].values(), *content["couplings"]):
        part.pop("A", None)
        part.pop("K", None)
    content["couplings"].pop()  # that of K alone
    (tmp_path / "table.json").write_text(json.dumps(content))
    text = text.replace("run 0", "undump out\nfix s all {fix}\nrun {steps}")
    text = text.replace("timestep 0.001", "timestep {dt}") + WRITE_SPINS

    def final(fix: str, steps: int) -> Array:
        run = run_lmp(text.format(fix=fix, steps=steps, dt=0.01 / steps), 1, tmp_path)
        return columns(run.dump("spins.out")[-1], *(f"c_spins[{k}]" for k in (1, 2, 3)))

    differences = []
    for steps in (100, 400):
        nve = final("nve/spin lattice no", steps)
        sib = final("spin/sib convention lammps", steps)
        assert np.abs(sib - directions(atoms)).max() > 0.1
        differences.append(np.abs(nve - sib).max())
    assert differences[1] < 2e-5
    assert differences[0] / differences[1] == pytest.approx(16, rel=0.2)


def test_minimize(tmp_path: Path) -> None:
    atoms, content, names, text = write_case("full", tmp_path)
    minimize = "min_style spin\nmin_modify discrete_factor 10.0\nminimize 0 0 20 100"
    run = run_lmp(text.replace("run 0", minimize), 2, tmp_path)
    e = columns(run.dump()[-1], *(f"c_spins[{k}]" for k in (1, 2, 3)))
    before, _ = numpy_sum(content, names, atoms, directions(atoms))
    after, fm = numpy_sum(content, names, atoms, e)
    assert after.sum() < before.sum() - 0.1
    assert_same_outputs(run, after, fm)


def test_restart_needs_the_pair_commands_again(tmp_path: Path) -> None:
    atoms, content, names, text = write_case("full", tmp_path)
    run_lmp(text + "write_restart state\n", 2, tmp_path)
    again = text.replace("read_data structure.data", "read_restart state")
    run = run_lmp(again, 1, tmp_path)
    assert_same_outputs(run, *numpy_sum(content, names, atoms, directions(atoms)))


# === thermal averages, each within SIGMAS standard errors of the exact value ===


SIGMAS = 4
"""Together with a standard error below 1 % of the value."""


def assert_thermal(
    system: System, exact: float, tmp_path: Path, *, alpha: float, dt: float, steps: int
) -> None:
    result = measure(system, tmp_path, alpha=alpha, dt=dt, steps=steps)
    assert result.energy_error < 0.01 * abs(exact)
    deviation = (result.energy - exact) / result.energy_error
    assert abs(deviation) < SIGMAS, f"{result.energy} is {deviation:.1f} sigma off"


@pytest.mark.parametrize(("alpha", "dt"), [(0.1, 0.004), (1.0, 0.001)])
def test_uniaxial_average(alpha: float, dt: float, tmp_path: Path) -> None:
    assert_thermal(*uniaxial(2.0), tmp_path, alpha=alpha, dt=dt, steps=1500)


@pytest.mark.parametrize(("alpha", "dt"), [(0.1, 0.004), (1.0, 0.001)])
def test_chain_energy(alpha: float, dt: float, tmp_path: Path) -> None:
    assert_thermal(*chain(1.0), tmp_path, alpha=alpha, dt=dt, steps=1500)


# === messages ===


def assert_stops(text: str, sentence: str, tmp_path: Path, nranks: int = 1) -> None:
    run = run_lmp(text, nranks, tmp_path, check=False)
    assert run.returncode != 0
    assert sentence in " ".join(run.log.split())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "style spin/couplings",
            "style spin/couplings 3.0",
            "unknown argument, got '3.0'",
        ),
        (
            "table.json X",
            "",
            "no file in pair_coeff, got nothing, expected: pair_coeff",
        ),
        ("table.json", "none.json", "the table cannot be read, got 'none.json'"),
        (
            "json X",
            "json X X",
            "too many names in pair_coeff, got 2, expected 1 (one for",
        ),
        ("json X", "json Fe", "type 1 ('Fe') is not in the table (knows: X); correct"),
        ("json X", "json NULL", "all names in pair_coeff are NULL, expected at least"),
        ("units metal", "units real", "wrong units, got 'real', expected metal"),
    ],
)
def test_wrong_input(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    *_, text = write_case("isotropic", tmp_path)
    assert old in text
    text = text.replace(old, new)
    assert_stops(text, f"pair_style spin/couplings: {sentence}", tmp_path)


def without_units(content: Table) -> None:
    del content["units"]


def unknown_species(content: Table) -> None:
    content["couplings"][1]["species"] = ["X", "Co"]


def short_bonds(content: Table) -> None:
    for coupling in content["couplings"]:
        coupling["distance"] *= 0.5


def slightly_off(content: Table) -> None:
    content["couplings"][2]["distance"] += 0.13


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            without_units,
            "'table.json': 'units' is missing in the file, got none, expected",
        ),
        (unknown_species, "'table.json': coupling 2 has an unknown species, got 'Co'"),
        (
            short_bonds,
            "no pair of atoms is a bond of the table, got none for coupling 1",
        ),
        (slightly_off, "do not fit the table at step 0, got a distance of"),
    ],
)
def test_wrong_table(
    change: Callable[[Table], None], sentence: str, tmp_path: Path
) -> None:
    """The table's own messages have a test in C++; here is that they arrive."""
    _, content, _, text = write_case("isotropic", tmp_path)
    change(content)
    (tmp_path / "table.json").write_text(json.dumps(content))
    assert_stops(text, sentence, tmp_path, nranks=2)


def test_wrong_spins(tmp_path: Path) -> None:
    atoms, *_, text = write_case("isotropic", tmp_path)
    moments = atoms.get_initial_magnetic_moments()
    moments[4] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    write_data(atoms, tmp_path / "structure.data", ("Fe",))
    sentence = (
        "magnetic atom 5 (type 1) has a bad spin at step 0, got direction (0, 0, 1)"
    )
    assert_stops(text, sentence, tmp_path, nranks=2)


def test_warnings(tmp_path: Path) -> None:
    """A coupling that nothing has, and moments of another length."""
    _, content, _, text = write_case("isotropic", tmp_path)
    content["couplings"].append(shell(3.4, 1.0))
    content["species"]["X"]["moment"] = 2.3
    (tmp_path / "table.json").write_text(json.dumps(content))
    log = " ".join(run_lmp(text, 2, tmp_path).log.split())
    assert (
        "no pair of atoms is a bond of coupling 4 (X-X, distance 3.4), expected" in log
    )
    assert "moments of another length than in the table, got 2 to 2 muB in sp" in log
    assert f"spin/couplings: {54 * 26} bonds, each counted at both ends" in log
