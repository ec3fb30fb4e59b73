"""Graphs as dense tables: how a compiled network takes them.

    edges           (C, W)     edges of each centre
    magnetic edges  (A, P)     those between magnetic atoms, of each magnetic centre
    triangles       (A, P, V)  legs i→k of each magnetic edge i→j with k in reach of j
    legs            (L,)       the edges that triangles refer to

The empty places are edges longer than any cutoff: a network without biases makes zeros
of them, whatever is done to them later. What belongs to one atom then lies together,
and sums over neighbours need no index. ``cpp/src/dense_graph.cpp`` does the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from nequip.data import AtomicDataDict

from spinff import fields
from spinff.compiled.examples import Graph
from spinff.header import ModelHeader
from spinff.nn import Topology, _keys

NUM_ADDED = 4
"""Atoms that are added to every graph, a tetrahedron of magnetic ones behind the owned.

No size is then 0 or 1, which a compiled network takes for a constant, and there are
empty places. It touches nobody, and nobody asks for it.
"""
_LEAST_WIDTH = NUM_ADDED
_FAR = 2.0
"""Length of an empty edge in largest cutoffs."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class DenseGraph:
    """The tables, and where the entries of the graph given went."""

    tensors: Tensors
    spins: torch.Tensor
    """(N + NUM_ADDED, 3)."""
    atoms: torch.Tensor
    """(N,) rows of the atoms given."""
    edges: torch.Tensor
    """(E,) places of the edges given."""
    num_owned: int


def dense_graph(
    graph: Graph, header: ModelHeader, bond_reach: torch.Tensor
) -> DenseGraph:
    """The tables of a graph.

    Args:
        graph: arguments of a model.
        header: of the model.
        bond_reach: (types, types) Å, of its module ``Topology``.
    """
    whole = _with_tetrahedron(graph, header, bond_reach)
    topology = Topology(
        type_names=list(header.type_names),
        magnetic_types=list(header.magnetic_types),
        bond_reach=bond_reach,
        tables={"edges", "triangles", "pairs"},
        irreps_in={},
    )
    tables = topology(
        {
            AtomicDataDict.EDGE_VECTORS_KEY: whole.edge_vectors,
            AtomicDataDict.EDGE_INDEX_KEY: whole.edge_index,
            AtomicDataDict.ATOM_TYPE_KEY: whole.types,
            fields.MAGNETIC_EDGES_KEY: whole.magnetic_edges,
        }
    )
    edges = _at_least(tables[_keys.EDGE_TABLE_KEY], _LEAST_WIDTH)
    num_centres, width = edges.shape
    place = torch.empty_like(tables[_keys.EDGE_SLOT_KEY])
    place[edges[edges >= 0]] = torch.nonzero(edges.flatten() >= 0).view(-1)
    # two empty places with different vectors: one for magnetic edges, one for legs
    no_bond = graph.num_owned * width + width - 1
    no_leg = no_bond + width

    vectors = torch.zeros(num_centres * width, 3, dtype=torch.float64)
    vectors[:, 0] = _FAR * header.r_max
    vectors[no_leg] = torch.tensor([0.0, 1.5 * _FAR * header.r_max, 0.0])
    vectors[place] = whole.edge_vectors
    centre = torch.arange(num_centres).repeat_interleave(width)
    neighbour = centre.clone()
    neighbour[place] = whole.edge_index[1]

    pairs = tables[_keys.PAIR_TABLE_KEY]  # (A, P) rows of the magnetic edges
    magnetic = torch.where(
        pairs >= 0, place[whole.magnetic_edges[pairs.clamp_min(0)]], no_bond
    )
    leg_edges = place[tables[_keys.LEG_EDGES_KEY]]
    leg_edges = torch.cat([leg_edges.new_tensor([no_leg]), leg_edges])  # 0: none
    triangles = tables[_keys.TRIANGLE_TABLE_KEY]  # (M, V) rows of the triangles
    legs = tables[_keys.TRIANGLE_LEG_KEY][triangles.clamp_min(0)] + 1
    legs = torch.where(triangles >= 0, legs, 0)
    legs = torch.where(pairs.unsqueeze(-1) >= 0, legs[pairs.clamp_min(0)], 0)
    kept = torch.arange(whole.types.size(0))
    owned = graph.num_owned
    return DenseGraph(
        tensors={
            AtomicDataDict.EDGE_VECTORS_KEY: vectors.view(num_centres, width, 3),
            AtomicDataDict.EDGE_INDEX_KEY: torch.stack([centre, neighbour]).view(
                2, num_centres, width
            ),
            AtomicDataDict.ATOM_TYPE_KEY: whole.types,
            fields.MAGNETIC_EDGES_KEY: magnetic,
            _keys.LEG_EDGES_KEY: leg_edges,
            _keys.TRIANGLE_LEG_KEY: legs,
            _keys.MAGNETIC_ATOMS_KEY: tables[_keys.MAGNETIC_ATOMS_KEY],
        },
        spins=whole.spins,
        atoms=torch.cat([kept[:owned], kept[owned + NUM_ADDED :]]),
        edges=place[: graph.edge_vectors.size(0)],
        num_owned=owned,
    )


def flat(tables: Tensors) -> Tensors:
    """The fields that the modules of a network read, from those tables there are."""
    data: Tensors = {}
    for key, axis in (
        (AtomicDataDict.EDGE_VECTORS_KEY, 0),
        (AtomicDataDict.EDGE_INDEX_KEY, 1),
        (fields.MAGNETIC_EDGES_KEY, 0),
    ):
        if key in tables:
            data[key] = tables[key].flatten(axis, axis + 1)
    if AtomicDataDict.ATOM_TYPE_KEY in tables:
        data[AtomicDataDict.ATOM_TYPE_KEY] = tables[AtomicDataDict.ATOM_TYPE_KEY]
    if AtomicDataDict.EDGE_INDEX_KEY in tables:
        centres = tables[AtomicDataDict.EDGE_INDEX_KEY][0]
        data[_keys.EDGE_SLOT_KEY] = centres.new_zeros(0)
        data[_keys.EDGE_TABLE_KEY] = centres
    if _keys.TRIANGLE_LEG_KEY in tables:
        data[_keys.LEG_EDGES_KEY] = tables[_keys.LEG_EDGES_KEY]
        legs = tables[_keys.TRIANGLE_LEG_KEY].flatten(0, 1)  # (M, V)
        data[_keys.TRIANGLE_LEG_KEY] = legs.flatten()
        data[_keys.TRIANGLE_BOND_KEY] = _row_of_places(legs)
        data[_keys.TRIANGLE_SLOT_KEY] = legs.new_zeros(0)
        data[_keys.TRIANGLE_TABLE_KEY] = legs
    if _keys.MAGNETIC_ATOMS_KEY in tables:
        atoms = tables[_keys.MAGNETIC_ATOMS_KEY]
        pairs = tables[fields.MAGNETIC_EDGES_KEY]
        width = tables[AtomicDataDict.EDGE_INDEX_KEY].size(2)
        first = width * atoms[: pairs.size(0)].unsqueeze(1)
        data[_keys.MAGNETIC_ATOMS_KEY] = atoms
        data[_keys.SITE_EDGES_KEY] = (first + torch.arange(width)).flatten()
        data[_keys.PAIR_CENTRE_KEY] = _row_of_places(pairs)
        data[_keys.PAIR_SLOT_KEY] = pairs.new_zeros(0)
        data[_keys.PAIR_TABLE_KEY] = pairs
    return data


def _row_of_places(table: torch.Tensor) -> torch.Tensor:
    """Row of each place of a table, row by row."""
    rows = torch.arange(table.size(0)).unsqueeze(1)
    return rows.expand(table.size(0), table.size(1)).reshape(-1)


def _at_least(table: torch.Tensor, width: int) -> torch.Tensor:
    """A table with empty columns added."""
    missing = max(0, width - table.size(1))
    return torch.cat([table, table.new_full((table.size(0), missing), -1)], dim=1)


def _with_tetrahedron(
    graph: Graph, header: ModelHeader, bond_reach: torch.Tensor
) -> Graph:
    number = header.type_names.index(header.magnetic_types[0])
    side = 0.5 * float(bond_reach[number, number]) * 0.5**0.5
    corners = side * torch.tensor(
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64
    )
    centre, neighbour = torch.nonzero(1 - torch.eye(NUM_ADDED), as_tuple=True)
    owned = graph.num_owned
    shifted = graph.edge_index + NUM_ADDED * (graph.edge_index >= owned)
    num_edges = graph.edge_vectors.size(0)
    spin = graph.spins.new_tensor([[0.0, 0.0, 1.0]]).expand(NUM_ADDED, 3)
    types = graph.types
    return Graph(
        torch.cat([graph.edge_vectors, corners[neighbour] - corners[centre]]),
        torch.cat([shifted, owned + torch.stack([centre, neighbour])], dim=1),
        torch.cat([types[:owned], types.new_full((NUM_ADDED,), number), types[owned:]]),
        torch.cat([graph.magnetic_edges, num_edges + torch.arange(centre.size(0))]),
        torch.cat([graph.spins[:owned], spin, graph.spins[owned:]]),
        owned,
    )
