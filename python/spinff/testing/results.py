"""What a calculator gives for a structure, and how two such results are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from spinff.errors import SpinffError

Array: TypeAlias = NDArray[np.float64]
Results: TypeAlias = dict[str, Array]
"""Quantity -> value: energy () eV, energies (N,) eV, forces (N, 3) eV/Å, stress (3, 3)
eV/Å³, magnetic_forces (N, 3) eV/µB; energies and stress only where there are any."""
Errors: TypeAlias = dict[str, float]
"""Quantity -> relative error."""

_NEEDED = ("energy", "forces", "magnetic_forces")
_OPTIONAL = ("energies", "stress")

FLOORS: Final[dict[str, float]] = {
    "energy": 1e-3,
    "energies": 1e-3,
    "forces": 1e-3,
    "stress": 1e-5,
    "magnetic_forces": 1e-3,
}
"""Size, in the quantity's own unit, below which an error is not divided by the size:
a quantity that vanishes by symmetry is rounding noise, without digits to compare."""


class SpinPotential(Protocol):
    """What is asked of a calculator: ASE's own interface."""

    def get_property(self, name: str, atoms: Atoms) -> Any:  # noqa: ANN401 - ASE's
        """The value of one property for some atoms."""


def evaluate(calculator: SpinPotential, atoms: Atoms) -> Results:
    """Everything a calculator gives for a structure.

    Raises:
        SpinffError: if energy, forces or magnetic forces are not among it.
    """
    results = {}
    for name in (*_NEEDED, *_OPTIONAL):
        try:
            value = calculator.get_property(name, atoms)
        except PropertyNotImplementedError as error:
            if name in _OPTIONAL:
                continue
            raise SpinffError(
                f"spinff.testing: the calculator gives no {name}, got "
                f"{type(calculator).__name__}, expected {', '.join(_NEEDED)}; add it "
                "to implemented_properties and results"
            ) from error
        results[name] = np.array(value, dtype=float)
    if results.get("stress", np.empty(0)).shape == (6,):
        results["stress"] = voigt_6_to_full_3x3_stress(results["stress"])
    return results


def moments_of(atoms: Atoms) -> Array:
    """(N, 3) µB.

    Raises:
        SpinffError: if the moments are collinear, one number for each atom.
    """
    moments = np.array(atoms.get_initial_magnetic_moments(), dtype=float)
    if moments.shape != (len(atoms), 3):
        raise SpinffError(
            f"spinff.testing: moments have the wrong shape, got {moments.shape}, "
            f"expected ({len(atoms)}, 3) in µB; set them with "
            "atoms.set_initial_magnetic_moments"
        )
    return moments


def with_moments(atoms: Atoms, moments: Array) -> Atoms:
    """A copy of the atoms with other moments (N, 3) µB."""
    changed = atoms.copy()
    changed.set_initial_magnetic_moments(None)  # ASE keeps the shape of what is there
    changed.set_initial_magnetic_moments(moments)
    return changed


def relative(name: str, difference: Array, size: Array) -> float:
    """Largest difference over the largest ``size``, or the floor; ∞ for NaN."""
    largest = float(np.abs(difference).max(initial=0.0))
    scale = float(np.abs(size).max(initial=FLOORS[name]))
    return largest / scale if np.isfinite(largest) else float("inf")


def errors_between(got: Mapping[str, Array], expected: Mapping[str, Array]) -> Errors:
    """Relative error of each quantity that is expected."""
    return {
        name: relative(name, got[name] - value, value)
        for name, value in expected.items()
    }
