"""Every bad input of pair_style spin/allegro ends in a sentence of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from lammps_models import (
    MOMENT,
    TYPES,
    ThreeSpins,
    header,
    save_broken_model,
    save_input_moments,
    save_message_passing,
    save_model,
    save_predicted_moments,
)
from lammps_tools import (
    PRELOAD,
    TIMEOUT,
    is_running,
    lmp_environment,
    ranks_of,
    run_lmp,
    start_lmp,
    wait_for,
    write_data,
)

pytestmark = pytest.mark.lammps

INPUT = """\
units metal
atom_style spin
atom_modify map array
newton on
read_data structure.data
pair_style spin/allegro
pair_coeff * * model.pth Ni O
fix 1 all nve
run 1
"""


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pth"
    save_model(path)
    return path


@pytest.fixture
def structure(model_file: Path, tmp_path: Path) -> Atoms:
    """Eight atoms of NiO in the test's folder, with the model beside them."""
    (tmp_path / "model.pth").symlink_to(model_file)
    atoms = bulk("NiO", "rocksalt", 4.17, cubic=True)
    moments = np.zeros((len(atoms), 3))
    moments[atoms.numbers == 28, 2] = MOMENT
    atoms.set_initial_magnetic_moments(moments)
    write_data(atoms, tmp_path / "structure.data", TYPES)
    return atoms


def assert_stops(text: str, sentence: str, tmp_path: Path, nranks: int = 1) -> None:
    run = run_lmp(text, nranks, tmp_path, check=False)
    assert run.returncode != 0
    assert sentence in " ".join(run.log.split())


def changed(old: str, new: str) -> str:
    assert old in INPUT
    return INPUT.replace(old, new)


# === the model file ===


def truncate(good: Path, bad: Path) -> None:
    bad.write_bytes(good.read_bytes()[:-200])


def truncate_hard(good: Path, bad: Path) -> None:
    bad.write_bytes(good.read_bytes()[:1000])


def damage(good: Path, bad: Path) -> None:
    """The directory of the archive is whole, a record is not."""
    with zipfile.ZipFile(good) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("/data.pkl"))
    content = bytearray(good.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    content[start : start + 200] = bytes(200)
    bad.write_bytes(content)


def text_file(good: Path, bad: Path) -> None:
    bad.write_text("# DATE: 2026-11-22 a potential of another kind\n")


def empty_file(good: Path, bad: Path) -> None:
    bad.touch()


def folder(good: Path, bad: Path) -> None:
    bad.mkdir()


def missing(good: Path, bad: Path) -> None:
    pass


def checkpoint(good: Path, bad: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": {}}, bad)


def plain_script(good: Path, bad: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(bad))


def script_without_methods(good: Path, bad: Path) -> None:
    text = json.dumps(header())
    module = torch.jit.script(torch.nn.Linear(1, 1))
    torch.jit.save(module, str(bad), _extra_files={"spinff.json": text})


def script_without_spin_energies(good: Path, bad: Path) -> None:
    class Other(torch.nn.Module):
        @torch.jit.export
        def geometry(self, x: torch.Tensor) -> torch.Tensor:
            return x

    text = json.dumps(header(terms=["lattice", "tenn"]))
    torch.jit.save(torch.jit.script(Other()), str(bad), {"spinff.json": text})


def wrong_terms(good: Path, bad: Path) -> None:
    """The network has five terms, the header names four."""
    text = json.dumps(header(terms=["lattice", "tenn", "ring", "exchange"]))
    torch.jit.save(torch.jit.script(ThreeSpins()), str(bad), {"spinff.json": text})


def failing_network(good: Path, bad: Path) -> None:
    save_broken_model(bad, fails=True)


def other_zip(good: Path, bad: Path) -> None:
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("readme.txt", "hello")


def newer(good: Path, bad: Path) -> None:
    save_model(bad, format_version=3, spinff_version="9.9.9")


def older(good: Path, bad: Path) -> None:
    save_model(bad, format_version=1)


def free_moments(good: Path, bad: Path) -> None:
    save_model(bad, moment_mode="free")


FILES: list[tuple[Callable[[Path, Path], None], str]] = [
    (missing, "'bad.pth' cannot be read, got: No such file or directory"),
    (empty_file, "'bad.pth' cannot be read, got: an empty file or a folder"),
    (folder, "'bad.pth' cannot be read, got: an empty file or a folder"),
    (truncate, "'bad.pth' is truncated, got an archive without its end"),
    (truncate_hard, "'bad.pth' is truncated, got an archive without its end"),
    (damage, "'bad.pth' is damaged, got another checksum of record 'model/data.pkl'"),
    (text_file, "'bad.pth' is of another kind, got a file that is no archive"),
    (checkpoint, "'bad.pth' is of another kind, got a checkpoint"),
    (plain_script, "got a TorchScript model without the header spinff.json"),
    (script_without_methods, "'bad.pth' has no method 'couplings'"),
    (script_without_spin_energies, "'bad.pth' has no method 'spin_energies'"),
    (wrong_terms, "output 'term_energies' is wrong, got Double [3, 5], expected"),
    (failing_network, "the network failed, got: RuntimeError: "),
    (other_zip, "'bad.pth' is of another kind, got a zip archive that is not torch's"),
    (newer, "'bad.pth': the file has a newer format, got format version 3"),
    (older, "'bad.pth': the file has an older format, got format version 1"),
    (free_moments, "'bad.pth': header field 'moment_mode' is wrong, got 'free'"),
]


@pytest.mark.usefixtures("structure")
@pytest.mark.parametrize(
    ("make", "sentence"), FILES, ids=[make.__name__ for make, _ in FILES]
)
def test_bad_file(
    make: Callable[[Path, Path], None], sentence: str, model_file: Path, tmp_path: Path
) -> None:
    make(model_file, tmp_path / "bad.pth")
    run = run_lmp(changed("model.pth", "bad.pth"), 1, tmp_path, check=False)
    assert run.returncode != 0
    message = next(line for line in run.log.splitlines() if line.startswith("ERROR: "))
    assert message.startswith("ERROR: pair_style spin/allegro: ")
    assert sentence in message
    for part in (", got", "expected", "; "):
        assert part in message


def damaged_archives(good: Path, folder: Path) -> list[str]:
    """Names of copies: cut at 20 places, and 40 with up to three bits changed."""
    content, random, names = good.read_bytes(), Random(3), []
    for part in range(20):
        names.append(f"cut{part}.pth")
        (folder / names[-1]).write_bytes(content[: len(content) * part // 20])
    for number in range(40):
        changed_content = bytearray(content)
        for _ in range(random.randint(1, 3)):
            changed_content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        names.append(f"bits{number}.pth")
        (folder / names[-1]).write_bytes(changed_content)
    return names


def test_damaged_archives(model_file: Path, tmp_path: Path) -> None:
    """One process reads them all, and is told what each is.

    A changed bit may lie between the records, and the model is whole: that loads.
    """
    names = damaged_archives(model_file, tmp_path)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("damaged_models.py"), *names],
        cwd=tmp_path,
        env=lmp_environment() | {"LD_PRELOAD": os.environ.get(PRELOAD, "")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *answers, end = done.stdout.splitlines()
    assert end == "end"
    loaded = [name for name in names if f"{name}: loaded" in answers]
    assert all(name.startswith("bits") for name in loaded)
    assert len(loaded) < 20
    sentence = r"ERROR: pair_style spin/allegro: .*, got.*, expected .*; "
    for name, answer in zip(names, answers, strict=True):
        assert name in loaded or re.match(rf"{name}: {sentence}", answer)


# === input commands ===

COMMANDS = [
    (
        "unknown_species",
        ("model.pth Ni O", "model.pth Ni Fe"),
        "spin/allegro: type 2 ('Fe') is not in the model (knows: Ni, O)",
    ),
    (
        "too_few_names",
        ("model.pth Ni O", "model.pth Ni"),
        "spin/allegro: too few names in pair_coeff, got 1, expected 2",
    ),
    (
        "too_many_names",
        ("model.pth Ni O", "model.pth Ni O O"),
        "spin/allegro: too many names in pair_coeff, got 3, expected 2",
    ),
    (
        "only_null",
        ("model.pth Ni O", "model.pth NULL NULL"),
        "spin/allegro: all names in pair_coeff are NULL, expected at least one",
    ),
    (
        "no_file",
        ("* * model.pth Ni O", "* *"),
        "spin/allegro: no model file in pair_coeff, expected: pair_coeff * * model.pth",
    ),
    (
        "unknown_argument",
        ("spin/allegro\n", "spin/allegro 5.0\n"),
        "spin/allegro: unknown argument, got '5.0', expected nothing or: device",
    ),
    (
        "device_without_value",
        ("spin/allegro\n", "spin/allegro device\n"),
        "spin/allegro: unknown device, got nothing, expected cpu or cuda",
    ),
    (
        "unknown_device",
        ("spin/allegro\n", "spin/allegro device tpu\n"),
        "spin/allegro: unknown device, got 'tpu', expected cpu or cuda",
    ),
    (
        "units",
        ("units metal", "units real"),
        "spin/allegro: wrong units, got 'real', expected metal",
    ),
    (
        "newton",
        ("newton on", "newton off"),
        "spin/allegro: newton is off for pairs, expected on; use 'newton on'",
    ),
    (
        "nve_spin",
        ("fix 1 all nve\n", "fix 1 all nve/spin lattice moving\n"),
        "spin/allegro: fix nve/spin is in use, got one fix of this style, expected none"
        " because it asks for the field of one spin at a time; use fix spin/sib",
    ),
]


@pytest.mark.usefixtures("structure")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [case[1:] for case in COMMANDS],
    ids=[case[0] for case in COMMANDS],
)
def test_bad_command(change: tuple[str, str], sentence: str, tmp_path: Path) -> None:
    assert_stops(changed(*change), sentence, tmp_path)


NO_DATA = """\
units metal
{}
newton on
region box block 0 4 0 4 0 4
create_box 2 box
create_atoms 1 single 1 1 1
create_atoms 2 single 3 3 3
mass * 16.0
pair_style spin/allegro
pair_coeff * * model.pth Ni O
run 0
"""


@pytest.mark.usefixtures("structure")
@pytest.mark.parametrize(
    ("commands", "sentence"),
    [
        (
            "atom_style atomic",
            "spin/allegro: wrong atom_style, got 'atomic', expected spin",
        ),
        (
            "atom_style spin\natom_modify id no",
            "spin/allegro: atoms have no IDs, got 'atom_modify id no', expected",
        ),
    ],
    ids=["atom_style", "atom_ids"],
)
def test_bad_atoms(commands: str, sentence: str, tmp_path: Path) -> None:
    assert_stops(NO_DATA.format(commands), sentence, tmp_path)


@pytest.mark.usefixtures("structure")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there(tmp_path: Path) -> None:
    text = changed("spin/allegro\n", "spin/allegro device cuda\n")
    assert_stops(text, "spin/allegro: device cuda is not there, got", tmp_path)


@pytest.mark.usefixtures("structure")
def test_all_ranks_stop_together(tmp_path: Path) -> None:
    text = changed("model.pth", "missing.pth")
    assert_stops(text, "'missing.pth' cannot be read", tmp_path, nranks=2)


@pytest.mark.usefixtures("structure")
def test_message_passing_runs_on_one_rank_only(tmp_path: Path) -> None:
    save_message_passing(tmp_path / "messages.pth")
    text = changed("model.pth", "messages.pth")
    sentence = (
        "spin/allegro: the SpinNequIP model passes messages between atoms, further than"
        " the ghost atoms of a rank reach, got 2 MPI ranks, expected 1; run on one rank"
    )
    assert_stops(text, sentence, tmp_path, nranks=2)
    text = text.replace("atom_modify map array\n", "")
    sentence = "got no atom map, expected one; add 'atom_modify map yes'"
    assert_stops(text, sentence, tmp_path)


# === moments ===


@pytest.mark.usefixtures("structure")
@pytest.mark.parametrize(
    ("columns", "got"),
    [
        ("0.0 0.0 1.0 0.0", "got direction (0, 0, 1) and moment 0 muB"),
        # LAMMPS divides a direction by its length: 0 0 0 becomes NaN
        ("0.0 0.0 0.0 1.278", "nan) and moment 1.278 muB"),
    ],
    ids=["zero", "no_direction"],
)
@pytest.mark.parametrize("nranks", [1, 2])
def test_magnetic_atom_without_moment(
    columns: str, got: str, nranks: int, tmp_path: Path
) -> None:
    file = tmp_path / "structure.data"
    lines = file.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith("3 1 "))
    lines[number] = " ".join([*lines[number].split()[:5], columns])
    file.write_text("\n".join(lines) + "\n")
    sentence = "spin/allegro: magnetic atom 3 (type 1) has a bad spin at step 0, got"
    run = run_lmp(INPUT, nranks, tmp_path, check=False)
    assert run.returncode != 0
    assert sentence in run.log
    assert got in run.log


@pytest.mark.usefixtures("structure")
@pytest.mark.parametrize(
    ("save", "columns", "named", "sentence"),
    [
        (
            save_input_moments,
            "0.0 0.0 1.0 -1.2",
            "type 1, moment -1.2 muB",
            "and a moment above 0, or a moment",
        ),
        (
            save_input_moments,
            "0.0 0.0 0.0 1.2",
            "type 1, moment 1.2 muB",
            "and a moment above 0, or a moment",
        ),
        (
            save_predicted_moments,
            "0.0 0.0 0.0 1.2",
            "type 1",
            "expected a unit vector; set it",
        ),
    ],
    ids=["negative", "no_direction", "predicted"],
)
def test_bad_spin_of_other_moment_modes(
    save: Callable[[Path], None],
    columns: str,
    named: str,
    sentence: str,
    tmp_path: Path,
) -> None:
    save(tmp_path / "other.pth")
    file = tmp_path / "structure.data"
    lines = file.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith("3 1 "))
    lines[number] = " ".join([*lines[number].split()[:5], columns])
    file.write_text("\n".join(lines) + "\n")
    text = changed("model.pth", "other.pth")
    assert_stops(text, f"magnetic atom 3 ({named}) has a bad spin at step 0", tmp_path)
    assert_stops(text, sentence, tmp_path)


@pytest.mark.parametrize("save", [save_input_moments, save_predicted_moments])
def test_moments_that_are_not_fixed_are_no_warning(
    save: Callable[[Path], None], structure: Atoms, tmp_path: Path
) -> None:
    save(tmp_path / "other.pth")
    moments = structure.get_initial_magnetic_moments()
    moments[structure.numbers == 28, 2] *= 1.5
    structure.set_initial_magnetic_moments(moments)
    write_data(structure, tmp_path / "structure.data", TYPES)
    log = run_lmp(changed("model.pth", "other.pth"), 1, tmp_path).log
    assert "WARNING: pair_style spin/allegro" not in log


def test_moment_unlike_the_models_is_a_warning(
    structure: Atoms, tmp_path: Path
) -> None:
    moments = structure.get_initial_magnetic_moments()
    moments[structure.numbers == 28, 2] *= 1.5
    structure.set_initial_magnetic_moments(moments)
    write_data(structure, tmp_path / "structure.data", TYPES)
    log = run_lmp(INPUT, 2, tmp_path).log
    assert "atoms of 'Ni' have moments of another length than in training" in log
    assert "got 1.917 to 1.917 muB in sp, expected 1.278 muB" in log


@pytest.mark.usefixtures("structure")
def test_moment_like_the_models_is_no_warning(tmp_path: Path) -> None:
    assert "WARNING: pair_style spin/allegro" not in run_lmp(INPUT, 1, tmp_path).log


# === results ===


SPEED = 0.1
"""Å in a step of the atom that is thrown at others."""


def first_step_below(
    atoms: Atoms, thrown: int, threshold: float, pairs: str
) -> tuple[int, set[int]]:
    """Step at which two atoms come closer than that, and the IDs of all that have."""
    atoms = atoms.copy()
    others = [atom.index for atom in atoms if atom.symbol not in pairs.split("-")]
    for step in range(20):
        distances = atoms.get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        distances[others] = distances[:, others] = np.inf
        close = np.flatnonzero(distances.min(1) < threshold)
        if close.size:
            return step, {int(index) + 1 for index in close}
        atoms.positions[thrown - 1, 0] += SPEED
    raise AssertionError("the atoms never meet")


SIB = "fix 2 all spin/sib\n"
NOT_FINITE = [
    # ranks, what is NaN, between which atoms, closer than (Å), ID of the atom thrown
    (1, "lattice", "Ni-O", 1.5, 6, "", "lattice energy of atom"),
    (2, "lattice", "Ni-O", 1.5, 6, "", "lattice energy of atom"),
    (2, "force", "Ni-O", 1.5, 6, "", "force on atom"),
    (2, "exchange", "Ni-Ni", 2.7, 5, "", "exchange energy of atom"),
    (2, "exchange", "Ni-Ni", 2.7, 5, SIB, "spin field of atom"),
]


@pytest.mark.parametrize(
    ("nranks", "quantity", "pairs", "threshold", "thrown", "fix", "name"),
    NOT_FINITE,
    ids=[f"{case[1]}-{case[0]}{'-sib' * bool(case[5])}" for case in NOT_FINITE],
)
def test_nan_during_a_run(
    nranks: int,
    quantity: str,
    pairs: str,
    threshold: float,
    thrown: int,
    fix: str,
    name: str,
    structure: Atoms,
    tmp_path: Path,
) -> None:
    """All ranks end, with the step, the atom and the quantity."""
    save_broken_model(tmp_path / "broken.pth", threshold, quantity=quantity)
    throw = f"group hit id {thrown}\nvelocity hit set {1000 * SPEED} 0.0 0.0\nrun 20"
    text = changed("model.pth", "broken.pth").replace("run 1", fix + throw)
    step, ids = first_step_below(structure, thrown, threshold, pairs)
    assert step > 0
    run = run_lmp(text, nranks, tmp_path, check=False)
    assert run.returncode != 0
    found = re.search(
        rf"spin/allegro: {name} (\d+) \(type \d\) is not a finite number at step "
        r"(\d+), got -?nan; the atoms are too close or far from what",
        " ".join(run.log.split()),
    )
    assert found, run.log[-2000:]
    assert int(found[1]) in ids
    assert int(found[2]) == step


# === a rank that dies ===


def test_a_killed_rank_ends_the_run(structure: Atoms, tmp_path: Path) -> None:
    """As the kernel does when the memory is full: nothing waits, nothing is left."""
    text = changed("run 1", "thermo_modify flush yes\nrun 100000000")
    with start_lmp(text, 2, tmp_path) as process:
        ranks = wait_for(lambda: ranks_of(process.pid, 2), 60.0)
        # in the steps, where the ranks wait for each other
        log = tmp_path / "log.lammps"
        wait_for(lambda: log.exists() and "Step" in log.read_text(), 60.0)
        os.kill(ranks[1], signal.SIGKILL)
        begin = time.monotonic()
        output = process.communicate(timeout=30.0)[0]
        assert process.returncode != 0
        assert time.monotonic() - begin < 10.0
    assert "Killed (signal 9)" in output
    assert not [pid for pid in ranks if is_running(pid)]
