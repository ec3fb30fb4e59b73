"""One entry to every format: a path becomes a list of canonical frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ase import Atoms

from spinff.data.deepmd import read_deepmd
from spinff.data.extxyz import read_extxyz
from spinff.data.frames import check_species, combine_sha256, frame_sha256
from spinff.data.keys import check_keys
from spinff.data.lmdb import LmdbFrames
from spinff.errors import SpinffError

FORMATS: Final = {"extxyz": read_extxyz, "deepmd": read_deepmd}
# read frame by frame when they are needed, not here
LMDB: Final = "lmdb"
_XYZ_ENDINGS: Final = (".xyz", ".extxyz")
_PACKINGS: Final = (".gz", ".bz2", ".xz")


def read_frames(
    path: str | Path,
    *,
    format: str = "auto",
    keys: Mapping[str, str] | None = None,
    type_names: Sequence[str] | None = None,
) -> list[Atoms]:
    """Read a file or folder into canonical frames (see ``spinff.data.frames``).

    Args:
        path: an extended XYZ file, a deepmd folder or an LMDB file.
        format: ``auto`` (a folder is deepmd, ``.xyz`` and ``.extxyz`` are extended
            XYZ, ``.lmdb`` is LMDB), ``extxyz``, ``deepmd`` or ``lmdb``.
        keys: name per quantity where the file's own is not an alias.
        type_names: species that may occur; None allows every one.

    Raises:
        SpinffError: if the data cannot be used, with the reason.
    """
    return list(open_frames(path, format=format, keys=keys, type_names=type_names))


def open_frames(
    path: str | Path,
    *,
    format: str = "auto",
    keys: Mapping[str, str] | None = None,
    type_names: Sequence[str] | None = None,
) -> Sequence[Atoms]:
    """As ``read_frames``, but the frames of an LMDB file stay there until asked for.

    Raises:
        SpinffError: if the data cannot be used, with the reason; for an LMDB file when
            the frame is taken.
    """
    path = Path(path)
    chosen = _format(path, format)
    names = check_keys(keys or {})
    if chosen == LMDB:
        if names:
            raise SpinffError(
                f"{path}: an LMDB file has no names to choose, got keys {names}, "
                "expected none; give keys to 'spinff data convert'"
            )
        return LmdbFrames(path, type_names)
    frames = FORMATS[chosen](path, names)
    for index, frame in enumerate(frames):
        check_species(f"{path}, frame {index}", frame, type_names)
    return frames


def training_data_sha256(
    paths: Sequence[str | Path],
    *,
    format: str = "auto",
    keys: Mapping[str, str] | None = None,
) -> str:
    """SHA-256 of all frames of several paths, whatever their order or format."""
    return combine_sha256(
        frame_sha256(frame)
        for path in paths
        for frame in read_frames(path, format=format, keys=keys)
    )


def _format(path: Path, format: str) -> str:
    if not path.exists():
        raise SpinffError(
            f"{path}: no such file or folder, got a path seen from {Path.cwd()}, "
            "expected an extended XYZ file, a deepmd folder or an LMDB file; correct "
            "the path"
        )
    if format == "auto":
        format = "deepmd" if path.is_dir() else _format_of_file(path)
    if format not in (*FORMATS, LMDB):
        raise SpinffError(
            f"{path}: unknown format, got '{format}', expected auto, "
            f"{', '.join(FORMATS)} or {LMDB}; correct format"
        )
    if path.is_dir() != (format == "deepmd"):
        kind = "folder" if path.is_dir() else "file"
        needed = "folder" if format == "deepmd" else "file"
        raise SpinffError(
            f"{path}: the format does not fit, got a {kind}, expected a {needed} for "
            f"{format}; correct the path or format"
        )
    return format


def _format_of_file(path: Path) -> str:
    suffixes = [s for s in path.suffixes if s not in _PACKINGS]
    if suffixes and suffixes[-1] in _XYZ_ENDINGS:
        return "extxyz"
    if suffixes and suffixes[-1] == ".lmdb":
        return LMDB
    raise SpinffError(
        f"{path}: the format does not show from the name, got '{path.name}', expected "
        f"{', '.join(_XYZ_ENDINGS)}, .lmdb or a folder; say format: extxyz"
    )
