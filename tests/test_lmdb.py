"""LMDB files: the same data, the same hash, the same weights as from extended XYZ."""

import json
import re
import shutil
from pathlib import Path

import ase.io
import lmdb
import numpy as np
import pytest
import torch
from ase import Atoms
from nequip.data.dataset import NequIPLMDBDataset
from torch.utils.data import DataLoader

from spinff.cli.main import main
from spinff.data import SpinDataset, read_frames, training_data_sha256
from spinff.data.lmdb import LmdbFrames
from spinff.data.references.rocksalt import Rocksalt
from spinff.errors import SpinffError
from spinff.training.run import summary, train
from test_full_disk import OLD, assert_untouched, files_up_to
from test_training import CONFIG, weights


def uneven_frames() -> list[Atoms]:
    """Frames with and without each label, one atom without, one without a cell."""
    frames = Rocksalt().generate(10, seed=1)
    for index, name in enumerate(("energy", "forces", "stress")):
        del frames[index].calc.results[name]
    del frames[3].arrays["magnetic_forces"]
    frames[4].arrays["magnetic_forces"][2] = np.nan
    for name in ("energy", "stress"):  # a stress has no meaning without a cell
        frames[5].calc.results.pop(name)
    frames[5].pbc = False
    frames[5].cell = np.zeros((3, 3))
    return frames


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Frames as extended XYZ, and what ``spinff data convert`` makes of them."""
    folder = tmp_path_factory.mktemp("lmdb")
    xyz, converted = folder / "frames.xyz", folder / "frames.lmdb"
    ase.io.write(xyz, uneven_frames())
    assert main(["data", "convert", str(xyz), "-o", str(converted)]) == 0
    assert sorted(folder.iterdir()) == [converted, xyz]  # no lock, nothing half done
    return xyz, converted


def test_data_are_those_of_the_text(files: tuple[Path, Path]) -> None:
    xyz, converted = (
        SpinDataset({"path": str(path), "label_set": 3}, magnetic_types=["Ni"])
        for path in files
    )
    assert len(converted) == 10
    for expected, got in zip(xyz[:], converted[:], strict=True):
        assert expected.keys() == got.keys()
        for name, value in expected.items():
            assert got[name].dtype == value.dtype, name
            torch.testing.assert_close(
                got[name], value, rtol=0, atol=0, equal_nan=True, msg=name
            )


def test_the_hash_is_that_of_the_text(files: tuple[Path, Path]) -> None:
    xyz, converted = files
    assert training_data_sha256([xyz]) == training_data_sha256([converted])


def test_frames_stay_in_the_file(files: tuple[Path, Path]) -> None:
    dataset = SpinDataset(str(files[1]))
    (part,) = dataset._data.datasets
    assert isinstance(part.frames, LmdbFrames)
    assert dataset[2]["pos"] is not dataset[2]["pos"]


def test_workers_read_the_file_that_the_parent_has_open(
    files: tuple[Path, Path],
) -> None:
    dataset = SpinDataset(str(files[1]))
    loader = DataLoader(dataset, batch_size=None, num_workers=1)
    for expected, got in zip(dataset[:], loader, strict=True):
        assert torch.equal(expected["pos"], got["pos"])


def test_nequip_reads_the_file_by_itself(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    xyz, converted = files
    converted = shutil.copy(converted, tmp_path)  # open but once in a process
    theirs, ours = NequIPLMDBDataset(str(converted)), read_frames(xyz)
    assert len(theirs) == len(ours)
    np.testing.assert_array_equal(theirs[9]["pos"], ours[9].positions)
    np.testing.assert_array_equal(
        theirs[9]["magnetic_moments"], ours[9].arrays["magnetic_moments"]
    )
    assert theirs[9]["total_energy"].item() == ours[9].get_potential_energy()
    assert "total_energy" not in theirs[0]


def test_nan_everywhere_is_no_label(tmp_path: Path) -> None:
    """nequip's own files hold data that are batched: every label, or NaN."""
    xyz, path = tmp_path / "frame.xyz", tmp_path / "frame.lmdb"
    (frame,) = Rocksalt().generate(1, seed=1)
    frame.calc.results = {"energy": -1.0}
    ase.io.write(xyz, frame)
    NequIPLMDBDataset.save_from_iterator(
        str(path), SpinDataset(str(xyz))[:], map_size=1 << 24
    )
    (read,) = read_frames(path)
    assert set(read.calc.results) == {"energy"}


def test_training_gives_the_same_weights(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    runs = [tmp_path / path.suffix[1:] for path in files]
    for path, output in zip(files, runs, strict=True):
        train(CONFIG, output, [f"frames={path}", "epochs=1"])
    expected, got = (weights(output / "last.ckpt") for output in runs)
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, got[name]), name
    hashes = [summary(r / "model.pth")["training_data_sha256"] for r in runs]
    assert hashes[0] == hashes[1]


# === the command ===


def test_several_paths_become_one_file(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "both.lmdb"
    paths = [str(path) for path in files]
    assert main(["data", "convert", *paths, "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_frames"] == 20
    assert main(["data", "check", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[str(output)]["n_frames"] == 20


def test_a_full_disk_is_a_sentence(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "frames.lmdb"
    output.write_bytes(OLD)
    with files_up_to(20_000):
        status = main(["data", "convert", str(files[0]), "-o", str(output)])
    assert status != 0
    error = capsys.readouterr().err
    assert f"{output}: cannot be written, got" in error
    assert "expected room for the file; free some space" in error
    assert_untouched(output)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("frames.xyz", r"got 'frames.xyz', expected one that ends in \.lmdb"),
        ("none/frames.lmdb", "expected a file in a folder that exists"),
    ],
)
def test_a_wrong_output_is_a_sentence(
    files: tuple[Path, Path],
    tmp_path: Path,
    output: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / output
    assert main(["data", "convert", str(files[0]), "-o", str(path)]) != 0
    assert re.search(sentence, capsys.readouterr().err)


# === bad files ===


def write_raw(path: Path, **entries: bytes) -> Path:
    with lmdb.open(str(path), 1 << 20, subdir=False, lock=False) as file:
        with file.begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(key.lstrip("_").encode(), value)
    return path


def test_a_file_that_is_not_lmdb_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "text.lmdb"
    path.write_text("no database" * 1000)
    with pytest.raises(SpinffError, match=r"text.lmdb: cannot be read as LMDB, got"):
        SpinDataset(str(path))


def test_a_file_without_frames_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpinffError, match="the file is empty, got 0 frames"):
        SpinDataset(str(write_raw(tmp_path / "empty.lmdb")))


def test_an_entry_that_is_no_frame_is_a_sentence(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "bytes.lmdb", _0=b"no pickle")
    with pytest.raises(SpinffError, match=r"bytes.lmdb, frame 0: cannot be read"):
        SpinDataset(str(path))


def test_frames_without_moments_are_a_sentence(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "plain.lmdb"
    data = dict(SpinDataset(str(files[1]))[0])
    del data["magnetic_moments"]
    NequIPLMDBDataset.save_from_iterator(str(path), [data], map_size=1 << 24)
    with pytest.raises(SpinffError, match=r"frame 0: lacks magnetic_moments, got"):
        SpinDataset(str(path))


def test_a_species_that_is_not_known_is_a_sentence(files: tuple[Path, Path]) -> None:
    with pytest.raises(SpinffError, match=r"frame 0, atom .*got 'O', expected one of"):
        SpinDataset(str(files[1]), type_names=["Ni"])


def test_names_for_an_lmdb_file_are_a_sentence(files: tuple[Path, Path]) -> None:
    with pytest.raises(SpinffError, match="an LMDB file has no names to choose"):
        SpinDataset(str(files[1]), keys={"moments": "spin"})
