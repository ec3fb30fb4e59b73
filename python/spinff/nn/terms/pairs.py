"""The spins at both ends of the magnetic edges."""

from __future__ import annotations

import torch
from nequip.data import AtomicDataDict

from spinff import fields


def pair_spins(
    data: AtomicDataDict.Type,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre i (M,), s_i (M, 3) and s_j (M, 3) of each magnetic edge i→j."""
    spins = data[fields.SPINS_KEY]
    edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
    edges = data[fields.MAGNETIC_EDGES_KEY]
    centre = torch.index_select(edge_index[0], 0, edges)
    neighbour = torch.index_select(edge_index[1], 0, edges)
    return (
        centre,
        torch.index_select(spins, 0, centre),
        torch.index_select(spins, 0, neighbour),
    )
