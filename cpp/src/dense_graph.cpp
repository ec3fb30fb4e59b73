// SPDX-License-Identifier: MIT
#include "spinff/dense_graph.hpp"

#include <algorithm>
#include <cmath>

namespace spinff {

namespace {

constexpr std::int64_t least_width = tetrahedron;
/// Length of an empty edge in largest cutoffs.
constexpr double far = 2.0;

/// Number of edges above which a centre belongs into the wide table, so that fewest places are
/// empty.
std::int64_t narrow_width(const std::vector<std::int64_t> &counts) {
    std::int64_t widest = 0;
    for (const auto count : counts) {
        widest = std::max(widest, count);
    }
    std::vector<std::int64_t> number(widest + 1, 0); // of centres with so many edges
    for (const auto count : counts) {
        ++number[count];
    }
    auto best = widest;
    auto fewest = static_cast<std::int64_t>(counts.size()) * widest;
    std::int64_t narrow = 0;
    for (std::int64_t limit = 0; limit < widest; ++limit) {
        narrow += number[limit];
        const auto wide = static_cast<std::int64_t>(counts.size()) - narrow;
        const auto places = wide * widest + narrow * limit;
        if (number[limit] > 0 && places < fewest) {
            fewest = places;
            best = limit;
        }
    }
    return best;
}

/// A table of empty places; rows are the atoms from `first` on.
void make_empty(EdgeTable &table, std::int64_t first, double length) {
    const auto places = table.num_places();
    table.vectors.assign(3 * places, 0.0);
    std::fill_n(table.vectors.begin(), places, length);
    table.index.resize(2 * places);
    for (std::int64_t p = 0; p < places; ++p) {
        table.index[p] = table.index[places + p] = first + p % table.num_centres;
    }
}

} // namespace

Slots make_slots(const std::vector<std::int64_t> &rows, std::int64_t num_rows) {
    std::vector<std::int64_t> filled(num_rows, 0);
    Slots result;
    for (const auto row : rows) {
        result.width = std::max(result.width, ++filled[row]);
    }
    std::fill(filled.begin(), filled.end(), 0);
    result.slot.resize(rows.size());
    result.table.assign(num_rows * result.width, -1);
    for (std::size_t entry = 0; entry < rows.size(); ++entry) {
        const std::int64_t place = filled[rows[entry]]++ * num_rows + rows[entry];
        result.slot[entry] = place;
        result.table[place] = static_cast<std::int64_t>(entry);
    }
    return result;
}

void DenseGraph::set(const Graph &graph, const ModelHeader &header,
                     const std::vector<std::vector<double>> &bond_reach, bool with_triangles) {
    this->bond_reach = bond_reach;
    order_atoms(graph, header);
    add_edges(graph, header);
    place_edges(header);
    place_magnetic_edges(header);
    if (with_triangles) {
        place_triangles();
    }
    place.assign(edge_place.begin(),
                 edge_place.begin() + static_cast<std::ptrdiff_t>(graph.edge_index.size() / 2));
    pair_place.assign(pairs_of_centre.slot.begin(),
                      pairs_of_centre.slot.begin() +
                          static_cast<std::ptrdiff_t>(graph.magnetic_edges.size()));
}

/// Wide centres and what is added to them, narrow centres and what is added to them, ghosts.
void DenseGraph::order_atoms(const Graph &graph, const ModelHeader &header) {
    const auto first_type = [&](bool magnetic) {
        const auto found = std::find(header.magnetic.begin(), header.magnetic.end(), magnetic);
        return static_cast<std::int64_t>(found - header.magnetic.begin());
    };
    const auto corner = first_type(true);
    auto lone = first_type(false);
    lone = lone < static_cast<std::int64_t>(header.magnetic.size()) ? lone : corner;

    num_owned = static_cast<std::int64_t>(graph.num_owned);
    std::vector<std::int64_t> counts(num_owned, 0);
    for (std::size_t edge = 0; edge < graph.edge_index.size() / 2; ++edge) {
        ++counts[graph.edge_index[edge]];
    }
    const auto limit = narrow_width(counts);
    atom_row.resize(graph.types.size());
    corner_row.clear();
    types.clear();
    const auto place_atom = [&](std::int64_t atom) {
        atom_row[atom] = num_atoms();
        types.push_back(graph.types[atom]);
    };
    for (const bool is_wide : {true, false}) {
        const auto first = num_atoms();
        for (std::int64_t i = 0; i < num_owned; ++i) {
            if ((counts[i] > limit) == is_wide) {
                place_atom(i);
            }
        }
        for (std::int64_t i = 0; i < tetrahedron; ++i) {
            corner_row.push_back(num_atoms());
            types.push_back(corner);
        }
        while ((num_atoms() - first) % lanes != 0) {
            types.push_back(lone);
        }
        (is_wide ? wide : narrow).num_centres = num_atoms() - first;
    }
    for (std::size_t ghost = num_owned; ghost < atom_row.size(); ++ghost) {
        place_atom(static_cast<std::int64_t>(ghost));
    }
}

void DenseGraph::add_edges(const Graph &graph, const ModelHeader &header) {
    const auto magnetic = std::find(header.magnetic.begin(), header.magnetic.end(), true);
    const auto type = static_cast<std::size_t>(magnetic - header.magnetic.begin());
    const double side = 0.5 * bond_reach[type][type] * std::sqrt(0.5);
    constexpr double corners[tetrahedron][3] = {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}};

    const std::size_t given = graph.edge_index.size() / 2;
    vectors.assign(graph.edge_vectors.begin(), graph.edge_vectors.end());
    centres.resize(given);
    neighbours.resize(given);
    for (std::size_t edge = 0; edge < given; ++edge) {
        centres[edge] = atom_row[graph.edge_index[edge]];
        neighbours[edge] = atom_row[graph.edge_index[given + edge]];
    }
    pairs.assign(graph.magnetic_edges.begin(), graph.magnetic_edges.end());
    for (std::int64_t i = 0; i < 2 * tetrahedron; ++i) {
        for (std::int64_t j = 0; j < 2 * tetrahedron; ++j) {
            if (i == j || i / tetrahedron != j / tetrahedron) {
                continue;
            }
            pairs.push_back(static_cast<std::int64_t>(centres.size()));
            centres.push_back(corner_row[i]);
            neighbours.push_back(corner_row[j]);
            for (int a = 0; a < 3; ++a) {
                vectors.push_back(side *
                                  (corners[j % tetrahedron][a] - corners[i % tetrahedron][a]));
            }
        }
    }
}

void DenseGraph::place_edges(const ModelHeader &header) {
    std::vector<std::int64_t> filled(wide.num_centres + narrow.num_centres, 0);
    for (const auto centre : centres) {
        ++filled[centre];
    }
    const auto middle = filled.begin() + static_cast<std::ptrdiff_t>(wide.num_centres);
    wide.width = std::max(least_width, *std::max_element(filled.begin(), middle));
    narrow.width = std::max(least_width, *std::max_element(middle, filled.end()));
    make_empty(wide, 0, far * header.r_max);
    make_empty(narrow, wide.num_centres, far * header.r_max);
    // the last centres, corners of a tetrahedron or lone atoms, have fewer edges than places
    no_leg = wide.num_places() + narrow.num_places() - 1;
    no_pair = no_leg - 1;
    narrow.vectors[narrow.num_places() - 1] = 0.0;
    narrow.vectors[2 * narrow.num_places() - 1] = 1.5 * far * header.r_max;

    std::fill(filled.begin(), filled.end(), 0);
    edge_place.resize(centres.size());
    site_edges.clear();
    for (std::size_t edge = 0; edge < centres.size(); ++edge) {
        const auto centre = centres[edge];
        const bool is_wide = centre < wide.num_centres;
        EdgeTable &table = is_wide ? wide : narrow;
        const auto row = is_wide ? centre : centre - wide.num_centres;
        const auto p = filled[centre]++ * table.num_centres + row;
        table.index[table.num_places() + p] = neighbours[edge];
        for (int a = 0; a < 3; ++a) {
            table.vectors[a * table.num_places() + p] = vectors[3 * edge + a];
        }
        edge_place[edge] = is_wide ? p : wide.num_places() + p;
        if (header.magnetic[types[centre]]) {
            site_edges.push_back(edge_place[edge]);
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
    num_magnetic = row_of_atom[corner_row.back()] + 1; // the last that has edges
    std::vector<std::int64_t> rows;
    rows.reserve(pairs.size());
    for (const auto edge : pairs) {
        rows.push_back(row_of_atom[centres[edge]]);
    }
    pairs_of_centre = make_slots(rows, num_magnetic);
    magnetic_width = pairs_of_centre.width;
    magnetic_edges.assign(num_magnetic * magnetic_width, no_pair);
    for (std::size_t pair = 0; pair < pairs.size(); ++pair) {
        magnetic_edges[pairs_of_centre.slot[pair]] = edge_place[pairs[pair]];
    }
}

void DenseGraph::place_triangles() {
    const auto num_centres = wide.num_centres + narrow.num_centres;
    find_triangles({vectors, centres, neighbours, types, pairs, num_centres}, bond_reach,
                   triangles);
    leg_edges.assign(1, no_leg);
    for (const auto edge : triangles.leg_edges) {
        leg_edges.push_back(edge_place[edge]);
    }
    for (auto &bond : triangles.bond) {
        bond = pairs_of_centre.slot[bond];
    }
    const Slots slots = make_slots(triangles.bond, num_magnetic * magnetic_width);
    triangle_width = slots.width;
    triangle_leg.assign(slots.table.size(), 0);
    for (std::size_t triangle = 0; triangle < triangles.leg.size(); ++triangle) {
        triangle_leg[slots.slot[triangle]] = triangles.leg[triangle] + 1;
    }
}

} // namespace spinff
