"""The canonical frame: an ``ase.Atoms`` with names, shapes and units that are checked.

* ``atoms.arrays["magnetic_moments"]`` (N, 3) µB, always there;
* ``atoms.arrays["magnetic_forces"]`` (N, 3) eV/µB, f_m = −∂E/∂m, only if labelled; a
  row of three NaN is an atom without a label;
* ``atoms.calc``: a single-point calculator with the ``energy`` (eV), ``forces`` (eV/Å)
  and ``stress`` (eV/Å³, ASE's sign) that are labelled.

A label that is absent is absent or NaN, never zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY
from spinff.units import KILOBAR

Array = NDArray[np.float64]

MOMENT_FLOOR: Final[float] = 1e-6
"""Length in µB below which an atom has no moment, hence no direction and no label."""

_UNITS: Final[dict[str, str]] = {
    "positions": "Å",
    "cell": "Å",
    "moments": "µB",
    "magnetic_forces": "eV/µB",
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³",
}


def make_frame(
    who: str,
    atoms: Atoms,
    moments: NDArray[np.generic],
    magnetic_forces: NDArray[np.generic] | None = None,
    energy: float | None = None,
    forces: NDArray[np.generic] | None = None,
    stress: NDArray[np.generic] | None = None,
) -> Atoms:
    """Check the numbers of one frame and put them under their canonical names.

    Args:
        who: file and frame, for messages.
        atoms: species, positions, cell and periodicity; nothing else is taken over.
        moments: (N, 3) µB.
        magnetic_forces: (N, 3) eV/µB, or None for no label.
        energy: eV, or None.
        forces: (N, 3) eV/Å, or None.
        stress: (3, 3) or six Voigt components in eV/Å³, ASE's sign, or None.

    Raises:
        SpinffError: for a wrong shape, a number that is not finite, or a periodic
            cell without volume.
    """
    frame = Atoms(
        numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc
    )
    _require_finite(who, frame, "positions", frame.positions)
    _require_finite(who, frame, "cell", np.asarray(frame.cell))
    if frame.pbc.any() and frame.cell.rank < 3:
        raise SpinffError(
            f"{who}: the periodic cell has no volume, got {frame.cell.tolist()}, "
            "expected three independent vectors; correct the cell or the periodicity"
        )
    frame.arrays[MAGNETIC_MOMENTS_KEY] = _per_atom(who, frame, "moments", moments)
    if magnetic_forces is not None:
        frame.arrays[MAGNETIC_FORCES_KEY] = _per_atom(
            who, frame, "magnetic_forces", magnetic_forces
        )
    results: dict[str, float | Array] = {}
    if energy is not None:
        _require_finite(who, frame, "energy", np.asarray(energy, dtype=np.float64))
        results["energy"] = float(energy)
    if forces is not None:
        results["forces"] = _per_atom(who, frame, "forces", forces)
    if stress is not None:
        results["stress"] = _voigt(who, frame, stress)
    frame.calc = SinglePointCalculator(frame, **results)
    return frame


def _per_atom(
    who: str, frame: Atoms, quantity: str, values: NDArray[np.generic]
) -> Array:
    n_atoms = len(frame)
    if values.shape in ((n_atoms,), (n_atoms, 1)) and quantity == "moments":
        raise collinear_error(who, values.shape, (n_atoms, 3))
    if values.shape != (n_atoms, 3):
        raise SpinffError(
            f"{who}: {quantity} have the wrong shape, got {values.shape}, expected "
            f"({n_atoms}, 3); give one vector in {_UNITS[quantity]} per atom"
        )
    array = _numbers(who, quantity, values)
    if quantity == "magnetic_forces":
        unlabelled = np.isnan(array).all(axis=1, keepdims=True)
        _require_finite(who, frame, quantity, np.where(unlabelled, 0.0, array))
    else:
        _require_finite(who, frame, quantity, array)
    return array


def collinear_error(
    who: str, got: tuple[int, ...], expected: tuple[int, ...]
) -> SpinffError:
    """The refusal of moments that are one signed number per atom."""
    return SpinffError(
        f"{who}: the moments are collinear, one number per atom, got shape {got}, "
        f"expected {expected}; write each moment m as the vector (0, 0, m), or along "
        "the axis of the calculation"
    )


def _numbers(who: str, quantity: str, values: NDArray[np.generic]) -> Array:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpinffError(
            f"{who}: {quantity} are not numbers, got type {values.dtype}, expected "
            f"numbers in {_UNITS[quantity]}; correct the column"
        ) from error


def _require_finite(who: str, frame: Atoms, quantity: str, values: Array) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad) == 0:
        return
    index = tuple(bad[0])
    place = ""
    if values.ndim == 2 and quantity not in ("cell", "stress"):
        place = f", atom {index[0]} ({frame.symbols[int(index[0])]})"
    raise SpinffError(
        f"{who}{place}: {quantity} is not a finite number, got {values[index]}, "
        f"expected a number in {_UNITS[quantity]}; repair or remove the frame"
    )


def _voigt(who: str, frame: Atoms, stress: NDArray[np.generic]) -> Array:
    array = _numbers(who, "stress", np.asarray(stress))
    if array.shape in ((9,), (3, 3)):
        array = full_3x3_to_voigt_6_stress(array.reshape(3, 3))  # symmetrises too
    if array.shape != (6,):
        raise SpinffError(
            f"{who}: stress has the wrong shape, got {array.shape}, expected (3, 3) or "
            "six Voigt components; correct the entry"
        )
    _require_finite(who, frame, "stress", array)
    return array


def virial_to_stress(who: str, atoms: Atoms, virial: NDArray[np.generic]) -> Array:
    """Stress in eV/Å³ with ASE's sign, σ = −W/V, from a virial W in eV.

    Raises:
        SpinffError: if the virial has not nine entries, or the cell has no volume.
    """
    array = _numbers(who, "stress", np.asarray(virial))
    if array.size != 9:
        raise SpinffError(
            f"{who}: virial has the wrong shape, got {array.shape}, expected nine "
            "numbers in eV; correct the entry"
        )
    if atoms.cell.rank < 3:
        raise SpinffError(
            f"{who}: a virial stands beside a cell without volume, got "
            f"{atoms.cell.tolist()}, expected three independent vectors; remove the "
            "virial or give the cell"
        )
    return -array.reshape(3, 3) / atoms.get_volume()


def vasp_stress(who: str, kilobar: NDArray[np.generic]) -> Array:
    """Stress in eV/Å³ with ASE's sign from VASP's in kB, positive under compression.

    Raises:
        SpinffError: if there are not nine entries.
    """
    array = _numbers(who, "stress", np.asarray(kilobar))
    if array.size != 9:
        raise SpinffError(
            f"{who}: stress_kB has the wrong shape, got {array.shape}, expected nine "
            "numbers in kB; correct the entry"
        )
    return -KILOBAR * array.reshape(3, 3)


def check_species(who: str, atoms: Atoms, type_names: Sequence[str] | None) -> None:
    """Refuse an atom of a species that the model will not know.

    Raises:
        SpinffError: naming the first such atom and the known species.
    """
    if type_names is None:
        return
    for index, symbol in enumerate(atoms.symbols):
        if symbol not in type_names:
            raise SpinffError(
                f"{who}, atom {index}: the species is not in type_names, got "
                f"'{symbol}', expected one of {', '.join(type_names)}; add it to "
                "type_names or remove the frame"
            )


def label(frame: Atoms, name: str) -> Array | None:
    """A label or None: energy of shape (), forces (N, 3) or stress (3, 3)."""
    if frame.calc is None or name not in frame.calc.results:
        return None
    value = frame.calc.results[name]
    return np.asarray(voigt_6_to_full_3x3_stress(value) if name == "stress" else value)


def has_moment(moments: Array) -> NDArray[np.bool_]:
    """Which atoms have a moment: (N,) mask of |m| above ``MOMENT_FLOOR``."""
    return np.asarray(np.linalg.norm(moments, axis=1) > MOMENT_FLOOR)


def split_magnetic_forces(moments: Array, forces: Array) -> tuple[Array, Array]:
    """Longitudinal number and transverse vector of the magnetic force on each atom.

    Args:
        moments: (N, 3) µB.
        forces: (N, 3) eV/µB.

    Returns:
        f·e of shape (N,) and f − (f·e) e of shape (N, 3), e = m/|m|; NaN on atoms
        without a moment or without a label.
    """
    magnetic = has_moment(moments)[:, None]
    length = np.linalg.norm(moments, axis=1, keepdims=True)
    e = np.where(magnetic, moments, np.nan) / np.where(magnetic, length, 1.0)
    longitudinal = np.einsum("ia,ia->i", forces, e)
    return longitudinal, forces - longitudinal[:, None] * e


def frame_sha256(frame: Atoms) -> str:
    """SHA-256 of what a frame says, independent of the file format it came from."""
    digest = hashlib.sha256()
    values = {
        "numbers": frame.numbers,
        "positions": frame.positions,
        "cell": np.asarray(frame.cell),
        "pbc": frame.pbc,
        "moments": frame.arrays[MAGNETIC_MOMENTS_KEY],
        "magnetic_forces": frame.arrays.get(MAGNETIC_FORCES_KEY),
        **{name: label(frame, name) for name in ("energy", "forces", "stress")},
    }
    for name, value in values.items():
        digest.update(name.encode())
        if value is not None:
            digest.update(np.asarray(value, dtype="<f8").tobytes())
    return digest.hexdigest()


def combine_sha256(frame_hashes: Iterable[str]) -> str:
    """One hash of a set of frames, whatever their order."""
    return hashlib.sha256("\n".join(sorted(frame_hashes)).encode()).hexdigest()
