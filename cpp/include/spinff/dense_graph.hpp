// SPDX-License-Identifier: MIT
/// \file dense_graph.hpp
/// A graph as dense tables, as compiled networks take it (python/spinff/compiled/dense.py, which
/// does the same and says why): edges (C,W) by their centre, magnetic edges (A,P) by theirs,
/// triangles (A,P,V) of each magnetic edge, with legs (L) among the edges. Empty places are edges longer than any cutoff.
#pragma once

#include <cstdint>
#include <vector>

#include "spinff/header.hpp"
#include "spinff/model.hpp"

namespace spinff {

/// Atoms that are added to every graph, a tetrahedron of magnetic ones behind the owned ones, so
/// that no size is 0 or 1, and there are empty places. It touches nobody.
inline constexpr std::int64_t num_added_atoms = 4;

/// Entries in a dense table, each in its row, in the order they come in.
struct Slots {
    std::vector<std::int64_t> slot;  ///< place of each entry in the table, row-major
    std::vector<std::int64_t> table; ///< (rows, width) the entry in each place, -1: empty
    std::int64_t width = 0;
};

/// Places entries in the rows given for them; the width is that of the fullest row, or more.
Slots make_slots(const std::vector<std::int64_t> &rows, std::int64_t num_rows,
                 std::int64_t least_width = 0);

/// The tables of one graph. Its arrays keep their memory from one graph to the next.
struct DenseGraph {
    /// `bond_reach`: Å, [type][type], how far the atoms of a triangle are from each other.
    void set(const Graph &graph, const ModelHeader &header,
             const std::vector<std::vector<double>> &bond_reach, bool with_triangles);

    std::vector<double> edge_vectors;         ///< (C,W,3) Å
    std::vector<std::int64_t> edge_index;     ///< (2,C,W)
    std::vector<std::int64_t> types;          ///< (N) with the added atoms
    std::vector<std::int64_t> magnetic_edges; ///< (A,P) places of edges
    std::vector<std::int64_t> leg_edges;      ///< (L) places of edges, of an empty one first
    std::vector<std::int64_t> triangle_leg;   ///< (A,P,V) rows of the former
    std::vector<std::int64_t> magnetic_atoms; ///< ascending; the first A have magnetic edges
    std::int64_t num_centres = 0, width = 0;  ///< C, W
    std::int64_t num_magnetic = 0, magnetic_width = 0; ///< A, P
    std::int64_t triangle_width = 0;                   ///< V

    std::int64_t num_atoms() const { return static_cast<std::int64_t>(types.size()); }
    std::int64_t num_owned = 0;           ///< without the added atoms
    std::vector<std::int64_t> place;      ///< of each edge given
    std::vector<std::int64_t> pair_place; ///< of each magnetic edge given, in (A,P)

  private:
    void add_tetrahedron(const Graph &graph, const ModelHeader &header);
    void place_edges(const ModelHeader &header);
    void place_magnetic_edges(const ModelHeader &header);
    void place_triangles();

    std::vector<std::vector<double>> bond_reach;
    // with the added atoms, in the order given
    std::vector<double> vectors;
    std::vector<std::int64_t> centres, neighbours, pairs;
    Slots edges_of_centre, pairs_of_centre;
    std::int64_t no_pair = 0, no_leg = 0; ///< empty places with different vectors
};

} // namespace spinff
