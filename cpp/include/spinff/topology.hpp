// SPDX-License-Identifier: MIT
/// \file topology.hpp
/// The tables of integers that a compiled network indexes by; the same as python/spinff/nn/
/// topology.py makes for the others, and named as there.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "spinff/header.hpp"
#include "spinff/model.hpp"

namespace spinff {

/// A table of integers, row-major.
struct IntegerTable {
    std::vector<std::int64_t> values;
    std::vector<std::int64_t> shape; ///< one size or two
};

/// Entries in a dense table, each in its row.
struct Slots {
    IntegerTable slot;  ///< (entries) place of each in the table
    IntegerTable table; ///< (rows, width) the entry in each place, -1 where there is none
};

/// Places entries in the rows given for them; the width is that of the fullest row.
Slots make_slots(const std::vector<std::int64_t> &rows, std::int64_t num_rows);

/// The tables of a graph by name: edge_slot, edge_table (edges by their centre), triangle_bond,
/// triangle_leg, triangle_slot, triangle_table (atoms k that both ends of a magnetic edge i->j see:
/// its row among the magnetic edges, the edge i->k), site_edges (edges whose centre is magnetic),
/// magnetic_atoms, pair_centre, pair_slot, pair_table (magnetic edges by their centre, its row
/// among the magnetic atoms). All of them, in time proportional to the number of triangles;
/// `triangles` false leaves those out.
std::map<std::string, IntegerTable> make_topology(const Graph &graph, const ModelHeader &header,
                                                  bool triangles);

/// Atoms that `PaddedGraph` adds.
inline constexpr std::int64_t num_added_atoms = 4;

/// A graph with a tetrahedron of magnetic atoms behind the owned ones, so that no size is 0 or 1,
/// which compiled networks take for constants. It touches nobody; its edges come last.
struct PaddedGraph {
    PaddedGraph() = default;
    PaddedGraph(const Graph &graph, const ModelHeader &header);

    Graph view() const { return {edge_vectors, edge_index, types, magnetic_edges, num_owned}; }
    std::int64_t num_atoms() const { return static_cast<std::int64_t>(types.size()); }
    std::int64_t num_edges() const { return static_cast<std::int64_t>(edge_index.size() / 2); }
    std::int64_t num_magnetic() const { return static_cast<std::int64_t>(magnetic_edges.size()); }

    std::vector<double> edge_vectors;
    std::vector<std::int64_t> edge_index, types, magnetic_edges;
    std::size_t num_owned = 0; ///< without the added atoms
};

} // namespace spinff
