"""A full disk: a sentence, an exit status, and no half of a file under its name."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch

from small_models import structure
from spinff import export
from spinff.cli.main import main
from spinff.errors import SpinffError
from spinff.files import whole_file
from spinff.training.checkpoint_io import WholeCheckpoints
from spinff.training.run import checkpoint_plugin, write_model
from test_export import pretend_checkpoint
from test_header import HEADER, write_zip

OLD = b"what was there before"


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file grows beyond a number of bytes, as on a disk with that much room left.

    Python ignores the signal that comes with it: the write fails with EFBIG.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_sentence(text: str, path: Path) -> None:
    assert f"{path}: cannot be written, got 'File too large', expected room" in text
    assert "; free some space" in text
    assert "unexpected" not in text


def assert_untouched(path: Path) -> None:
    """The file is the old one, and nothing else was left beside it."""
    assert path.read_bytes() == OLD
    assert not list(path.parent.glob(f".*{path.name}*"))


# === the parts ===


def test_a_whole_file_replaces_the_old_one(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_bytes(OLD)
    link.symlink_to(path)
    with whole_file(link) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert path.read_bytes() == OLD
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_an_error_of_another_kind_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(OLD)
    with pytest.raises(KeyError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyError("x")
    assert_untouched(path)


@pytest.mark.parametrize("place", ["folder", "no/folder.txt"])
def test_a_place_that_is_no_file(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(
            SpinffError, match=r"cannot be written, got .*; correct the path"
        ),
        whole_file(tmp_path / place) as temporary,
    ):
        temporary.write_text("x")


def test_a_device_stays_a_device() -> None:
    with (
        pytest.raises(
            SpinffError, match=r"/dev/full: cannot be written, got 'No space"
        ),
        whole_file("/dev/full") as temporary,
    ):
        temporary.write_text("x")
    assert Path("/dev/full").is_char_device()


# === the commands ===


def test_deploy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = pretend_checkpoint(tmp_path, monkeypatch)
    monkeypatch.setattr(export, "compare_reloaded", lambda *args: 0.0)
    output = tmp_path / "out.pth"
    output.write_bytes(OLD)
    with files_up_to(20_000):
        assert main(["deploy", str(checkpoint), "-o", str(output)]) == 2
    assert_sentence(capsys.readouterr().err, output)
    assert_untouched(output)


def test_data_generate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "frames.xyz"
    output.write_bytes(OLD)
    words = ["data", "generate", "rocksalt", "-n", "3", "-o"]
    with files_up_to(2000):
        assert main([*words, str(output)]) == 2
    assert_sentence(capsys.readouterr().err, output)
    assert_untouched(output)
    assert main([*words, str(output)]) == 0
    assert len(ase.io.read(output, index=":")) == 3
    assert main([*words, "/dev/full"]) == 2
    assert "/dev/full: cannot be written, got 'No space left" in capsys.readouterr().err


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """One frame with an energy and forces, of the species of the small model."""
    atoms = structure()
    atoms.info["energy"] = -1.0
    atoms.arrays["forces"] = np.zeros((len(atoms), 3))
    path = tmp_path / "frames.xyz"
    ase.io.write(path, atoms)
    return path


def test_picture_of_evaluate(
    labelled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "parity.png"
    output.write_bytes(OLD)
    model = pretend_checkpoint(tmp_path, monkeypatch)
    words = ["evaluate", str(model), str(labelled), "--plot", str(output)]
    with files_up_to(2000):
        assert main(words) == 2
    assert_sentence(capsys.readouterr().err, output)
    assert_untouched(output)


def test_standard_output(tmp_path: Path) -> None:
    """A table or JSON that goes to a full disk."""
    members = {"m/extra/spinff.json": json.dumps(HEADER), "m/constants.pkl": ""}
    deployed = write_zip(tmp_path / "model.pth", members)
    code = "import sys; from spinff.cli.main import main; sys.exit(main())"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "info", str(deployed), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("spinff info: the output: cannot be written, got 'No")
    assert done.stderr.count("\n") == 1


# === training ===


def test_model_of_train(tmp_path: Path) -> None:
    best, output = tmp_path / "best.ckpt", tmp_path / "model.pth"
    state = {"w": torch.zeros(10_000)}
    parameters = {"info_dict": {"data": {"_target_": "builtins.dict"}}}
    torch.save({"state_dict": state, "hyper_parameters": parameters}, best)
    output.write_bytes(OLD)
    with (
        files_up_to(20_000),
        pytest.raises(SpinffError, match="cannot be written") as caught,
    ):
        write_model(best, output)
    assert_sentence(str(caught.value), output)
    assert_untouched(output)
    assert write_model(best, output) == output
    assert torch.load(output)["state_dict"].keys() == state.keys()


def test_checkpoints_of_train(tmp_path: Path) -> None:
    """The last good one stays for --resume."""
    path = tmp_path / "run" / "last.ckpt"
    writer = WholeCheckpoints()
    writer.save_checkpoint({"epoch": 1}, path)
    large = {"epoch": 2, "w": torch.zeros(10_000)}
    with files_up_to(20_000), pytest.raises(SpinffError, match="cannot be written"):
        writer.save_checkpoint(large, path)
    assert torch.load(path) == {"epoch": 1}
    assert list(path.parent.iterdir()) == [path]


def test_every_run_has_that_writer() -> None:
    config = {"trainer": {"max_epochs": 2}}
    assert "WholeCheckpoints" in checkpoint_plugin(config, [])[0]
    assert checkpoint_plugin(config, ["+trainer.plugins=[]"]) == []
    assert checkpoint_plugin({"trainer": {"plugins": []}}, []) == []
