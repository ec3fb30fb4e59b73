"""Reference spin–lattice Hamiltonians with exact labels, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spinff.data.references.base import (
    Batch,
    PairExchange,
    ReferenceHamiltonian,
    ReferenceLabels,
    Sampling,
)
from spinff.data.references.rocksalt import Rocksalt
from spinff.errors import SpinffError

__all__ = [
    "REFERENCES",
    "Batch",
    "PairExchange",
    "ReferenceHamiltonian",
    "ReferenceLabels",
    "Sampling",
    "reference",
]

REFERENCES: Final[dict[str, Callable[[], ReferenceHamiltonian]]] = {
    "rocksalt": Rocksalt,
}
"""The built-in reference Hamiltonians by name."""


def reference(name: str) -> ReferenceHamiltonian:
    """A built-in reference Hamiltonian.

    Raises:
        SpinffError: if there is none of that name.
    """
    if name not in REFERENCES:
        raise SpinffError(
            f"reference Hamiltonian: unknown name, got '{name}', expected "
            f"{' or '.join(REFERENCES)}; correct the name"
        )
    return REFERENCES[name]()
