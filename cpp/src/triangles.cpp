// SPDX-License-Identifier: MIT
#include "spinff/triangles.hpp"

namespace spinff {

namespace {

double square_of_difference(const double *a, const double *b) {
    const double d[3] = {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
    return d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
}

} // namespace

void find_triangles(const Edges &edges, const std::vector<std::vector<double>> &reach,
                    Triangles &result) {
    constexpr double origin[3] = {0.0, 0.0, 0.0};
    const auto vector = [&](std::int64_t edge) { return &edges.vectors[3 * edge]; };
    const auto limit = [&](std::int64_t i, std::int64_t k) {
        const double r = reach[edges.types[i]][edges.types[k]];
        return r * r;
    };
    const auto num_edges = static_cast<std::int64_t>(edges.centres.size());
    std::vector<std::vector<std::int64_t>> legs_of(edges.num_centres);
    for (std::int64_t edge = 0; edge < num_edges; ++edge) {
        const auto i = edges.centres[edge];
        if (square_of_difference(vector(edge), origin) < limit(i, edges.neighbours[edge])) {
            legs_of[i].push_back(edge);
        }
    }
    std::vector<std::int64_t> row_of_leg(num_edges, -1);
    result.leg_edges.clear();
    result.bond.clear();
    result.leg.clear();
    for (std::size_t pair = 0; pair < edges.magnetic.size(); ++pair) {
        const auto bond = edges.magnetic[pair];
        const auto j = edges.neighbours[bond];
        for (const auto leg : legs_of[edges.centres[bond]]) {
            if (leg == bond || square_of_difference(vector(leg), vector(bond)) >=
                                   limit(j, edges.neighbours[leg])) {
                continue;
            }
            if (row_of_leg[leg] < 0) {
                row_of_leg[leg] = static_cast<std::int64_t>(result.leg_edges.size());
                result.leg_edges.push_back(leg);
            }
            result.bond.push_back(static_cast<std::int64_t>(pair));
            result.leg.push_back(row_of_leg[leg]);
        }
    }
}

} // namespace spinff
