"""Reference spin–lattice Hamiltonians with exact labels, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spinff.data.references.b20 import B20
from spinff.data.references.base import (
    Batch,
    PairExchange,
    ReferenceHamiltonian,
    ReferenceLabels,
    Sampling,
)
from spinff.data.references.cri3 import cri3, cri3_pairs, crte2
from spinff.data.references.dm_square import DMSquare
from spinff.data.references.fe import Iron
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
    "b20": B20,
    "rocksalt": Rocksalt,
    "cri3": cri3,
    "cri3-pairs": cri3_pairs,
    "crte2": crte2,
    "fe": Iron,
    "dm-square": DMSquare,
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
