// SPDX-License-Identifier: MIT
#include "spinff/dense_graph.hpp"

#include <algorithm>
#include <cmath>

namespace spinff {

namespace {

constexpr std::int64_t least_width = num_added_atoms;
/// Length of an empty edge in largest cutoffs.
constexpr double far = 2.0;

} // namespace

Slots make_slots(const std::vector<std::int64_t> &rows, std::int64_t num_rows,
                 std::int64_t least_width) {
    std::vector<std::int64_t> filled(num_rows, 0);
    Slots result;
    result.width = least_width;
    for (const auto row : rows) {
        result.width = std::max(result.width, ++filled[row]);
    }
    std::fill(filled.begin(), filled.end(), 0);
    result.slot.resize(rows.size());
    result.table.assign(num_rows * result.width, -1);
    for (std::size_t entry = 0; entry < rows.size(); ++entry) {
        const std::int64_t place = rows[entry] * result.width + filled[rows[entry]]++;
        result.slot[entry] = place;
        result.table[place] = static_cast<std::int64_t>(entry);
    }
    return result;
}

void DenseGraph::set(const Graph &graph, const ModelHeader &header,
                     const std::vector<std::vector<double>> &bond_reach, bool with_triangles) {
    this->bond_reach = bond_reach;
    add_tetrahedron(graph, header);
    place_edges(header);
    place_magnetic_edges(header);
    if (with_triangles) {
        place_triangles();
    }
    place.assign(edges_of_centre.slot.begin(),
                 edges_of_centre.slot.begin() +
                     static_cast<std::ptrdiff_t>(graph.edge_index.size() / 2));
    pair_place.assign(pairs_of_centre.slot.begin(),
                      pairs_of_centre.slot.begin() +
                          static_cast<std::ptrdiff_t>(graph.magnetic_edges.size()));
}

void DenseGraph::add_tetrahedron(const Graph &graph, const ModelHeader &header) {
    const auto magnetic = std::find(header.magnetic.begin(), header.magnetic.end(), true);
    const auto type = static_cast<std::size_t>(magnetic - header.magnetic.begin());
    const double side = 0.5 * bond_reach[type][type] * std::sqrt(0.5);
    constexpr double corners[num_added_atoms][3] = {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}};

    num_owned = static_cast<std::int64_t>(graph.num_owned);
    types.assign(graph.types.begin(), graph.types.begin() + num_owned);
    types.insert(types.end(), num_added_atoms, static_cast<std::int64_t>(type));
    types.insert(types.end(), graph.types.begin() + num_owned, graph.types.end());

    const std::size_t given = graph.edge_index.size() / 2;
    vectors.assign(graph.edge_vectors.begin(), graph.edge_vectors.end());
    centres.assign(graph.edge_index.begin(), graph.edge_index.begin() + given);
    neighbours.assign(graph.edge_index.begin() + given, graph.edge_index.end());
    for (auto &neighbour : neighbours) {
        neighbour += neighbour < num_owned ? 0 : num_added_atoms;
    }
    pairs.assign(graph.magnetic_edges.begin(), graph.magnetic_edges.end());
    for (std::int64_t i = 0; i < num_added_atoms; ++i) {
        for (std::int64_t j = 0; j < num_added_atoms; ++j) {
            if (i == j) {
                continue;
            }
            pairs.push_back(static_cast<std::int64_t>(centres.size()));
            centres.push_back(num_owned + i);
            neighbours.push_back(num_owned + j);
            for (int a = 0; a < 3; ++a) {
                vectors.push_back(side * (corners[j][a] - corners[i][a]));
            }
        }
    }
}

void DenseGraph::place_edges(const ModelHeader &header) {
    num_centres = num_owned + num_added_atoms;
    edges_of_centre = make_slots(centres, num_centres, least_width);
    width = edges_of_centre.width;
    // the added atoms have fewer edges than places
    no_pair = num_owned * width + width - 1;
    no_leg = no_pair + width;

    const std::int64_t places = num_centres * width;
    edge_vectors.assign(3 * places, 0.0);
    edge_index.resize(2 * places);
    for (std::int64_t p = 0; p < places; ++p) {
        const auto edge = edges_of_centre.table[p];
        edge_index[p] = p / width;
        edge_index[places + p] = edge < 0 ? p / width : neighbours[edge];
        if (edge >= 0) {
            std::copy_n(&vectors[3 * edge], 3, &edge_vectors[3 * p]);
        } else if (p == no_leg) {
            edge_vectors[3 * p + 1] = 1.5 * far * header.r_max;
        } else {
            edge_vectors[3 * p] = far * header.r_max;
        }
    }
}

void DenseGraph::place_magnetic_edges(const ModelHeader &header) {
    std::vector<std::int64_t> row_of_atom(types.size(), -1);
    magnetic_atoms.clear();
    for (std::size_t atom = 0; atom < types.size(); ++atom) {
        if (header.magnetic[types[atom]]) {
            row_of_atom[atom] = static_cast<std::int64_t>(magnetic_atoms.size());
            magnetic_atoms.push_back(static_cast<std::int64_t>(atom));
        }
    }
    // the last of the added atoms, which come before the ghosts, has edges
    num_magnetic = row_of_atom[num_centres - 1] + 1;
    std::vector<std::int64_t> rows;
    rows.reserve(pairs.size());
    for (const auto edge : pairs) {
        rows.push_back(row_of_atom[centres[edge]]);
    }
    pairs_of_centre = make_slots(rows, num_magnetic);
    magnetic_width = pairs_of_centre.width;
    magnetic_edges.assign(num_magnetic * magnetic_width, no_pair);
    for (std::size_t pair = 0; pair < pairs.size(); ++pair) {
        magnetic_edges[pairs_of_centre.slot[pair]] = edges_of_centre.slot[pairs[pair]];
    }
}

/// For each magnetic edge i->j the other edges i->k with k in reach of both.
void DenseGraph::place_triangles() {
    const auto num_edges = static_cast<std::int64_t>(centres.size());
    std::vector<std::vector<std::int64_t>> legs_of(num_centres); // edges
    std::vector<std::int64_t> row_of_leg(num_edges, 0);
    leg_edges.assign(1, no_leg);
    for (std::int64_t edge = 0; edge < num_edges; ++edge) {
        const double *r = &vectors[3 * edge];
        const double reach = bond_reach[types[centres[edge]]][types[neighbours[edge]]];
        if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < reach * reach) {
            legs_of[centres[edge]].push_back(edge);
        }
    }
    std::vector<std::int64_t> rows, legs;
    for (std::size_t pair = 0; pair < pairs.size(); ++pair) {
        const auto edge = pairs[pair];
        const auto &reach = bond_reach[types[neighbours[edge]]];
        for (const auto leg : legs_of[centres[edge]]) {
            double square = 0.0;
            for (int a = 0; a < 3; ++a) {
                const double r_jk = vectors[3 * leg + a] - vectors[3 * edge + a];
                square += r_jk * r_jk;
            }
            const double limit = reach[types[neighbours[leg]]];
            if (leg == edge || square >= limit * limit) {
                continue;
            }
            if (row_of_leg[leg] == 0) {
                row_of_leg[leg] = static_cast<std::int64_t>(leg_edges.size());
                leg_edges.push_back(edges_of_centre.slot[leg]);
            }
            rows.push_back(pairs_of_centre.slot[pair]);
            legs.push_back(row_of_leg[leg]);
        }
    }
    const Slots slots = make_slots(rows, num_magnetic * magnetic_width);
    triangle_width = slots.width;
    triangle_leg.assign(slots.table.size(), 0);
    for (std::size_t triangle = 0; triangle < legs.size(); ++triangle) {
        triangle_leg[slots.slot[triangle]] = legs[triangle];
    }
}

} // namespace spinff
