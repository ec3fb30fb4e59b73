"""From a table of couplings and a structure: species and bonds of its atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from spinff import _core
from spinff.errors import SpinffError

Array: TypeAlias = NDArray[np.float64]
Names: TypeAlias = Mapping[str, str | None] | Sequence[str | None]
"""Name in the table of each chemical symbol, or of each atom; None: no species."""


def read_table(file: Path) -> str:
    """The text of a table's file."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SpinffError(
            f"SpinSystem: the table cannot be read, got {error.strerror} for {file}, "
            "expected a JSON file; correct the path"
        ) from error


def species_of(
    table: _core.CouplingTable, atoms: Atoms, names: Names | None, who: str
) -> tuple[NDArray[np.int32], Array]:
    """Species index (N,), −1 for none, and length of the moment (N,) of each atom."""
    symbols = atoms.get_chemical_symbols()
    if names is None:
        names = symbols
    elif isinstance(names, Mapping):
        unknown = sorted(set(symbols) - set(names))
        if unknown:
            raise SpinffError(
                f"{who}: 'names' lacks a chemical symbol, got no name for "
                f"{', '.join(unknown)}, expected one for each; add it, None for atoms "
                "without a species"
            )
        names = [names[symbol] for symbol in symbols]
    if len(names) != len(atoms):
        raise SpinffError(
            f"{who}: 'names' has the wrong length, got {len(names)}, expected "
            f"{len(atoms)}; give one name for each atom"
        )
    moments: dict[str, float] = table.moments
    for name in names:
        if name is not None and name not in moments:
            raise SpinffError(
                f"{who}: unknown species, got '{name}', expected one of: "
                f"{', '.join(sorted(moments))}; give 'names', None for atoms that the "
                "table does not see"
            )
    index = [-1 if name is None else table.find_species(name) for name in names]
    lengths = [0.0 if name is None else moments[name] for name in names]
    return np.array(index, dtype=np.int32), np.array(lengths)


def bonds_of(
    table: _core.CouplingTable, atoms: Atoms, species: NDArray[np.int32], who: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pairs (P, 2) of atoms on a bond, in both directions, and the coupling of each.

    A pair is on a bond if it is off by at most the tolerance, not if it is off by more
    than twice as much; in between it is an error, as in pair_style spin/couplings.
    """
    present = np.unique(species[species >= 0]).tolist()
    cutoffs = [table.cutoff(a, b) for a in present for b in present]
    cutoff = max(cutoffs, default=0.0)
    if cutoff == 0:
        return np.zeros((0, 2), dtype=np.int32), np.zeros(0, dtype=np.int32)
    i, j, vectors = neighbor_list("ijD", atoms, cutoff)
    both = (species[i] >= 0) & (species[j] >= 0)
    pairs, vectors = np.stack([i, j], axis=1)[both].astype(np.int32), vectors[both]
    couplings, mismatch = table.nearest(species, pairs, vectors)
    near = (couplings >= 0) & (mismatch <= 2 * table.tolerance)
    off = np.flatnonzero(near & (mismatch > table.tolerance))
    if off.size:
        pair = off[0]
        raise SpinffError(
            f"{who}: a pair of atoms is just off a bond, got atoms "
            f"{pairs[pair, 0]} and {pairs[pair, 1]} at "
            f"{np.linalg.norm(vectors[pair]):.4f} Å, {mismatch[pair]:.3g} Å off "
            f"{table.describe(int(couplings[pair]))}, expected at most the tolerance "
            f"of {table.tolerance:.3g} Å; correct the structure or the table, or raise "
            "the tolerance"
        )
    if not near.any():
        raise SpinffError(
            f"{who}: no pair of atoms is on a bond of the table, got none of "
            f"{len(pairs)} pairs within {cutoff:.4g} Å, expected some; check lattice "
            "constant, orientation and names"
        )
    return pairs[near], couplings[near]
