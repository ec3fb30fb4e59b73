"""Graphs to trace a model with, and what every graph of a compiled one must have."""

from __future__ import annotations

from typing import NamedTuple

import torch

from spinff.header import ModelHeader

FEW_ROWS = 4
"""Atoms that ``padded`` adds."""


class Graph(NamedTuple):
    """The arguments of a deployed model."""

    edge_vectors: torch.Tensor
    edge_index: torch.Tensor
    types: torch.Tensor
    magnetic_edges: torch.Tensor
    spins: torch.Tensor
    num_owned: int


def example_graph(header: ModelHeader, seed: int) -> Graph:
    """Random atoms close together, some of them ghosts: they have no edges out.

    No two kinds of rows have the same number in the examples of two seeds.
    """
    generator = torch.Generator().manual_seed(seed)
    count, num_owned = 44 + 13 * seed, 30 + 5 * seed
    types = torch.arange(count) % len(header.type_names)
    side = 1.2 * header.r_max
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


def padded(graph: Graph, header: ModelHeader) -> Graph:
    """A graph with a tetrahedron of magnetic atoms behind the owned ones.

    No size is then 0 or 1, which compiled graphs take for constants: there are edges,
    magnetic ones, and atoms around them. It touches nobody, and nobody asks for it.
    """
    number = header.type_names.index(header.magnetic_types[0])
    side = 0.5 * header.cutoffs[number][number]
    corners = torch.tensor(
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64
    )
    corners = corners * side * 0.5**0.5
    centre, neighbour = torch.nonzero(1 - torch.eye(FEW_ROWS), as_tuple=True)
    owned = graph.num_owned
    shifted = graph.edge_index + FEW_ROWS * (graph.edge_index >= owned)
    num_edges = graph.edge_vectors.size(0)
    spin = graph.spins.new_tensor([[0.0, 0.0, 1.0]]).expand(FEW_ROWS, 3)
    return Graph(
        torch.cat([graph.edge_vectors, corners[neighbour] - corners[centre]]),
        torch.cat([shifted, owned + torch.stack([centre, neighbour])], dim=1),
        torch.cat(
            [
                graph.types[:owned],
                graph.types.new_full((FEW_ROWS,), number),
                graph.types[owned:],
            ]
        ),
        torch.cat([graph.magnetic_edges, num_edges + torch.arange(centre.size(0))]),
        torch.cat([graph.spins[:owned], spin, graph.spins[owned:]]),
        owned,
    )
