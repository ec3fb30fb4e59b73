// SPDX-License-Identifier: MIT
/// \file dense_graph.hpp
/// A graph as dense tables, as compiled networks take it (python/spinff/compiled/dense.py, which
/// does the same and says why): edges by their centre, in a wide table and a narrow one, with one
/// numbering, wide ones first; magnetic edges (P,A) by their centre; triangles (V,P,A) of each
/// magnetic edge, with legs (L) among the edges. Empty places are edges longer than any cutoff.
#pragma once

#include <cstdint>
#include <vector>

#include "spinff/header.hpp"
#include "spinff/model.hpp"
#include "spinff/triangles.hpp"

namespace spinff {

/// Centres of a table come in this many: numbers in the widest vector of a processor.
inline constexpr std::int64_t lanes = 16;
/// Atoms of a tetrahedron of magnetic ones, one of which is added to each table of edges, behind
/// its owned atoms, so that no size is 0 or 1, and there are empty places. As many lone atoms
/// follow as are missing to whole vectors. What is added touches nobody.
inline constexpr std::int64_t tetrahedron = 4;

/// Entries in a dense table, each in its row, in the order they come in.
struct Slots {
    std::vector<std::int64_t> slot;  ///< place of each entry in the table
    std::vector<std::int64_t> table; ///< (width, rows) the entry in each place, -1: empty
    std::int64_t width = 0;
};

/// Places entries in the rows given for them; the width is that of the fullest row.
Slots make_slots(const std::vector<std::int64_t> &rows, std::int64_t num_rows);

/// The edges of some centres.
struct EdgeTable {
    std::int64_t num_centres = 0, width = 0; ///< C, a multiple of `lanes`, and W
    std::vector<double> vectors;             ///< (3,W,C) Å
    std::vector<std::int64_t> index;         ///< (2,W,C) atoms

    std::int64_t num_places() const { return num_centres * width; }
};

/// The tables of one graph. Its arrays keep their memory from one graph to the next.
struct DenseGraph {
    /// `bond_reach`: Å, [type][type], how far the atoms of a triangle are from each other.
    void set(const Graph &graph, const ModelHeader &header,
             const std::vector<std::vector<double>> &bond_reach, bool with_triangles);

    EdgeTable wide, narrow;
    std::vector<std::int64_t> types;          ///< (N) with the added atoms, in their order
    std::vector<std::int64_t> magnetic_edges; ///< (P,A) places of edges
    std::vector<std::int64_t> leg_edges;      ///< (L) places of edges, of an empty one first
    std::vector<std::int64_t> triangle_leg;   ///< (V,P,A) rows of the former
    std::vector<std::int64_t> site_edges;     ///< (S) places of the edges of magnetic centres
    std::vector<std::int64_t> magnetic_atoms; ///< ascending; the first A have magnetic edges
    std::int64_t num_magnetic = 0, magnetic_width = 0; ///< A, P
    std::int64_t triangle_width = 0;                   ///< V

    std::int64_t num_atoms() const { return static_cast<std::int64_t>(types.size()); }
    std::int64_t num_owned = 0;           ///< without the added atoms
    std::vector<std::int64_t> atom_row;   ///< of each atom given, the owned ones first
    std::vector<std::int64_t> place;      ///< of each edge given, in both tables
    std::vector<std::int64_t> pair_place; ///< of each magnetic edge given, in (P,A)

  private:
    void order_atoms(const Graph &graph, const ModelHeader &header);
    void add_edges(const Graph &graph, const ModelHeader &header);
    void place_edges(const ModelHeader &header);
    void place_magnetic_edges(const ModelHeader &header);
    void place_triangles();

    std::vector<std::vector<double>> bond_reach;
    // with the added atoms and their edges, in the order given
    std::vector<std::int64_t> corner_row; ///< rows of the corners of both tetrahedra
    std::vector<double> vectors;
    std::vector<std::int64_t> centres, neighbours, pairs, edge_place;
    Slots pairs_of_centre;
    Triangles triangles;
    std::int64_t no_pair = 0, no_leg = 0; ///< empty places with different vectors
};

} // namespace spinff
