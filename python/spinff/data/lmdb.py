"""Frames in an LMDB file: read one at a time, for data sets larger than the memory.

The layout is that of nequip's ``NequIPLMDBDataset``: pickled tensors under the numbers
of the frames. Here they are the canonical frame, and labels it lacks are not there.
nequip's own reader cannot have the training and the validation part of one file open.
"""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, overload

import lmdb
import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.data.dataset.lmdb_dataset import (
    NUM_ATOMS_METADATA_KEY,
    NUM_FRAMES_METADATA_KEY,
)

from spinff.data.frames import check_species, label, make_frame
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY
from spinff.files import whole_file

# addresses, not room on the disk: the file is as large as its frames
_MAP_SIZE: Final = 1 << 40
# frames held in memory until they are written
_WRITTEN_TOGETHER: Final = 1000

_METADATA: Final = "__metadata__"
_FIELDS: Final = {
    "moments": MAGNETIC_MOMENTS_KEY,
    "magnetic_forces": MAGNETIC_FORCES_KEY,
    "energy": AtomicDataDict.TOTAL_ENERGY_KEY,
    "forces": AtomicDataDict.FORCE_KEY,
    "stress": AtomicDataDict.STRESS_KEY,
}
_STRUCTURE: Final = (
    AtomicDataDict.POSITIONS_KEY,
    AtomicDataDict.CELL_KEY,
    AtomicDataDict.PBC_KEY,
    AtomicDataDict.ATOMIC_NUMBERS_KEY,
)


class LmdbFrames(Sequence[Atoms]):
    """Canonical frames of an LMDB file, each read and checked when it is asked for.

    Args:
        path: a file of ``write_lmdb``, or one of nequip's with spinff's fields.
        type_names: species that may occur; None allows every one.

    Raises:
        SpinffError: if the file is no LMDB file or holds no frames; on access, if a
            frame cannot be used.
    """

    def __init__(self, path: Path, type_names: Sequence[str] | None = None) -> None:
        self.path = path
        self.type_names = type_names
        try:
            self._length = _environment(self.path).stat()["entries"]
            # one entry is about the others; nequip's oldest files have none
            self._length -= self._bytes(_METADATA) is not None
        except lmdb.Error as error:
            raise SpinffError(
                f"{path}: cannot be read as LMDB, got '{error}', expected a file of "
                "'spinff data convert'; write it again"
            ) from error
        if len(self) == 0:
            raise SpinffError(
                f"{path}: the file is empty, got 0 frames, expected at least one; "
                "check the path"
            )

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Atoms: ...
    @overload
    def __getitem__(self, index: slice) -> list[Atoms]: ...
    def __getitem__(self, index: int | slice) -> Atoms | list[Atoms]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        who = f"{self.path}, frame {index}"
        frame = _from_entry(who, self._entry(who, index))
        check_species(who, frame, self.type_names)
        return frame

    def _bytes(self, key: str) -> bytes | None:
        with _environment(self.path).begin() as transaction:
            return transaction.get(key.encode())

    def _entry(self, who: str, index: int) -> AtomicDataDict.Type:
        try:
            entry = pickle.loads(self._bytes(str(index)) or b"")
        except Exception as error:  # unpickling raises whatever the bytes provoke
            raise SpinffError(
                f"{who}: cannot be read, got '{error}', expected a pickled frame of "
                "'spinff data convert'; write the file again"
            ) from error
        lacking = [n for n in (*_STRUCTURE, MAGNETIC_MOMENTS_KEY) if n not in entry]
        if lacking:
            raise SpinffError(
                f"{who}: lacks {', '.join(lacking)}, got {', '.join(sorted(entry))}, "
                "expected a frame with moments; write the file with 'spinff data "
                "convert'"
            )
        return entry


# LMDB allows a file to be open once in a process, and a split needs it twice
_OPEN: Final[dict[Path, tuple[tuple[int, int], lmdb.Environment]]] = {}


def _environment(path: Path) -> lmdb.Environment:
    """The open file, anew in a forked worker and where it was written again."""
    path = path.resolve()
    state = (os.getpid(), path.stat().st_ino)
    if path in _OPEN and _OPEN[path][0] != state:
        _OPEN.pop(path)[1].close()
    if path not in _OPEN:
        file = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
        _OPEN[path] = (state, file)
    return _OPEN[path][1]


def write_lmdb(path: Path, frames: Iterable[Atoms]) -> int:
    """Write canonical frames to an LMDB file and return their number.

    Raises:
        SpinffError: if the file cannot be written; an earlier one is left as it was.
    """
    sizes: list[int] = []
    with whole_file(path) as temporary:
        try:
            # whole_file puts it on the disk, and nobody else knows its name
            with lmdb.open(
                str(temporary), _MAP_SIZE, subdir=False, lock=False, sync=False
            ) as file:
                _write(file, frames, sizes)
        except lmdb.Error as error:
            # of a write that a full disk cuts short LMDB says "Input/output error"
            full = isinstance(error, lmdb.DiskError) or "commit" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error
    return len(sizes)


def _write(file: lmdb.Environment, frames: Iterable[Atoms], sizes: list[int]) -> None:
    transaction = file.begin(write=True)
    for index, frame in enumerate(frames):
        transaction.put(str(index).encode(), pickle.dumps(_to_entry(frame), -1))
        sizes.append(len(frame))
        if len(sizes) % _WRITTEN_TOGETHER == 0:
            transaction.commit()
            transaction = file.begin(write=True)
    metadata = {NUM_FRAMES_METADATA_KEY: len(sizes), NUM_ATOMS_METADATA_KEY: sizes}
    transaction.put(_METADATA.encode(), pickle.dumps(metadata, -1))
    transaction.commit()


def _to_entry(frame: Atoms) -> dict[str, torch.Tensor]:
    """Tensors in nequip's shapes: those of a whole frame have a first axis of one."""
    energy, stress = label(frame, "energy"), label(frame, "stress")
    values = {
        AtomicDataDict.POSITIONS_KEY: frame.positions,
        AtomicDataDict.CELL_KEY: frame.cell.array[None],
        AtomicDataDict.PBC_KEY: frame.pbc[None],
        AtomicDataDict.ATOMIC_NUMBERS_KEY: frame.numbers,
        MAGNETIC_MOMENTS_KEY: frame.arrays[MAGNETIC_MOMENTS_KEY],
        MAGNETIC_FORCES_KEY: frame.arrays.get(MAGNETIC_FORCES_KEY),
        _FIELDS["energy"]: None if energy is None else energy.reshape(1, 1),
        _FIELDS["forces"]: label(frame, "forces"),
        _FIELDS["stress"]: None if stress is None else stress[None],
    }
    return {k: torch.tensor(v) for k, v in values.items() if v is not None}


def _from_entry(who: str, entry: AtomicDataDict.Type) -> Atoms:
    positions, cell, pbc, numbers = (entry[name].numpy() for name in _STRUCTURE)
    atoms = Atoms(
        numbers=numbers.reshape(-1),
        positions=positions,
        cell=cell.reshape(3, 3),
        pbc=pbc.reshape(3),
    )
    values = {q: entry[n].numpy() for q, n in _FIELDS.items() if n in entry}
    # nequip's own files may have every label everywhere, as NaN where it is absent
    values = {q: v for q, v in values.items() if not np.isnan(v).all()}
    energy = values.pop("energy", None)
    if "stress" in values:
        values["stress"] = values["stress"].reshape(3, 3)
    return make_frame(
        who, atoms, energy=None if energy is None else energy.item(), **values
    )
