// SPDX-License-Identifier: MIT
/// \file triangles.hpp
/// Atoms that both ends of a magnetic edge see (python/spinff/nn/topology.py does the same).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace spinff {

/// The edges of a graph, as spans over arrays of the caller.
struct Edges {
    std::span<const double> vectors;          ///< (E,3) Å
    std::span<const std::int64_t> centres;    ///< (E)
    std::span<const std::int64_t> neighbours; ///< (E)
    std::span<const std::int64_t> types;      ///< of the atoms
    std::span<const std::int64_t> magnetic;   ///< (M) edges between magnetic atoms
    std::int64_t num_centres = 0;             ///< atoms [0, num_centres) have edges
};

/// Common neighbours k of the ends of magnetic edges i->j, each once.
struct Triangles {
    std::vector<std::int64_t> leg_edges; ///< (L) the edges i->k that triangles refer to
    std::vector<std::int64_t> bond;      ///< (T) row of a magnetic edge among them
    std::vector<std::int64_t> leg;       ///< (T) row of i->k in `leg_edges`
};

/// Finds every k in reach of both ends; `reach`: Å, [type][type]; edges i->k may end before.
void find_triangles(const Edges &edges, const std::vector<std::vector<double>> &reach,
                    Triangles &result);

} // namespace spinff
