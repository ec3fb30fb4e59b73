"""The ``spinff`` command: errors as sentences, exit statuses, the small commands."""

import argparse
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import spinff.lammps
from spinff import SpinffError
from spinff.cli import doctor, main
from test_header import HEADER, write_zip


def spinff_command(*words: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from spinff.cli.main import main; exit(main())",
        *words,
    ]


# === main ===


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name, (_, summary) in main.COMMANDS.items():
        assert name in shown
        assert summary in shown


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 2
    assert "plugin-path" in capsys.readouterr().out


def test_unknown_command_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["polish"])
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert "'polish'" in shown
    assert "evaluate" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == metadata.version("spinff")


def run_failing(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> int:
    """Exit status of a command whose ``run`` raises, in a folder of its own."""

    def run(args: argparse.Namespace) -> int:
        raise error

    command = SimpleNamespace(add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(main, "load_command", lambda name: command)
    monkeypatch.chdir(folder)
    return main.main(["info"])


def test_bad_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = SpinffError("cell: is flat, got volume 0, expected more; check the cell")
    assert run_failing(error, monkeypatch, tmp_path) == 2
    assert capsys.readouterr().err == f"spinff info: {error}\n"
    assert not (tmp_path / "error.log").exists()


def test_unexpected_error_leaves_its_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_failing(IndexError("no row 7"), monkeypatch, tmp_path) == 1
    shown = capsys.readouterr().err
    log = tmp_path / "error.log"
    assert shown == (
        "spinff info: unexpected IndexError: no row 7; "
        f"the traceback is in {log.resolve()}\n"
    )
    assert "Traceback (most recent call last)" in log.read_text()


def test_interrupt(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_failing(KeyboardInterrupt(), monkeypatch, tmp_path) == 130
    assert capsys.readouterr().err == "spinff info: interrupted\n"


def test_reader_that_goes_away_causes_no_message(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "a.pth",
        {
            "a/extra/spinff.json": json.dumps(HEADER | {"git_revision": "x" * 200_000}),
        },
    )
    with subprocess.Popen(
        spinff_command("info", str(path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


# === info ===


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    members = {"m/extra/spinff.json": json.dumps(HEADER), "m/constants.pkl": ""}
    return write_zip(tmp_path / "model.pth", members)


def test_info_table(deployed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["info", str(deployed)]) == 0
    shown = capsys.readouterr().out
    for fragment in (
        "SpinAllegro",
        "Ni 1.278",
        "cutoffs of O (Å)",
        "Ni 4, O 3.2",
        "0.824",
    ):
        assert fragment in shown


def test_info_json(deployed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["info", str(deployed), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["kind"] == "spinff-deployed-model"
    assert report["file_bytes"] == deployed.stat().st_size
    assert {key: report[key] for key in HEADER if key in report} == {
        key: value for key, value in HEADER.items() if key not in ("format", "units")
    }


def test_info_of_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["info", "nowhere.pth"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(
        "spinff info: model file 'nowhere.pth': the file is missing"
    )
    assert "Traceback" not in shown


def save_checkpoint(path: Path, **changes: object) -> Path:
    import torch

    info = {"versions": {"nequip": "0.19.1", "spinff.nequip_extension": None}}
    model = {
        "_target_": "spinff.models.SpinAllegro",
        "r_max": 5.0,
        "heads": {"width": 8},
    }
    state = {"model.sole_model.w": torch.zeros(4, 5), "ema.w": torch.ones(1)}
    content = {
        "epoch": 3,
        "state_dict": state,
        "hyper_parameters": {"model": model, "info_dict": info},
    }
    torch.save(content | changes, path)
    return path


def test_info_of_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_checkpoint(tmp_path / "last.ckpt")
    assert main.main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    for fragment in (
        "training checkpoint",
        "model.heads.width",
        "nequip 0.19.1",
        "unknown",
    ):
        assert fragment in shown
    assert main.main(["info", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["numbers_in_state"] == 20
    assert report["model"]["r_max"] == 5.0
    assert report["versions"] == {"nequip": "0.19.1"}


def test_info_of_another_torch_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_checkpoint(tmp_path / "other.pt", hyper_parameters={})
    assert main.main(["info", str(path)]) == 2
    assert "of another kind, got a torch archive without" in capsys.readouterr().err


def test_info_runs_no_code_of_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_checkpoint(tmp_path / "evil.ckpt", hook=CodeAtLoad())
    assert main.main(["info", str(path)]) == 2
    assert "the checkpoint cannot be read, got" in capsys.readouterr().err


class CodeAtLoad:
    """An object whose unpickling would stop the process."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return sys.exit, ("the checkpoint ran code",)


# === plugin-path ===


def test_plugin_path(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "plugins"
    core = SimpleNamespace(origin=str(tmp_path / "_core.so"))
    monkeypatch.setattr(spinff.lammps, "find_spec", lambda name: core)
    assert main.main(["plugin-path"]) == 2
    shown = capsys.readouterr().err
    assert f"not built, got no spinffplugin.so in {folder}, expected" in shown
    folder.mkdir()
    (folder / "spinffplugin.so").touch()
    assert main.main(["plugin-path"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert main.main(["plugin-path", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["directory"] == str(folder)


def test_plugin_directory_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start of lmp calls it, also where nothing is built."""
    monkeypatch.setattr(spinff.lammps, "find_spec", lambda name: None)
    assert spinff.lammps.plugin_directory().endswith("plugins")


# === doctor ===


@pytest.mark.lammps
def test_doctor_finds_this_environment_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main.main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    faults = [c for c in report["checks"] if c["state"] in ("missing", "wrong")]
    assert not faults
    assert report["ok"]
    assert status == 0
    names = {check["name"] for check in report["checks"]}
    assert {"torch", "plugin", "lmp with plugin", "MPI, 2 ranks", "CPU"} <= names


def test_doctor_reports_versions_off_the_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.12.0", "nequip": "0.19.7"}

    def version(name: str) -> str:
        if name == "spinff":
            return "0.1.0"
        try:
            return versions[name]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    lines = ["torch==2.13.0", "nequip==0.19.*", "e3nn==0.6.*", "ruff; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    monkeypatch.setattr(metadata, "version", version)
    checks = {check.name: check for check in doctor.check_packages()}
    assert {name: check.state for name, check in checks.items()} == {
        "spinff": "ok",
        "torch": "wrong",
        "nequip": "ok",
        "e3nn": "missing",
    }
    assert checks["torch"].found == "2.12.0, expected ==2.13.0"
    assert "make setup" in checks["e3nn"].advice


LISTED = """LAMMPS (1 Jan 2026)
Currently loaded plugins: 2
   1: pair style plugin spin/allegro
   2: fix style plugin spin/sib
"""
NOT_LOADED = """LAMMPS (1 Jan 2026)
Open of file plugins/spinffplugin.so failed: undefined symbol: _Z5hello
Currently loaded plugins: 0
"""


def test_doctor_reads_the_plugin_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "run_lammps", lambda launcher: LISTED)
    assert doctor.check_lammps().state == "ok"
    monkeypatch.setattr(doctor, "run_lammps", lambda launcher: NOT_LOADED)
    check = doctor.check_lammps()
    assert check.state == "wrong"
    assert check.found.startswith("LAMMPS (1 Jan 2026)")
    assert "undefined symbol: _Z5hello" in check.found


def test_doctor_sees_a_foreign_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    output = f"{doctor.RANK_MARK} 1\n" * 2
    monkeypatch.setattr(doctor, "find_program", lambda name: name)
    monkeypatch.setattr(doctor, "run_lammps", lambda launcher: output)
    assert doctor.check_mpi().state == "wrong"


def test_doctor_without_lammps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_program", lambda name: None)
    assert doctor.check_lammps().state == "missing"
    assert doctor.check_mpi().state == "missing"


def test_doctor_reports_how_lmp_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_program", lambda name: "false")
    check = doctor.check_lammps()
    assert check.state == "missing"
    assert "exit status 1" in check.found


def test_doctor_exit_status_and_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [
        doctor.Check("torch", "ok", "2.13.0"),
        doctor.Check("CUDA GPUs", "note", "none", "use the CPU"),
    ]
    monkeypatch.setattr(doctor, "all_checks", lambda: iter(checks))
    assert main.main(["doctor"]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    checks.append(doctor.Check("plugin", "missing", "no file", "run make setup"))
    assert main.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "missing  plugin     no file; run make setup" in shown
    assert "1 to mend" in shown
