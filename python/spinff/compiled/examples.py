"""Graphs to trace a model with."""

from __future__ import annotations

from typing import NamedTuple

import torch

from spinff.header import ModelHeader


class Graph(NamedTuple):
    """The arguments of a deployed model."""

    edge_vectors: torch.Tensor
    edge_index: torch.Tensor
    types: torch.Tensor
    magnetic_edges: torch.Tensor
    spins: torch.Tensor
    num_owned: int


def example_graph(header: ModelHeader, seed: int) -> Graph:
    """Random atoms close together, some of them ghosts: they have no edges out."""
    generator = torch.Generator().manual_seed(seed)
    count, num_owned = 90 + 17 * (seed % 7), 60 + 15 * (seed % 7)
    types = torch.arange(count) % len(header.type_names)
    side = 0.35 * header.r_max * count ** (1 / 3)
    positions = side * torch.rand(count, 3, generator=generator, dtype=torch.float64)
    vectors = positions.unsqueeze(0) - positions.unsqueeze(1)  # [i, j] = r_j − r_i
    cutoffs = torch.tensor(header.cutoffs, dtype=torch.float64)[types][:, types]
    distance = vectors.norm(dim=-1)
    near = (distance < cutoffs) & (distance > 0)
    near[num_owned:] = False
    centre, neighbour = torch.nonzero(near, as_tuple=True)
    magnetic = torch.tensor([n in header.magnetic_types for n in header.type_names])
    both = magnetic[types[centre]] & magnetic[types[neighbour]]
    spins = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    spins = spins / spins.norm(dim=-1, keepdim=True)
    return Graph(
        vectors[centre, neighbour],
        torch.stack([centre, neighbour]),
        types,
        torch.nonzero(both).view(-1),
        spins * magnetic[types].unsqueeze(-1),
        num_owned,
    )
