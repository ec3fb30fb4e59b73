"""Neighbour lists of frames, as a deployed model takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.data.ase import from_ase
from nequip.data.transforms import (
    ChemicalSpeciesToAtomTypeMapper,
    NeighborListTransform,
)
from nequip.nn import with_edge_vectors_
from nequip.utils.dtype import torch_default_dtype

from spinff.errors import SpinffError
from spinff.header import ModelHeader


@dataclass(frozen=True)
class Graph:
    """Atoms and directed edges of one frame."""

    types: torch.Tensor
    """(N,) index into the header's type names."""
    edge_index: torch.Tensor
    """(2, E) centre and neighbour."""
    edge_vectors: torch.Tensor
    """(E, 3) r_j − r_i in Å."""
    magnetic_edges: torch.Tensor
    """(M,) indices of the edges between magnetic types."""
    is_magnetic: torch.Tensor
    """(N,) whether the type carries a moment."""


class GraphBuilder:
    """Makes graphs with the cutoffs of one model."""

    def __init__(self, header: ModelHeader) -> None:
        """Take names and cutoffs from the header."""
        self.header = header
        names = list(header.type_names)
        self._mapper = ChemicalSpeciesToAtomTypeMapper(names)
        self._neighbours = NeighborListTransform(
            r_max=header.r_max,
            per_edge_type_cutoff={
                centre: dict(zip(names, row, strict=True))
                for centre, row in zip(names, header.cutoffs, strict=True)
            },
            type_names=names,
        )
        self._type_is_magnetic = torch.tensor(
            [name in header.magnetic_types for name in names]
        )

    def __call__(self, atoms: Atoms) -> Graph:
        """Build the graph of a frame.

        Raises:
            SpinffError: for a species that the model does not know.
        """
        unknown = sorted(set(atoms.get_chemical_symbols()) - {*self.header.type_names})
        if unknown:
            raise SpinffError(
                f"model: species not in the model, got {', '.join(unknown)}, expected "
                f"some of {', '.join(self.header.type_names)}; use another model or "
                "train one with these species"
            )
        bare = Atoms(
            numbers=atoms.numbers,
            positions=atoms.positions,
            cell=atoms.cell,
            pbc=atoms.pbc,
        )
        with torch_default_dtype(torch.float64):
            data = self._neighbours(self._mapper(from_ase(bare)))
        data = with_edge_vectors_(data, with_lengths=False)
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        is_magnetic = self._type_is_magnetic[types]
        both = is_magnetic[edge_index[0]] & is_magnetic[edge_index[1]]
        return Graph(
            types=types,
            edge_index=edge_index,
            edge_vectors=data[AtomicDataDict.EDGE_VECTORS_KEY],
            magnetic_edges=torch.nonzero(both).view(-1),
            is_magnetic=is_magnetic,
        )


def directions_and_lengths(
    moments: np.ndarray, is_magnetic: np.ndarray, who: str, *, zero_allowed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Directions and lengths of the moments of the magnetic atoms.

    Args:
        moments: (N, 3) in µB.
        is_magnetic: (N,) whether the model gives the atom a moment.
        who: beginning of an error message.
        zero_allowed: whether a magnetic atom may have no moment; its direction is zero.

    Returns:
        e (N, 3) and |m| (N,) in µB, both zero on the other atoms.

    Raises:
        SpinffError: wrong shape, NaN, or a zero moment that is not allowed.
    """
    moments = np.asarray(moments, dtype=float)
    if moments.shape != (len(is_magnetic), 3):
        raise SpinffError(
            f"{who}: moments have the wrong shape, got {moments.shape}, expected "
            f"({len(is_magnetic)}, 3) in µB; give each atom a vector, for a collinear "
            "moment m along z (0, 0, m)"
        )
    length = np.linalg.norm(moments, axis=1)
    usable = np.isfinite(length) & ((length > 0) | zero_allowed)
    bad = np.flatnonzero(is_magnetic & ~usable)
    if bad.size:
        atom = int(bad[0])
        size = "finite vector" if zero_allowed else "finite vector with a length > 0"
        raise SpinffError(
            f"{who}: a magnetic atom has no usable moment, got {moments[atom]} µB on "
            f"atom {atom}, expected a {size}; set its moment"
        )
    length = np.where(is_magnetic, length, 0.0)
    safe = np.where(length > 0, length, 1.0)[:, None]
    return np.where((length > 0)[:, None], moments / safe, 0.0), length
