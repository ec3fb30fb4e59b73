// SPDX-License-Identifier: GPL-2.0-only
#include "spin_network.h"

#include "spin_pair_checks.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "neigh_list.h"
#include "update.h"

#include "spinff/units.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

using namespace LAMMPS_NS;

namespace {

/// Rank among, and number of, the processes of this node: they share its cores and GPUs.
std::array<int, 2> place_on_node([[maybe_unused]] MPI_Comm world) {
    std::array<int, 2> place = {0, 1};
#if defined(MPI_VERSION) && MPI_VERSION >= 3
    MPI_Comm node;
    MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &place[0]);
    MPI_Comm_size(node, &place[1]);
    MPI_Comm_free(&node);
#endif
    return place;
}

/// Runs `work`, which may fail on any rank alone, and ends the run with the sentence of the first
/// rank that failed.
void run_on_all(LAMMPS *lmp, const std::function<void()> &work) {
    std::string message;
    try {
        work();
    } catch (const std::exception &exception) {
        message = exception.what();
    }
    int me = 0;
    int size = 0;
    MPI_Comm_rank(lmp->world, &me);
    MPI_Comm_size(lmp->world, &size);
    const int mine = message.empty() ? size : me;
    int first = size;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, lmp->world);
    if (first == size) {
        return;
    }
    auto length = static_cast<int>(message.size());
    MPI_Bcast(&length, 1, MPI_INT, first, lmp->world);
    message.resize(length);
    MPI_Bcast(message.data(), length, MPI_CHAR, first, lmp->world);
    lmp->error->all(FLERR, message);
}

bool all_finite(const std::vector<double> &values) {
    return std::isfinite(std::accumulate(values.begin(), values.end(), 0.0));
}

} // namespace

SpinNetwork::SpinNetwork(LAMMPS *lmp, const std::string &who, const std::string &path,
                         const std::string &device_request)
    : Pointers(lmp), who(who) {
    const auto [rank_on_node, ranks_on_node] = place_on_node(world);
    spinff::Gpus gpus;
    std::string device;
    int threads = 0;
    run_on_all(lmp, [&] {
        if (device_request != "cpu") { // where a broken driver is no matter
            gpus = spinff::available_gpus();
        }
        device = spinff::device_of_rank(device_request, rank_on_node, gpus, who);
        threads = spinff::limit_threads(ranks_on_node);
        spinff::keep_memory();
        model = spinff::load_model(path, device, who);
        energy = spinff::make_spin_energy(*model);
    });
    if (comm->me == 0) { // speaks for its node; the others are usually like it
        const auto warning = spinff::shared_gpu_warning(device, ranks_on_node, gpus, who);
        if (!warning.empty()) {
            error->warning(FLERR, warning);
        }
        utils::logmesg(lmp, "{}: {} model '{}' ({}) on {}, {} thread(s) per rank; {}\n", who,
                       header().model_class, path, header().dtype, device, threads,
                       spinff::has_couplings(header())
                           ? "spin fields from its couplings"
                           : "a run of the spins' network for each field");
    }
}

std::size_t SpinNetwork::memory_usage() const {
    const auto bytes = [](const auto &vector) { return vector.capacity() * sizeof(vector[0]); };
    std::size_t total = bytes(atoms) + bytes(rows) + bytes(neighbours) + bytes(spins) +
                        bytes(result.term_energies) + bytes(result.edge_gradient) +
                        bytes(result.spin_gradient) + bytes(result.moment_lengths);
    for (const Geometry *g : {&geometry, &known}) {
        total += bytes(g->edge_vectors) + bytes(g->edge_index) + bytes(g->types) +
                 bytes(g->magnetic_edges);
    }
    return total + energy->memory_usage();
}

void SpinNetwork::map_types(int count, char **names) {
    model_type = spinff::map_type_names(
        lmp, who, {"the model", "train a model with it", header().type_names}, count, names);
}

double SpinNetwork::cutoff(int itype, int jtype) const {
    const int a = model_type[itype];
    const int b = model_type[jtype];
    if (a < 0 || b < 0) {
        return 0.0;
    }
    return std::max(header().cutoffs[a][b], header().cutoffs[b][a]);
}

// === checks ===

void SpinNetwork::check_message_passing() const {
    if (header().strictly_local) {
        return;
    }
    if (comm->nprocs > 1) {
        error->all(FLERR,
                   "{}: the {} model passes messages between atoms, further than the ghost atoms "
                   "of a rank reach, got {} MPI ranks, expected 1; run on one rank, or use a "
                   "strictly local model (SpinAllegro)",
                   who, header().model_class, comm->nprocs);
    }
    if (atom->map_style == Atom::MAP_NONE) {
        error->all(FLERR,
                   "{}: the {} model needs the owners of ghost atoms, got no atom map, expected "
                   "one; add 'atom_modify map yes' before the box is created",
                   who, header().model_class);
    }
}

/// Every magnetic atom has a direction, and a moment where the model has a fixed one. Ghosts too,
/// so that a rank does not meet what follows from a bad one before its owner has named it.
void SpinNetwork::check_spins() const {
    const bool fixed = header().moment_mode == "fixed";
    const bool input = header().moment_mode == "input";
    for (std::size_t row = 0; row < atoms.size(); ++row) {
        const int i = atoms[row];
        if (!is_magnetic(row)) {
            continue;
        }
        const double *sp = atom->sp[i];
        const bool unit = spinff::has_direction(sp);
        const bool moment = sp[3] > 0.0 || !(fixed || input);
        if ((unit && moment) || (input && sp[3] == 0.0)) {
            continue;
        }
        spinff::stop_rank(
            lmp,
            fmt::format(
                "{}: magnetic {} has a bad spin at step {}, got direction ({:.8g}, {:.8g}, "
                "{:.8g}) and moment {:.8g} muB, expected a unit vector{}{}; set it in the data "
                "file or with set group ... spin/atom",
                who, describe(i), update->ntimestep, sp[0], sp[1], sp[2], sp[3],
                fixed || input ? " and a moment above 0" : "", input ? ", or a moment of 0" : ""));
    }
}

void SpinNetwork::check_moments() const {
    if (header().moment_mode != "fixed") {
        return;
    }
    spinff::warn_about_moments(
        lmp, who, model_type, header().type_names, header().moments, "in training",
        "the couplings are those of the model's moment, correct the data file");
}

std::string SpinNetwork::describe(int i) const {
    // A moment that has run away in fix spin/sib longitudinal tells what the number comes from.
    const bool input = header().moment_mode == "input";
    return fmt::format("atom {} (type {}{})", atom->tag[i], atom->type[i],
                       input ? fmt::format(", moment {:.3g} muB", atom->sp[i][3]) : "");
}

void SpinNetwork::stop_not_finite(const std::string &quantity, double value) const {
    spinff::stop_rank(
        lmp, fmt::format(
                 "{}: {} is not a finite number at step {}, got {}; the atoms are too close or far "
                 "from what the model was trained on: check the structure, units and time step",
                 who, quantity, update->ntimestep, value));
}

void SpinNetwork::check_energies() const {
    if (all_finite(result.term_energies)) {
        return;
    }
    const auto &terms = header().terms;
    for (std::size_t k = 0; k < result.term_energies.size(); ++k) {
        if (!std::isfinite(result.term_energies[k])) {
            stop_not_finite(terms[k % terms.size()] + " energy of " +
                                describe(atoms[k / terms.size()]),
                            result.term_energies[k]);
        }
    }
}

void SpinNetwork::check_field() const {
    if (all_finite(result.spin_gradient)) {
        return;
    }
    for (std::size_t k = 0; k < result.spin_gradient.size(); ++k) {
        if (!std::isfinite(result.spin_gradient[k])) {
            stop_not_finite("spin field of " + describe(atoms[k / 3]), result.spin_gradient[k]);
        }
    }
}

void SpinNetwork::check_forces() const {
    if (all_finite(result.edge_gradient)) {
        return;
    }
    for (std::size_t k = 0; k < result.edge_gradient.size(); ++k) {
        if (!std::isfinite(result.edge_gradient[k])) {
            stop_not_finite("force on " + describe(atoms[geometry.edge_index[k / 3]]),
                            result.edge_gradient[k]);
        }
    }
}

// === the graph ===

bool SpinNetwork::set_geometry(const NeighList *list) {
    collect_owned();
    collect_edges(list);
    // A lattice at rest gives the same graph again, and the network the same couplings.
    if (geometry_known && geometry == known) {
        return true;
    }
    known = geometry;
    geometry_known = true;
    run_network([this] { energy->set_geometry(known.graph()); });
    return false;
}

void SpinNetwork::collect_owned() {
    atoms.clear();
    rows.assign(atom->nlocal + atom->nghost, -1);
    geometry.types.clear();
    for (int i = 0; i < atom->nlocal; ++i) {
        if (model_type[atom->type[i]] >= 0) {
            row_of(i);
        }
    }
    geometry.num_owned = atoms.size();
}

/// Row of an atom in the graph, a new one if it has none yet.
int SpinNetwork::row_of(int i) {
    if (rows[i] < 0) {
        rows[i] = static_cast<int>(atoms.size());
        atoms.push_back(i);
        geometry.types.push_back(model_type[atom->type[i]]);
    }
    return rows[i];
}

void SpinNetwork::collect_edges(const NeighList *list) {
    geometry.edge_vectors.clear();
    geometry.edge_index.clear();
    geometry.magnetic_edges.clear();
    neighbours.clear();
    for (int ii = 0; ii < list->inum; ++ii) {
        if (rows[list->ilist[ii]] >= 0) {
            collect_edges_of(list->ilist[ii], list);
        }
    }
    geometry.edge_index.insert(geometry.edge_index.end(), neighbours.begin(), neighbours.end());
}

void SpinNetwork::collect_edges_of(int i, const NeighList *list) {
    const int type_i = model_type[atom->type[i]];
    const double *xi = atom->x[i];
    for (int jj = 0; jj < list->numneigh[i]; ++jj) {
        const int j = list->firstneigh[i][jj] & NEIGHMASK;
        const int type_j = model_type[atom->type[j]];
        if (type_j < 0) {
            continue;
        }
        const double *xj = atom->x[j];
        const double r[3] = {xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]};
        const double cutoff = header().cutoffs[type_i][type_j];
        if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] >= cutoff * cutoff) {
            continue;
        }
        if (header().magnetic[type_i] && header().magnetic[type_j]) {
            geometry.magnetic_edges.push_back(static_cast<std::int64_t>(neighbours.size()));
        }
        geometry.edge_vectors.insert(geometry.edge_vectors.end(), r, r + 3);
        geometry.edge_index.push_back(rows[i]);
        neighbours.push_back(row_of(graph_atom(j)));
    }
}

/// The atom that stands for a neighbour: the ghost itself or, for messages to reach it, its owner.
int SpinNetwork::graph_atom(int j) const {
    return header().strictly_local ? j : atom->map(atom->tag[j]);
}

// === energies, fields, forces ===

/// Runs a part of the network on this rank; what it throws ends the run.
void SpinNetwork::run_network(const std::function<void()> &work) const {
    try {
        work();
    } catch (const std::exception &exception) {
        spinff::stop_rank(lmp, exception.what());
    }
}

void SpinNetwork::collect_spins() {
    const bool moments = header().moment_mode == "input";
    spins.assign(3 * atoms.size(), 0.0);
    for (std::size_t row = 0; row < atoms.size(); ++row) {
        const double *sp = atom->sp[atoms[row]];
        if (!is_magnetic(row) || (moments && sp[3] == 0.0)) { // a moment of 0 has any direction
            continue;
        }
        for (int a = 0; a < 3; ++a) {
            spins[3 * row + a] = moments ? sp[3] * sp[a] : sp[a];
        }
    }
}

void SpinNetwork::gradient() {
    collect_spins();
    run_network([this] { energy->gradient(spins, result.spin_gradient); });
    check_field();
}

void SpinNetwork::evaluate(bool with_edges) {
    collect_spins();
    run_network([&] { energy->evaluate(spins, with_edges, result); });
    check_energies();
    check_field();
    if (with_edges) {
        check_forces();
    }
}

SpinNetwork::Edge SpinNetwork::edge(std::size_t number) const {
    return {atoms[geometry.edge_index[number]],
            atoms[geometry.edge_index[neighbours.size() + number]],
            &geometry.edge_vectors[3 * number], &result.edge_gradient[3 * number]};
}

void SpinNetwork::add_field(double **fm) const {
    const bool moments = header().moment_mode == "input";
    for (std::size_t row = 0; row < atoms.size(); ++row) {
        if (!is_magnetic(row)) {
            continue;
        }
        const double length = moments ? atom->sp[atoms[row]][3] : 1.0;
        for (int a = 0; a < 3; ++a) {
            fm[atoms[row]][a] -= length / spinff::units::hbar * result.spin_gradient[3 * row + a];
        }
    }
}

void SpinNetwork::add_forces(double **f) const {
    for (std::size_t number = 0; number < num_edges(); ++number) {
        const Edge e = edge(number);
        for (int a = 0; a < 3; ++a) {
            f[e.i][a] += e.gradient[a];
            f[e.j][a] -= e.gradient[a];
        }
    }
}
