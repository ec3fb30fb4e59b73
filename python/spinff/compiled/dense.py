"""Graphs as dense tables: how a compiled network takes them.

    wide edges      (W1, C1)   edges of each centre that has many
    narrow edges    (W2, C2)   edges of each centre that has few
    magnetic edges  (P, A)     those between magnetic atoms, of each magnetic centre
    triangles       (V, P, A)  legs i→k of each magnetic edge i→j with k in reach of j
    legs            (L,)       the edges that triangles refer to
    sites           (S,)       the edges of magnetic centres

The empty places are edges longer than any cutoff: a network without biases makes zeros
of them, whatever is done to them later. Sums over neighbours then need no index.
Centres come last, in whole vectors of a processor: (W1, C1) is (W1, C1 / 16, 16). Edges
have one numbering, wide ones first, and so have centres. ``cpp/src/dense_graph.cpp``
does the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from nequip.data import AtomicDataDict

from spinff import fields
from spinff.compiled.examples import Graph
from spinff.header import ModelHeader
from spinff.nn import Topology, _keys

WIDE_VECTORS, NARROW_VECTORS = "wide_edge_vectors", "narrow_edge_vectors"
"""(3, W1, C1 / 16, 16) and (3, W2, C2 / 16, 16) Å."""
WIDE_INDEX, NARROW_INDEX = "wide_edge_index", "narrow_edge_index"
"""(2, W1, C1 / 16, 16) and (2, W2, C2 / 16, 16)."""
TABLES = {
    AtomicDataDict.EDGE_VECTORS_KEY: (WIDE_VECTORS, NARROW_VECTORS),
    AtomicDataDict.EDGE_INDEX_KEY: (WIDE_INDEX, NARROW_INDEX),
}
"""What becomes of the fields of edges."""

SIZES: dict[str, tuple[str | None, ...]] = {
    WIDE_VECTORS: (None, "W1", "C1 / 16", None),
    NARROW_VECTORS: (None, "W2", "C2 / 16", None),
    AtomicDataDict.ATOM_TYPE_KEY: ("N",),
    fields.MAGNETIC_EDGES_KEY: ("P", "A"),
    _keys.LEG_EDGES_KEY: ("L",),
    _keys.TRIANGLE_LEG_KEY: ("V", "P", "A"),
    _keys.SITE_EDGES_KEY: ("S",),
    _keys.MAGNETIC_ATOMS_KEY: ("B",),
}
"""Names of the sizes that differ between graphs, by table."""

LANES = 16
"""Centres of a table come in this many: numbers in the widest vector of a processor."""
TETRAHEDRON = 4
"""Atoms of a tetrahedron of magnetic ones. One is added to each table of edges, behind
its owned atoms, and then as many lone atoms as are missing to whole vectors.

No size is then 0 or 1, which a compiled network takes for a constant, and there are
empty places. What is added touches nobody, and nobody asks for it.
"""
_LEAST_WIDTH = TETRAHEDRON
_FAR = 2.0
"""Length of an empty edge in largest cutoffs."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class DenseGraph:
    """The tables, and where the entries of the graph given went."""

    tensors: Tensors
    spins: torch.Tensor
    """(atoms of the tables, 3)."""
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
    whole, atoms, (num_wide, num_narrow) = _with_added(graph, header, bond_reach)
    topology = Topology(
        type_names=list(header.type_names),
        magnetic_types=list(header.magnetic_types),
        bond_reach=bond_reach,
        tables={"triangles", "triangle slots", "sites", "pairs"},
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
    num_centres = num_wide + num_narrow
    counts = torch.bincount(whole.edge_index[0], minlength=num_centres)
    sizes = [
        (len(part), max(_LEAST_WIDTH, int(part.max())))
        for part in (counts[:num_wide], counts[num_wide:])
    ]
    place = _places(whole.edge_index[0], counts, num_wide, sizes)
    # the last edges of the last two centres, corners of a tetrahedron or lone atoms,
    # are empty: one place for magnetic edges and one, of another direction, for legs
    num_places = sum(rows * width for rows, width in sizes)
    no_bond, no_leg = num_places - 2, num_places - 1

    vectors = torch.zeros(num_places, 3, dtype=torch.float64)
    vectors[:, 0] = _FAR * header.r_max
    vectors[no_leg] = torch.tensor([0.0, 1.5 * _FAR * header.r_max, 0.0])
    vectors[place] = whole.edge_vectors
    centre = torch.cat(
        [
            torch.arange(num_wide).repeat(sizes[0][1]),
            torch.arange(num_wide, num_centres).repeat(sizes[1][1]),
        ]
    )
    neighbour = centre.clone()
    neighbour[place] = whole.edge_index[1]
    index = torch.stack([centre, neighbour])
    first = sizes[0][0] * sizes[0][1]

    pairs = tables[_keys.PAIR_TABLE_KEY]  # (P, A) rows of the magnetic edges
    magnetic = torch.where(
        pairs >= 0, place[whole.magnetic_edges[pairs.clamp_min(0)]], no_bond
    )
    leg_edges = place[tables[_keys.LEG_EDGES_KEY]]
    leg_edges = torch.cat([leg_edges.new_tensor([no_leg]), leg_edges])  # 0: none
    triangles = tables[_keys.TRIANGLE_TABLE_KEY]  # (V, M) rows of the triangles
    legs = tables[_keys.TRIANGLE_LEG_KEY][triangles.clamp_min(0)] + 1
    legs = torch.where(triangles >= 0, legs, 0)
    legs = torch.where(pairs >= 0, legs[:, pairs.clamp_min(0)], 0)
    return DenseGraph(
        tensors={
            # compiled networks take memory as it lies
            WIDE_VECTORS: _table(vectors[:first].T, *sizes[0]),
            NARROW_VECTORS: _table(vectors[first:].T, *sizes[1]),
            WIDE_INDEX: _table(index[:, :first], *sizes[0]),
            NARROW_INDEX: _table(index[:, first:], *sizes[1]),
            AtomicDataDict.ATOM_TYPE_KEY: whole.types,
            fields.MAGNETIC_EDGES_KEY: magnetic,
            _keys.LEG_EDGES_KEY: leg_edges,
            _keys.TRIANGLE_LEG_KEY: legs,
            _keys.SITE_EDGES_KEY: place[tables[_keys.SITE_EDGES_KEY]],
            _keys.MAGNETIC_ATOMS_KEY: tables[_keys.MAGNETIC_ATOMS_KEY],
        },
        spins=whole.spins,
        atoms=atoms,
        edges=place[: graph.edge_vectors.size(0)],
        num_owned=graph.num_owned,
    )


def flat(tables: Tensors) -> Tensors:
    """The fields that the modules of a network read, from those tables there are."""
    data: Tensors = {}
    for key, names in TABLES.items():
        if names[0] in tables:
            data[key] = torch.cat([tables[name].flatten(1) for name in names], dim=1)
    if AtomicDataDict.EDGE_VECTORS_KEY in data:
        vectors = data[AtomicDataDict.EDGE_VECTORS_KEY]
        data[AtomicDataDict.EDGE_VECTORS_KEY] = vectors.transpose(0, 1)
    for key in (
        AtomicDataDict.ATOM_TYPE_KEY,
        _keys.LEG_EDGES_KEY,
        _keys.SITE_EDGES_KEY,
        _keys.MAGNETIC_ATOMS_KEY,
    ):
        if key in tables:
            data[key] = tables[key]
    if _keys.TRIANGLE_LEG_KEY in tables:
        legs = tables[_keys.TRIANGLE_LEG_KEY].flatten(1)  # (V, M)
        data[_keys.TRIANGLE_LEG_KEY] = legs.flatten()
        data[_keys.TRIANGLE_BOND_KEY] = _row_of_places(legs)
        data[_keys.TRIANGLE_SLOT_KEY] = legs.new_zeros(0)
        data[_keys.TRIANGLE_TABLE_KEY] = legs
    if fields.MAGNETIC_EDGES_KEY in tables:
        pairs = tables[fields.MAGNETIC_EDGES_KEY]
        data[fields.MAGNETIC_EDGES_KEY] = pairs.flatten()
        data[_keys.PAIR_CENTRE_KEY] = _row_of_places(pairs)
        data[_keys.PAIR_SLOT_KEY] = pairs.new_zeros(0)
        data[_keys.PAIR_TABLE_KEY] = pairs
    return data


def of_table(number: int, tables: Tensors) -> Tensors:
    """The fields of edges of one table alone, 0 wide and 1 narrow."""
    vectors, index = (names[number] for names in TABLES.values())
    return {
        AtomicDataDict.EDGE_VECTORS_KEY: tables[vectors].flatten(1).transpose(0, 1),
        AtomicDataDict.EDGE_INDEX_KEY: tables[index].flatten(1, 2),
        _keys.EDGE_TABLE_KEY: tables[index][0].flatten(1),
        _keys.EDGE_SLOT_KEY: tables[index].new_zeros(0),
    }


def _table(entries: torch.Tensor, rows: int, width: int) -> torch.Tensor:
    """(…, width · rows) as a table (…, width, rows / LANES, LANES)."""
    return entries.contiguous().view(entries.size(0), width, rows // LANES, LANES)


def _row_of_places(table: torch.Tensor) -> torch.Tensor:
    """Row of each place of a table (width, rows)."""
    rows = torch.arange(table.size(1)).unsqueeze(0)
    return rows.expand(table.size(0), table.size(1)).reshape(-1)


def _places(
    centre: torch.Tensor,
    counts: torch.Tensor,
    num_wide: int,
    sizes: list[tuple[int, int]],
) -> torch.Tensor:
    """Place of each edge (E,) by its centre, in both tables one after the other."""
    (num_rows, wide), (num_narrow, _) = sizes
    order = torch.argsort(centre, stable=True)
    start = torch.cumsum(counts, 0) - counts
    within = torch.empty_like(centre)
    within[order] = torch.arange(centre.size(0)) - start[centre[order]]
    of_narrow = num_rows * wide + within * num_narrow + centre - num_rows
    return torch.where(centre < num_rows, within * num_rows + centre, of_narrow)


def _is_wide(counts: torch.Tensor) -> torch.Tensor:
    """The centres (C,) to put into the wide table, so that fewest places are empty."""
    if counts.size(0) == 0:
        return counts > 0
    limits = torch.unique(counts)
    wide = torch.tensor([int((counts > limit).sum()) for limit in limits])
    places = wide * counts.max() + (counts.size(0) - wide) * limits
    return counts > limits[torch.argmin(places)]


def _with_added(
    graph: Graph, header: ModelHeader, bond_reach: torch.Tensor
) -> tuple[Graph, torch.Tensor, tuple[int, int]]:
    """A graph in the order of the tables; rows of the atoms given; centres of both."""
    owned, given = graph.num_owned, graph.types.size(0)
    is_wide = _is_wide(torch.bincount(graph.edge_index[0], minlength=owned)[:owned])
    corner = header.type_names.index(header.magnetic_types[0])
    others = [name for name in header.type_names if name not in header.magnetic_types]
    lone = header.type_names.index(others[0]) if others else corner
    # === atoms ===
    order, types, first_corners, sizes = [], [graph.types], [], []
    added = given
    for kind in (is_wide, ~is_wide):
        there = torch.nonzero(kind).view(-1)
        missing = -(len(there) + TETRAHEDRON) % LANES
        types.append(graph.types.new_tensor([corner] * TETRAHEDRON + [lone] * missing))
        order += [there, added + torch.arange(TETRAHEDRON + missing)]
        first_corners.append(added)
        sizes.append(len(there) + TETRAHEDRON + missing)
        added += TETRAHEDRON + missing
    order.append(torch.arange(owned, given))
    atoms = torch.cat(order)
    row = torch.empty_like(atoms)
    row[atoms] = torch.arange(atoms.size(0))
    spins = graph.spins.new_tensor([[0.0, 0.0, 1.0]]).expand(added - given, 3)
    # === edges of the tetrahedra ===
    side = 0.5 * float(bond_reach[corner, corner]) * 0.5**0.5
    corners = side * torch.tensor(
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64
    )
    one, other = torch.nonzero(1 - torch.eye(TETRAHEDRON), as_tuple=True)
    sides = torch.stack([one, other])
    edges = torch.cat(
        [graph.edge_index, *(first + sides for first in first_corners)], 1
    )
    num_edges, num_sides = graph.edge_vectors.size(0), 2 * one.size(0)
    whole = Graph(
        torch.cat([graph.edge_vectors, *(2 * [corners[other] - corners[one]])]),
        row[edges],
        torch.cat(types)[atoms],
        torch.cat([graph.magnetic_edges, num_edges + torch.arange(num_sides)]),
        torch.cat([graph.spins, spins])[atoms],
        owned,
    )
    return whole, row[:given], (sizes[0], sizes[1])
