// SPDX-License-Identifier: MIT
// Dense tables of random graphs, against the graphs (spinff/dense_graph.hpp).
#include "check.hpp"

#include <array>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "spinff/dense_graph.hpp"

using namespace spinff;

namespace {

using Table = std::vector<std::vector<double>>;

const Table cutoffs = {{5.0, 3.5}, {3.5, 2.5}};
const Table reach = {{3.0, 3.0}, {3.0, 2.5}};

/// Random atoms of two types, the first magnetic, and the edges of the owned ones.
struct RandomGraph {
    std::vector<double> vectors;
    std::vector<std::int64_t> index, types, magnetic;
    std::size_t num_owned;

    RandomGraph(int num_atoms, int owned, unsigned seed) : num_owned(owned) {
        std::mt19937 generator(seed);
        std::uniform_real_distribution<double> anywhere(0.0, 7.0);
        std::vector<std::array<double, 3>> x(num_atoms);
        for (int i = 0; i < num_atoms; ++i) {
            x[i] = {anywhere(generator), anywhere(generator), anywhere(generator)};
            types.push_back(i % 2);
        }
        std::vector<std::int64_t> neighbours;
        for (int i = 0; i < owned; ++i) {
            for (int j = 0; j < num_atoms; ++j) {
                const double r[3] = {x[j][0] - x[i][0], x[j][1] - x[i][1], x[j][2] - x[i][2]};
                if (i == j || std::hypot(r[0], r[1], r[2]) >= cutoffs[types[i]][types[j]]) {
                    continue;
                }
                if (types[i] == 0 && types[j] == 0) {
                    magnetic.push_back(static_cast<std::int64_t>(neighbours.size()));
                }
                vectors.insert(vectors.end(), r, r + 3);
                index.push_back(i);
                neighbours.push_back(j);
            }
        }
        index.insert(index.end(), neighbours.begin(), neighbours.end());
    }

    Graph graph() const { return {vectors, index, types, magnetic, num_owned}; }
    std::size_t num_edges() const { return index.size() / 2; }
    const double *vector(std::int64_t edge) const { return &vectors[3 * edge]; }
};

double distance(const double *a, const double *b) {
    return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/// Vector, centre and neighbour in a place of the two tables.
struct Place {
    double vector[3];
    std::int64_t centre, neighbour;
};

Place in_tables(const DenseGraph &dense, std::int64_t place) {
    const bool is_wide = place < dense.wide.num_places();
    const EdgeTable &table = is_wide ? dense.wide : dense.narrow;
    const auto p = is_wide ? place : place - dense.wide.num_places();
    const auto places = table.num_places();
    const auto *v = &table.vectors[p];
    return {{v[0], v[places], v[2 * places]}, table.index[p], table.index[places + p]};
}

/// Triangles (bond, leg) of a graph, by a search over all pairs of edges.
std::set<std::array<std::int64_t, 2>> triangles_of(const RandomGraph &given) {
    constexpr double origin[3] = {0.0, 0.0, 0.0};
    const auto edges = static_cast<std::int64_t>(given.num_edges());
    std::set<std::array<std::int64_t, 2>> result;
    for (const auto bond : given.magnetic) {
        for (std::int64_t leg = 0; leg < edges; ++leg) {
            const auto i = given.types[given.index[bond]];
            const auto j = given.types[given.index[edges + bond]];
            const auto k = given.types[given.index[edges + leg]];
            if (leg != bond && given.index[leg] == given.index[bond] &&
                distance(given.vector(leg), origin) < reach[i][k] &&
                distance(given.vector(leg), given.vector(bond)) < reach[j][k]) {
                result.insert({bond, leg});
            }
        }
    }
    return result;
}

void check(const RandomGraph &given, DenseGraph &dense, const ModelHeader &header) {
    dense.set(given.graph(), header, reach, true);
    const auto num_atoms = static_cast<std::int64_t>(given.types.size());
    const auto centres = dense.wide.num_centres + dense.narrow.num_centres;
    CHECK(dense.wide.num_centres % lanes == 0 && dense.narrow.num_centres % lanes == 0);
    const auto owned = static_cast<std::int64_t>(given.num_owned);
    CHECK(centres >= owned + 2 * tetrahedron && centres < owned + 2 * (tetrahedron + lanes));
    CHECK(dense.num_atoms() == centres + num_atoms - owned);
    CHECK(std::set<std::int64_t>(dense.atom_row.begin(), dense.atom_row.end()).size() ==
          given.types.size());
    for (std::int64_t i = 0; i < num_atoms; ++i) {
        CHECK(dense.types[dense.atom_row[i]] == given.types[i]);
    }

    const std::set<std::int64_t> taken(dense.place.begin(), dense.place.end());
    CHECK(taken.size() == given.num_edges());
    for (std::size_t edge = 0; edge < given.num_edges(); ++edge) {
        const Place place = in_tables(dense, dense.place[edge]);
        CHECK(distance(place.vector, given.vector(static_cast<std::int64_t>(edge))) == 0.0);
        CHECK(place.centre == dense.atom_row[given.index[edge]]);
        CHECK(place.neighbour == dense.atom_row[given.index[given.num_edges() + edge]]);
    }
    // what is left are the edges of two tetrahedra and empty places
    std::int64_t near = 0;
    for (std::int64_t p = 0; p < dense.wide.num_places() + dense.narrow.num_places(); ++p) {
        constexpr double origin[3] = {0.0, 0.0, 0.0};
        const bool empty = distance(in_tables(dense, p).vector, origin) > header.r_max;
        near += empty ? 0 : 1;
        CHECK(!(empty && taken.count(p) > 0));
    }
    CHECK(near == static_cast<std::int64_t>(given.num_edges()) + 24);

    for (std::size_t pair = 0; pair < given.magnetic.size(); ++pair) {
        CHECK(dense.magnetic_edges[dense.pair_place[pair]] == dense.place[given.magnetic[pair]]);
    }
    std::size_t found = 0;
    const auto expected = triangles_of(given);
    for (std::size_t pair = 0; pair < given.magnetic.size(); ++pair) {
        for (std::int64_t v = 0; v < dense.triangle_width; ++v) {
            const auto places = dense.num_magnetic * dense.magnetic_width;
            const auto leg = dense.triangle_leg[v * places + dense.pair_place[pair]];
            if (leg == 0) { // none
                continue;
            }
            ++found;
            for (std::size_t edge = 0; edge < given.num_edges(); ++edge) {
                if (dense.place[edge] == dense.leg_edges[leg]) {
                    CHECK(expected.count({given.magnetic[pair], static_cast<std::int64_t>(edge)}) ==
                          1);
                }
            }
        }
    }
    CHECK(found == expected.size());
}

} // namespace

int main() {
    ModelHeader header;
    header.cutoffs = cutoffs;
    header.r_max = 5.0;
    header.magnetic = {true, false};
    DenseGraph dense; // one for all: it keeps its memory
    check(RandomGraph(40, 25, 1), dense, header);
    check(RandomGraph(60, 60, 2), dense, header);
    check(RandomGraph(1, 1, 3), dense, header); // no edges
    check(RandomGraph(3, 0, 4), dense, header); // a rank without atoms
    check(RandomGraph(30, 12, 5), dense, header);
    CHECK(dense.wide.width > dense.narrow.width);
    return failures();
}
