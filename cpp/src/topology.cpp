// SPDX-License-Identifier: MIT
#include "spinff/topology.hpp"

#include <algorithm>
#include <cmath>

namespace spinff {

namespace {

using Integers = std::vector<std::int64_t>;

IntegerTable column(Integers values) {
    const auto size = static_cast<std::int64_t>(values.size());
    return {std::move(values), {size}};
}

/// Rows that a table of edges by their centre needs.
std::int64_t num_centres(const Integers &centres) {
    return centres.empty() ? 0 : 1 + *std::max_element(centres.begin(), centres.end());
}

struct Triangles {
    Integers bond, leg;
};

/// For each magnetic edge i->j the other edges i->k with k in reach of j.
Triangles common_neighbours(const Graph &graph, const ModelHeader &header,
                            const IntegerTable &edges_of) {
    const std::size_t num_edges = graph.edge_index.size() / 2;
    const auto type_of_end = [&](std::int64_t edge) {
        return graph.types[graph.edge_index[num_edges + edge]];
    };
    const std::int64_t width = edges_of.shape[1];
    Triangles found;
    for (std::size_t bond = 0; bond < graph.magnetic_edges.size(); ++bond) {
        const auto edge = graph.magnetic_edges[bond];
        const double *to_j = &graph.edge_vectors[3 * edge];
        const auto &cutoffs = header.cutoffs[type_of_end(edge)];
        const auto *row = &edges_of.values[graph.edge_index[edge] * width];
        for (std::int64_t place = 0; place < width && row[place] >= 0; ++place) {
            const auto leg = row[place];
            if (leg == edge) {
                continue;
            }
            const double *to_k = &graph.edge_vectors[3 * leg];
            double square = 0.0;
            for (int a = 0; a < 3; ++a) {
                square += (to_k[a] - to_j[a]) * (to_k[a] - to_j[a]);
            }
            const double cutoff = cutoffs[type_of_end(leg)];
            if (square < cutoff * cutoff) {
                found.bond.push_back(static_cast<std::int64_t>(bond));
                found.leg.push_back(leg);
            }
        }
    }
    return found;
}

} // namespace

Slots make_slots(const Integers &rows, std::int64_t num_rows) {
    Integers filled(num_rows, 0);
    for (const auto row : rows) {
        ++filled[row];
    }
    const std::int64_t width = filled.empty() ? 0 : *std::max_element(filled.begin(), filled.end());
    std::fill(filled.begin(), filled.end(), 0);
    Slots result;
    result.slot = column(Integers(rows.size()));
    result.table = {Integers(num_rows * width, -1), {num_rows, width}};
    for (std::size_t entry = 0; entry < rows.size(); ++entry) {
        const std::int64_t place = rows[entry] * width + filled[rows[entry]]++;
        result.slot.values[entry] = place;
        result.table.values[place] = static_cast<std::int64_t>(entry);
    }
    return result;
}

std::map<std::string, IntegerTable> make_topology(const Graph &graph, const ModelHeader &header,
                                                  bool triangles) {
    const std::size_t num_edges = graph.edge_index.size() / 2;
    const Integers centres(graph.edge_index.begin(), graph.edge_index.begin() + num_edges);
    std::map<std::string, IntegerTable> tables;
    Slots edges = make_slots(centres, num_centres(centres));
    if (triangles) {
        auto [bond, leg] = common_neighbours(graph, header, edges.table);
        Slots slots = make_slots(bond, static_cast<std::int64_t>(graph.magnetic_edges.size()));
        tables["triangle_bond"] = column(std::move(bond));
        tables["triangle_leg"] = column(std::move(leg));
        tables["triangle_slot"] = std::move(slots.slot);
        tables["triangle_table"] = std::move(slots.table);
    }
    tables["edge_slot"] = std::move(edges.slot);
    tables["edge_table"] = std::move(edges.table);

    Integers site_edges;
    for (std::size_t edge = 0; edge < num_edges; ++edge) {
        if (header.magnetic[graph.types[centres[edge]]]) {
            site_edges.push_back(static_cast<std::int64_t>(edge));
        }
    }
    tables["site_edges"] = column(std::move(site_edges));

    Integers magnetic_atoms;
    Integers row_of_atom(graph.types.size(), -1);
    for (std::size_t atom = 0; atom < graph.types.size(); ++atom) {
        if (header.magnetic[graph.types[atom]]) {
            row_of_atom[atom] = static_cast<std::int64_t>(magnetic_atoms.size());
            magnetic_atoms.push_back(static_cast<std::int64_t>(atom));
        }
    }
    Integers pair_centre;
    for (const auto edge : graph.magnetic_edges) {
        pair_centre.push_back(row_of_atom[centres[edge]]);
    }
    Slots pairs = make_slots(pair_centre, num_centres(pair_centre));
    tables["magnetic_atoms"] = column(std::move(magnetic_atoms));
    tables["pair_centre"] = column(std::move(pair_centre));
    tables["pair_slot"] = std::move(pairs.slot);
    tables["pair_table"] = std::move(pairs.table);
    return tables;
}

PaddedGraph::PaddedGraph(const Graph &graph, const ModelHeader &header)
    : edge_vectors(graph.edge_vectors.begin(), graph.edge_vectors.end()),
      magnetic_edges(graph.magnetic_edges.begin(), graph.magnetic_edges.end()),
      num_owned(graph.num_owned) {
    const auto magnetic = std::find(header.magnetic.begin(), header.magnetic.end(), true);
    const auto type = static_cast<std::size_t>(magnetic - header.magnetic.begin());
    const double side = 0.5 * header.cutoffs[type][type] * std::sqrt(0.5);
    constexpr double corners[num_added_atoms][3] = {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}};

    const auto owned = static_cast<std::int64_t>(num_owned);
    types.reserve(graph.types.size() + num_added_atoms);
    types.assign(graph.types.begin(), graph.types.begin() + owned);
    types.insert(types.end(), num_added_atoms, static_cast<std::int64_t>(type));
    types.insert(types.end(), graph.types.begin() + owned, graph.types.end());

    const std::size_t given = graph.edge_index.size() / 2;
    Integers neighbours;
    neighbours.reserve(given + num_added_atoms * num_added_atoms);
    edge_index.reserve(2 * neighbours.capacity());
    for (std::size_t edge = 0; edge < given; ++edge) {
        const auto neighbour = graph.edge_index[given + edge];
        edge_index.push_back(graph.edge_index[edge]);
        neighbours.push_back(neighbour < owned ? neighbour : neighbour + num_added_atoms);
    }
    for (std::int64_t i = 0; i < num_added_atoms; ++i) {
        for (std::int64_t j = 0; j < num_added_atoms; ++j) {
            if (i == j) {
                continue;
            }
            magnetic_edges.push_back(static_cast<std::int64_t>(edge_index.size()));
            edge_index.push_back(owned + i);
            neighbours.push_back(owned + j);
            for (int a = 0; a < 3; ++a) {
                edge_vectors.push_back(side * (corners[j][a] - corners[i][a]));
            }
        }
    }
    edge_index.insert(edge_index.end(), neighbours.begin(), neighbours.end());
}

} // namespace spinff
