"""Which rows of a graph belong together: everything of integers that networks index by.

The tables are made once for a graph, from the edges and their lengths, and every other
module has nothing whose shape depends on values: a compiled network takes the tables as
inputs (``spinff.compiled``).
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
from collections.abc import Collection

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin

from spinff import fields
from spinff.nn import _keys

TABLES: dict[str, tuple[str, ...]] = {
    "edges": (_keys.EDGE_SLOT_KEY, _keys.EDGE_TABLE_KEY),
    "triangles": (
        _keys.LEG_EDGES_KEY,
        _keys.TRIANGLE_BOND_KEY,
        _keys.TRIANGLE_LEG_KEY,
        _keys.TRIANGLE_SLOT_KEY,
        _keys.TRIANGLE_TABLE_KEY,
    ),
    "sites": (_keys.SITE_EDGES_KEY,),
    "pairs": (
        _keys.MAGNETIC_ATOMS_KEY,
        _keys.PAIR_CENTRE_KEY,
        _keys.PAIR_SLOT_KEY,
        _keys.PAIR_TABLE_KEY,
    ),
}
"""What modules may ask for: edges by their centre; common neighbours of the ends of
magnetic edges; edges around magnetic atoms; magnetic edges by their centre. With
``triangle slots`` the triangles have places in a table, which only tensors need."""


def slots(rows: torch.Tensor, num_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Place entries in a dense table, each in its row.

    Args:
        rows: (E,) row of each entry, in any order.
        num_rows: of the table.

    Returns:
        slot (E,): row-major place of each entry in the table; and the table (width,
        num_rows), with the entry in each place and −1 where there is none. The width is
        the largest number of entries of a row.
    """
    counts = torch.bincount(rows, minlength=num_rows)
    width = int(counts.max()) if num_rows > 0 else 0
    order = torch.argsort(rows, stable=True)
    start = torch.cumsum(counts, 0) - counts
    entry = torch.arange(rows.size(0), device=rows.device)
    row = torch.index_select(rows, 0, order)
    slot = torch.empty_like(rows)
    slot[order] = (entry - torch.index_select(start, 0, row)) * num_rows + row
    table = rows.new_full((width * num_rows,), -1)
    table[slot] = entry
    return slot, table.view(width, num_rows)


def num_centres(centre: torch.Tensor) -> int:
    """Rows that a table of edges by their centre needs."""
    return int(centre.max()) + 1 if centre.size(0) > 0 else 0


def common_neighbours(
    edge_index: torch.Tensor,
    edge_vectors: torch.Tensor,
    types: torch.Tensor,
    pairs: torch.Tensor,
    reach: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Atoms k in reach of both ends of an edge i→j, each once.

    Args:
        edge_index: (2, E).
        edge_vectors: (E, 3) r_ij, Å.
        types: (N,).
        pairs: (M,) indices of the edges i→j.
        reach: (types, types) Å; edges i→k may end before.

    Returns:
        legs (L,): edges i→k within reach; bond (T,), row of ``pairs``, and leg (T,),
        row of ``legs``, for every k with |r_ik| and |r_ik − r_ij| below the reach of i
        and k, and of j and k.
    """
    centre, neighbour = edge_index[0], edge_index[1]
    if pairs.size(0) == 0:
        return pairs, pairs, pairs
    has_pair = torch.zeros_like(types, dtype=torch.bool)
    has_pair[torch.index_select(centre, 0, pairs)] = True
    lengths = torch.linalg.vector_norm(edge_vectors, dim=-1)  # faster than squares
    near = lengths < reach[types[centre], types[neighbour]]
    legs = torch.where(near & torch.index_select(has_pair, 0, centre))[0]
    table = slots(torch.index_select(centre, 0, legs), types.size(0))[1]
    # (width, M) rows of the legs of i, −1 where it has fewer
    rows = torch.index_select(table, 1, torch.index_select(centre, 0, pairs))
    column, bond = torch.where(rows >= 0)
    leg = rows[column, bond]
    edge = torch.index_select(pairs, 0, bond)
    side = torch.index_select(legs, 0, leg)
    vectors = torch.index_select(edge_vectors, 0, side) - torch.index_select(
        edge_vectors, 0, edge
    )
    ends = torch.index_select(types, 0, torch.index_select(neighbour, 0, edge))
    thirds = torch.index_select(types, 0, torch.index_select(neighbour, 0, side))
    near = torch.linalg.vector_norm(vectors, dim=-1) < reach[ends, thirds]
    found = torch.where(near & (side != edge))[0]
    return legs, torch.index_select(bond, 0, found), torch.index_select(leg, 0, found)


def magnetic_edge_indices(
    edge_index: torch.Tensor, types: torch.Tensor, is_magnetic: torch.Tensor
) -> torch.Tensor:
    """Ascending indices (M,) of the edges whose two atoms have magnetic types."""
    ends = torch.index_select(is_magnetic, 0, types.view(-1))
    both = torch.index_select(ends, 0, edge_index[0]) & torch.index_select(
        ends, 0, edge_index[1]
    )
    return torch.nonzero(both).view(-1)


@compile_mode("script")
class Topology(GraphModuleMixin, torch.nn.Module):
    """Adds the magnetic edges and the tables, unless the caller has.

    Args:
        type_names: all types of the model.
        magnetic_types: those that carry a moment.
        bond_reach: (types, types) Å, of ``common_neighbours``; for the triangles.
        tables: names out of ``TABLES``.
        irreps_in: of the module before.
    """

    is_magnetic: torch.Tensor
    bond_reach: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        magnetic_types: list[str],
        bond_reach: torch.Tensor,
        tables: Collection[str],
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build."""
        super().__init__()
        self.tables = [name for name in TABLES if name in tables]
        self._edges = "edges" in tables
        self._triangles = "triangles" in tables
        self._triangle_slots = "triangle slots" in tables
        self._sites = "sites" in tables
        self._pairs = "pairs" in tables
        keys = [key for name in self.tables for key in TABLES[name]]
        added = [fields.MAGNETIC_EDGES_KEY, *keys]
        self._init_irreps(irreps_in=irreps_in, irreps_out=dict.fromkeys(added, None))
        self.register_buffer(
            "is_magnetic", torch.tensor([name in magnetic_types for name in type_names])
        )
        self.register_buffer("bond_reach", bond_reach.to(torch.float64))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add MAGNETIC_EDGES (M,), ascending indices into the edges, and the tables."""
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        if fields.MAGNETIC_EDGES_KEY not in data:
            data[fields.MAGNETIC_EDGES_KEY] = magnetic_edge_indices(
                edge_index, types, self.is_magnetic
            )
        if self._edges and _keys.EDGE_SLOT_KEY not in data:
            slot, table = slots(edge_index[0], num_centres(edge_index[0]))
            data[_keys.EDGE_SLOT_KEY] = slot
            data[_keys.EDGE_TABLE_KEY] = table
        if self._triangles and _keys.TRIANGLE_BOND_KEY not in data:
            self._add_triangles(data, edge_index, types)
        if self._triangles and _keys.TRIANGLE_SLOT_KEY not in data:
            self._add_triangle_slots(data)
        if self._sites and _keys.SITE_EDGES_KEY not in data:
            magnetic = torch.index_select(self.is_magnetic, 0, types)
            data[_keys.SITE_EDGES_KEY] = torch.nonzero(
                torch.index_select(magnetic, 0, edge_index[0])
            ).view(-1)
        if self._pairs and _keys.PAIR_SLOT_KEY not in data:
            self._add_pairs(data, edge_index, types)
        return data

    def _add_triangles(
        self,
        data: AtomicDataDict.Type,
        edge_index: torch.Tensor,
        types: torch.Tensor,
    ) -> None:
        pairs = data[fields.MAGNETIC_EDGES_KEY]
        legs, bond, leg = common_neighbours(
            edge_index,
            data[AtomicDataDict.EDGE_VECTORS_KEY].detach(),
            types,
            pairs,
            self.bond_reach,
        )
        data[_keys.LEG_EDGES_KEY] = legs
        data[_keys.TRIANGLE_BOND_KEY] = bond
        data[_keys.TRIANGLE_LEG_KEY] = leg

    def _add_triangle_slots(self, data: AtomicDataDict.Type) -> None:
        bond = data[_keys.TRIANGLE_BOND_KEY]
        num_pairs = data[fields.MAGNETIC_EDGES_KEY].size(0)
        if self._triangle_slots:
            slot, table = slots(bond, num_pairs)
        else:  # of the slots it is only asked whether there are any
            slot, table = bond, bond.new_zeros(0, num_pairs)
        data[_keys.TRIANGLE_SLOT_KEY] = slot
        data[_keys.TRIANGLE_TABLE_KEY] = table

    def _add_pairs(
        self,
        data: AtomicDataDict.Type,
        edge_index: torch.Tensor,
        types: torch.Tensor,
    ) -> None:
        magnetic = torch.index_select(self.is_magnetic, 0, types)
        row = torch.cumsum(magnetic, 0) - 1  # of an atom among the magnetic ones
        centre = torch.index_select(edge_index[0], 0, data[fields.MAGNETIC_EDGES_KEY])
        centre = torch.index_select(row, 0, centre)
        slot, table = slots(centre, num_centres(centre))
        data[_keys.MAGNETIC_ATOMS_KEY] = torch.nonzero(magnetic).view(-1)
        data[_keys.PAIR_CENTRE_KEY] = centre
        data[_keys.PAIR_SLOT_KEY] = slot
        data[_keys.PAIR_TABLE_KEY] = table
