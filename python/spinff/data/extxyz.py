"""Reader of extended XYZ through ASE, under the names other programs write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from spinff.data.frames import make_frame, vasp_stress, virial_to_stress
from spinff.data.keys import EXTXYZ_ALIASES, check_chosen_found, resolve
from spinff.errors import SpinffError
from spinff.files import whole_file

_STRUCTURE = {"numbers", "positions"}


def read_extxyz(path: Path, keys: Mapping[str, str]) -> list[Atoms]:
    """Read every frame of an extended XYZ file (``.gz`` and other packings too).

    Args:
        path: the file.
        keys: name of the column or entry per quantity, where it is not an alias.

    Returns:
        Canonical frames (see ``spinff.data.frames``).

    Raises:
        SpinffError: with a sentence for every way the file can be wrong.
    """
    try:
        images = list(ase.io.iread(str(path), index=":", format="extxyz"))
    except Exception as error:  # ASE's reader raises whatever the text provokes
        raise SpinffError(
            f"{path}: cannot be read as extended XYZ, got '{error}', expected frames "
            "with a Lattice and a Properties entry; repair the file"
        ) from error
    if not images:
        raise SpinffError(
            f"{path}: the file is empty, got 0 frames, expected at least one; check "
            "the path"
        )
    seen: set[str] = set()
    frames = []
    for index, image in enumerate(images):
        columns = _columns(image)
        seen |= columns.keys()
        frames.append(_frame(f"{path}, frame {index}", image, columns, keys))
    check_chosen_found(str(path), keys, seen)
    return frames


def write_extxyz(path: Path, frames: Sequence[Atoms]) -> None:
    """Write canonical frames as extended XYZ, under names ``read_extxyz`` knows.

    ASE keeps 8 decimals of per-atom numbers.

    Raises:
        SpinffError: if the file cannot be written.
    """
    with whole_file(path) as temporary:
        ase.io.write(str(temporary), list(frames), format="extxyz")


def _columns(image: Atoms) -> dict[str, object]:
    """Everything beside the structure: per-atom columns, entries, ASE's results."""
    columns: dict[str, object] = dict(image.info)
    columns |= {k: v for k, v in image.arrays.items() if k not in _STRUCTURE}
    if image.calc is not None:
        columns |= image.calc.results
    return columns


def _frame(
    who: str, image: Atoms, columns: dict[str, object], keys: Mapping[str, str]
) -> Atoms:
    names = resolve(who, columns, EXTXYZ_ALIASES, keys)
    if "moments" not in names:
        wanted = keys.get("moments") or ", ".join(EXTXYZ_ALIASES["moments"])
        raise SpinffError(
            f"{who}: the data set has no spins, got the columns "
            f"{', '.join(sorted(columns)) or 'pos'}, expected moments in µB under one "
            f"of {wanted}; add the column, or name it with keys: {{moments: NAME}}"
        )
    values = {q: np.asarray(columns[name]) for q, name in names.items()}
    energy = values.pop("energy", None)
    if "virial" in values:
        values["stress"] = virial_to_stress(who, image, values.pop("virial"))
    if "stress_kB" in values:
        values["stress"] = vasp_stress(who, values.pop("stress_kB"))
    return make_frame(
        who, image, energy=None if energy is None else _number(who, energy), **values
    )


def _number(who: str, value: NDArray[np.generic]) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SpinffError(
            f"{who}: energy is not a number, got {value!r}, expected one number in eV; "
            "correct the entry"
        ) from error
