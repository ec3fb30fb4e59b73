"""Reader of deepmd's npy and raw layouts with spins.

A system is a folder with ``type.raw`` (type index of each atom), ``type_map.raw``
(element symbol of each index) and either ``set.*/`` folders of ``.npy`` files or
``.raw`` text files beside ``type.raw``, one row per frame: ``box`` (9), ``coord`` (3N),
``spin`` (3N, µB), and, where labelled, ``energy``, ``force`` (3N), ``force_mag`` (3N)
and ``virial`` (9, eV, row by row). An empty file ``nopbc`` says that there is no
periodicity. deepmd's documentation gives ``force_mag`` in eV/Å; the numbers are
−∂E/∂spin in eV/µB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from spinff.data.frames import collinear_error, make_frame, virial_to_stress
from spinff.data.keys import DEEPMD_ALIASES, check_chosen_found, resolve
from spinff.errors import SpinffError

Array = NDArray[np.float64]

_VIRTUAL_ATOM_DISTANCE: Final[float] = 0.6
"""Å; nearer than any two atoms, and further than a moment's virtual atom stands off."""


def read_deepmd(path: Path, keys: Mapping[str, str]) -> list[Atoms]:
    """Read every frame of one system.

    Args:
        path: the folder that holds ``type.raw``.
        keys: file name (without ending) per quantity, where it is not deepmd's own.

    Returns:
        Canonical frames (see ``spinff.data.frames``).

    Raises:
        SpinffError: with a sentence for every way the folder can be wrong.
    """
    types = _read_types(path)
    parts = _parts(path)
    names = {name for part in parts for name in part.names}
    if not names & set(_moment_names(keys)):
        _refuse_virtual_atoms(path, parts[0], len(types))
        raise SpinffError(
            f"{path}: the data set has no spins, got {', '.join(sorted(names))}, "
            f"expected {' or '.join(_moment_names(keys))} (moments in µB, 3 numbers "
            "per atom); add the file, or name it with keys: {moments: NAME}"
        )
    numbers = _atomic_numbers(path, types)
    check_chosen_found(str(path), keys, names)
    periodic = not (path / "nopbc").exists()
    return [frame for part in parts for frame in _frames(part, numbers, periodic, keys)]


def is_deepmd(path: Path) -> bool:
    """Whether a folder is a deepmd system."""
    return (path / "type.raw").is_file()


class _Part:
    """The files of one ``set.*`` folder, or the ``.raw`` files of a system."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder = folder
        self.ending = ending
        self.names = {
            file.name.removesuffix(ending)
            for file in folder.glob(f"*{ending}")
            if file.name not in ("type.raw", "type_map.raw")
        }

    def file(self, name: str) -> Path:
        return self.folder / f"{name}{self.ending}"

    def load(self, name: str) -> Array:
        """The numbers of one file, one row per frame."""
        file = self.file(name)
        try:
            if self.ending == ".npy":
                values = np.load(file, allow_pickle=False)
            else:
                values = np.loadtxt(file, ndmin=2)
            array = np.asarray(values, dtype=np.float64)
        except (OSError, ValueError, EOFError) as error:
            raise SpinffError(
                f"{file}: cannot be read, got '{error}', expected an array of numbers "
                "with one row per frame; write the file again"
            ) from error
        return array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)


def _moment_names(keys: Mapping[str, str]) -> tuple[str, ...]:
    return (keys["moments"],) if "moments" in keys else DEEPMD_ALIASES["moments"]


def _read_types(path: Path) -> NDArray[np.int64]:
    if not is_deepmd(path):
        inside = sorted(p.name for p in path.iterdir() if p.is_dir() and is_deepmd(p))
        hint = f"; give the systems in it: {', '.join(inside)}" if inside else ""
        raise SpinffError(
            f"{path}: not a deepmd system, got a folder without type.raw, expected "
            f"type.raw, type_map.raw and set.* folders{hint or '; check the path'}"
        )
    try:
        return np.loadtxt(path / "type.raw", dtype=np.int64, ndmin=1).reshape(-1)
    except ValueError as error:
        raise SpinffError(
            f"{path / 'type.raw'}: cannot be read, got '{error}', expected one whole "
            "number per atom; write the file again"
        ) from error


def _parts(path: Path) -> list[_Part]:
    sets = sorted(p for p in path.glob("set.*") if p.is_dir())
    parts = [_Part(folder, ".npy") for folder in sets] or [_Part(path, ".raw")]
    for part in parts:
        if "real_atom_types" in part.names:
            raise SpinffError(
                f"{part.folder}: deepmd's mixed-type layout is not read, got "
                f"real_atom_types{part.ending}, expected one composition per folder; "
                "split it with dpdata (deepmd/npy)"
            )
        if "coord" not in part.names:
            listed = ", ".join(sorted(part.names)) or "no data files"
            raise SpinffError(
                f"{part.folder}: no positions, got {listed}, expected "
                f"coord{part.ending}; check that the folder is complete"
            )
    return parts


def _refuse_virtual_atoms(path: Path, part: _Part, n_atoms: int) -> None:
    """Refuse the layout of deepmd's TensorFlow spin models, by its virtual atoms."""
    coord = part.load("coord")
    if coord.shape[1:] != (3 * n_atoms,):
        return
    positions = coord[0].reshape(-1, 3)
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    close = np.argwhere(np.triu(distance < _VIRTUAL_ATOM_DISTANCE, k=1))
    if len(close) == 0:
        return
    real, virtual = close[0]
    raise SpinffError(
        f"{path}: this is the older deepmd layout with moments as virtual atoms, got "
        f"atoms {real} and {virtual} {distance[real, virtual]:.2f} Å apart and no "
        "spin file, expected spin and force_mag files; convert it first: "
        "deepmd-kit's 'examples/spin/data_reformat' holds the new layout"
    )


def _atomic_numbers(path: Path, types: NDArray[np.int64]) -> NDArray[np.int64]:
    file = path / "type_map.raw"
    if not file.is_file():
        raise SpinffError(
            f"{path}: the species are not named, got no type_map.raw, expected one "
            "element symbol per line in the order of the type indices; write the file"
        )
    symbols = file.read_text(encoding="utf-8").split()
    for symbol in symbols:
        if symbol not in atomic_numbers:
            raise SpinffError(
                f"{file}: not an element symbol, got '{symbol}', expected symbols "
                "such as Ni; correct the file"
            )
    if types.min(initial=0) < 0 or types.max(initial=-1) >= len(symbols):
        raise SpinffError(
            f"{path / 'type.raw'}: a type index has no name, got "
            f"{types.min()} to {types.max()}, expected 0 to {len(symbols) - 1} "
            f"({', '.join(symbols)}); complete type_map.raw"
        )
    return np.array([atomic_numbers[s] for s in symbols], dtype=np.int64)[types]


def _frames(
    part: _Part, numbers: NDArray[np.int64], periodic: bool, keys: Mapping[str, str]
) -> list[Atoms]:
    names = resolve(str(part.folder), part.names, DEEPMD_ALIASES, keys)
    if "moments" not in names:
        raise SpinffError(
            f"{part.folder}: this set has no spins, got "
            f"{', '.join(sorted(part.names))}, expected "
            f"{' or '.join(_moment_names(keys))} as in the other sets; add the file"
        )
    n_atoms, n_frames = len(numbers), len(part.load("coord"))
    vectors, tensor = (3 * n_atoms, (n_atoms, 3)), (9, (3, 3))
    shapes = {
        "moments": vectors,
        "magnetic_forces": vectors,
        "forces": vectors,
        "stress": tensor,
        "virial": tensor,
        "energy": (1, ()),
    }
    load = {
        quantity: _rows(part, name, n_frames, n_atoms, *shapes[quantity])
        for quantity, name in names.items()
    }
    positions = _rows(part, "coord", n_frames, n_atoms, *vectors)
    cells = _cells(part, periodic, n_frames, n_atoms)
    frames = []
    for k in range(n_frames):
        who = f"{part.folder}, frame {k}"
        atoms = Atoms(
            numbers=numbers, positions=positions[k], cell=cells[k], pbc=periodic
        )
        row = {quantity: values[k] for quantity, values in load.items()}
        if "virial" in row:
            row["stress"] = virial_to_stress(who, atoms, row.pop("virial"))
        frames.append(make_frame(who, atoms, **row))
    return frames


def _cells(part: _Part, periodic: bool, n_frames: int, n_atoms: int) -> Array:
    if not periodic:
        return np.zeros((n_frames, 3, 3))
    if "box" not in part.names:
        raise SpinffError(
            f"{part.folder}: a periodic system without a cell, got no "
            f"box{part.ending}, expected nine numbers per frame; add it, or an empty "
            "file 'nopbc' beside type.raw for an isolated system"
        )
    return _rows(part, "box", n_frames, n_atoms, 9, (3, 3))


def _rows(
    part: _Part,
    name: str,
    n_frames: int,
    n_atoms: int,
    width: int,
    shape: tuple[int, ...],
) -> Array:
    """The numbers of one file as (frames, *shape)."""
    values = part.load(name)
    if width == 1 and values.shape == (1, n_frames):
        values = values.T  # energies of a raw file written on one line
    if values.shape == (n_frames, n_atoms) and name in DEEPMD_ALIASES["moments"]:
        raise collinear_error(
            str(part.file(name)), values.shape, (n_frames, 3 * n_atoms)
        )
    if values.shape != (n_frames, width):
        raise SpinffError(
            f"{part.file(name)}: wrong shape, got {values.shape}, expected "
            f"{(n_frames, width)} (frames, numbers per frame) for {n_atoms} atoms and "
            "the frames of coord; write the file again"
        )
    return values.reshape(n_frames, *shape)
