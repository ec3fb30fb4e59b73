// SPDX-License-Identifier: MIT
#include "spinff/triangles.hpp"

namespace spinff {

namespace {

/// An edge i->k with k in reach of i.
struct Leg {
    std::int64_t edge, type_of_k;
    double vector[3];
};

/// Legs by their centre: those of i are [first[i], first[i + 1]).
struct Legs {
    std::vector<Leg> legs;
    std::vector<std::int64_t> first;
};

double square(const double *a) {
    return a[0] * a[0] + a[1] * a[1] + a[2] * a[2];
}

/// Squares of the reach, of one type after the other.
std::vector<double> squares(const std::vector<std::vector<double>> &reach) {
    std::vector<double> result;
    for (const auto &row : reach) {
        for (const double value : row) {
            result.push_back(value * value);
        }
    }
    return result;
}

Legs legs_of_centres(const Edges &edges, const std::vector<double> &limits, std::size_t num_types) {
    const auto num_edges = static_cast<std::int64_t>(edges.centres.size());
    std::vector<std::int64_t> near;
    Legs result;
    result.first.assign(edges.num_centres + 1, 0);
    for (std::int64_t edge = 0; edge < num_edges; ++edge) {
        const auto i = edges.centres[edge];
        const auto type_of_k = edges.types[edges.neighbours[edge]];
        const double *vector = &edges.vectors[3 * edge];
        if (square(vector) < limits[num_types * edges.types[i] + type_of_k]) {
            near.push_back(edge);
            ++result.first[i + 1];
        }
    }
    for (std::int64_t i = 0; i < edges.num_centres; ++i) {
        result.first[i + 1] += result.first[i];
    }
    result.legs.resize(near.size());
    auto next = result.first;
    for (const auto edge : near) {
        const double *r = &edges.vectors[3 * edge];
        result.legs[next[edges.centres[edge]]++] = {
            edge, edges.types[edges.neighbours[edge]], {r[0], r[1], r[2]}};
    }
    return result;
}

} // namespace

void find_triangles(const Edges &edges, const std::vector<std::vector<double>> &reach,
                    Triangles &result) {
    const auto limits = squares(reach);
    const auto [legs, first] = legs_of_centres(edges, limits, reach.size());
    const auto num_pairs = static_cast<std::int64_t>(edges.magnetic.size());
    std::int64_t candidates = 0;
    for (const auto bond : edges.magnetic) {
        const auto i = edges.centres[bond];
        candidates += first[i + 1] - first[i];
    }
    // Every candidate is written, and the place taken if it is one: no branch to guess.
    result.bond.resize(candidates);
    result.leg.resize(candidates);
    std::int64_t found = 0;
    for (std::int64_t pair = 0; pair < num_pairs; ++pair) {
        const auto bond = edges.magnetic[pair];
        const auto i = edges.centres[bond];
        const double *r_ij = &edges.vectors[3 * bond];
        const double *limit = &limits[reach.size() * edges.types[edges.neighbours[bond]]];
        for (std::int64_t row = first[i]; row < first[i + 1]; ++row) {
            const Leg &leg = legs[row];
            const double r_jk[3] = {leg.vector[0] - r_ij[0], leg.vector[1] - r_ij[1],
                                    leg.vector[2] - r_ij[2]};
            result.bond[found] = pair;
            result.leg[found] = row;
            found += (square(r_jk) < limit[leg.type_of_k]) & (leg.edge != bond);
        }
    }
    result.bond.resize(found);
    result.leg.resize(found);

    // of the legs only those that a triangle has, in the order of their first triangles
    std::vector<std::int64_t> number(legs.size(), -1);
    result.leg_edges.clear();
    for (auto &leg : result.leg) {
        if (number[leg] < 0) {
            number[leg] = static_cast<std::int64_t>(result.leg_edges.size());
            result.leg_edges.push_back(legs[leg].edge);
        }
        leg = number[leg];
    }
}

} // namespace spinff
