// SPDX-License-Identifier: GPL-2.0-only
#include "pair_spin_allegro.h"

#include "fix_spin_sib.h"
#include "fix_spin_sib_zeeman.h"
#include "spin_pair_checks.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "fix.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "output.h"
#include "update.h"

#include "spinff/units.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace LAMMPS_NS;

namespace {

const std::string who = "pair_style spin/allegro";

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

PairSpinAllegro::PairSpinAllegro(LAMMPS *lmp) : PairSpin(lmp) {
    restartinfo = 0;
    one_coeff = 1;
    manybody_flag = 1;
    no_virial_fdotr_compute = 1;
    centroidstressflag = CENTROID_NOTAVAIL;
    nlocal_max = 0;
    emag = nullptr;
    // Every term there is, so that compute pair means the same with any model.
    term_totals.assign(spinff::known_terms.size(), 0.0);
    nextra = static_cast<int>(term_totals.size());
    pvector = term_totals.data();
}

PairSpinAllegro::~PairSpinAllegro() {
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
    memory->destroy(emag);
}

void PairSpinAllegro::allocate() {
    allocated = 1;
    const int n = atom->ntypes + 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
}

// === input commands ===

void PairSpinAllegro::settings(int narg, char **arg) {
    device_request.clear();
    if (narg == 0) {
        return;
    }
    if (narg > 2 || std::strcmp(arg[0], "device") != 0) {
        error->all(FLERR, "{}: unknown argument, got '{}', expected nothing or: device cpu|cuda",
                   who, narg > 2 ? arg[2] : arg[0]);
    }
    device_request = narg == 2 ? arg[1] : "";
    if (device_request != "cpu" && device_request != "cuda") {
        error->all(FLERR, "{}: unknown device, got {}, expected cpu or cuda", who,
                   narg == 2 ? "'" + device_request + "'" : "nothing");
    }
}

void PairSpinAllegro::coeff(int narg, char **arg) {
    if (narg < 3) { // LAMMPS itself has seen to the two stars
        error->all(FLERR,
                   "{}: no model file in pair_coeff, expected: pair_coeff * * model.pth and the "
                   "model's name of each of the {} atom types (NULL for a type it does not see)",
                   who, atom->ntypes);
    }
    if (!allocated) {
        allocate();
    }
    load(arg[2]);
    map_types(narg - 3, arg + 3);
}

void PairSpinAllegro::load(const std::string &path) {
    const auto [rank_on_node, ranks_on_node] = place_on_node(world);
    std::string device;
    int threads = 0;
    run_on_all(lmp, [&] {
        device = spinff::choose_device(device_request, rank_on_node, who);
        threads = spinff::limit_threads(ranks_on_node);
        model = spinff::load_model(path, device, who);
        energy = spinff::make_spin_energy(*model);
    });
    geometry_known = geometry_current = false;
    const auto &header = model->header();
    r_max = header.r_max;
    known_term.clear();
    for (const auto &term : header.terms) {
        known_term.push_back(
            std::find(spinff::known_terms.begin(), spinff::known_terms.end(), term) -
            spinff::known_terms.begin());
    }
    if (comm->me == 0) {
        utils::logmesg(lmp, "{}: {} model '{}' ({}) on {}, {} thread(s) per rank; {}\n", who,
                       header.model_class, path, header.dtype, device, threads,
                       spinff::has_couplings(header)
                           ? "spin fields from its couplings"
                           : "a run of the spins' network for each field");
    }
}

void PairSpinAllegro::map_types(int count, char **names) {
    model_type = spinff::map_type_names(
        lmp, who, {"the model", "train a model with it", model->header().type_names}, count, names);
    spinff::set_pair_flags(lmp, model_type, setflag);
}

void PairSpinAllegro::init_style() {
    spinff::check_input(lmp, who);
    if (!force->newton_pair) {
        error->all(FLERR, "{}: newton is off for pairs, expected on; use 'newton on'", who);
    }
    for (const char *style : {"^nve/spin", "^neb/spin"}) {
        if (!modify->get_fix_by_style(style).empty()) {
            error->all(FLERR,
                       "{}: fix {} is in use, got one fix of this style, expected none because it "
                       "asks for the field of one spin at a time; use fix spin/sib (with fix nve, "
                       "nvt or npt for the lattice) instead",
                       who, style + 1);
        }
    }
    check_message_passing();
    neighbor->add_request(this, NeighConst::REQ_FULL);
    only_spins_move = update->whichflag == 1;
    for (const auto *fix : modify->get_fix_list()) {
        const bool spins_only = dynamic_cast<const FixSpinSIB *>(fix) != nullptr ||
                                dynamic_cast<const FixSpinSIBZeeman *>(fix) != nullptr ||
                                utils::strmatch(fix->style, "^precession/spin$") ||
                                utils::strmatch(fix->style, "^setforce/spin$");
        only_spins_move = only_spins_move && spins_only;
    }
    moments_checked = false;
    geometry_known = geometry_current = false;
    passes_before = energy->passes();
    first_step = update->ntimestep;
}

/// Prints how often the network was run: what a step costs, and whether it is what it should be.
void PairSpinAllegro::finish() {
    const auto &now = energy->passes();
    // A rank without atoms runs no network.
    std::int64_t passes[3] = {now.forward - passes_before.forward,
                              now.backward - passes_before.backward, now.spin - passes_before.spin};
    MPI_Allreduce(MPI_IN_PLACE, passes, 3, MPI_INT64_T, MPI_MAX, world);
    if (comm->me == 0) {
        utils::logmesg(lmp,
                       "{}: network passes in {} steps and their setup: {} forward, {} backward",
                       who, update->ntimestep - first_step, passes[0], passes[1]);
        utils::logmesg(lmp, spinff::has_couplings(model->header())
                                ? std::string("\n")
                                : fmt::format(", {} of the spins' network\n", passes[2]));
    }
}

/// What a model needs whose energies depend on more than an atom's neighbours.
void PairSpinAllegro::check_message_passing() {
    const auto &header = model->header();
    if (header.strictly_local) {
        return;
    }
    if (comm->nprocs > 1) {
        error->all(FLERR,
                   "{}: the {} model passes messages between atoms, further than the ghost atoms "
                   "of a rank reach, got {} MPI ranks, expected 1; run on one rank, or use a "
                   "strictly local model (SpinAllegro)",
                   who, header.model_class, comm->nprocs);
    }
    if (atom->map_style == Atom::MAP_NONE) {
        error->all(FLERR,
                   "{}: the {} model needs the owners of ghost atoms, got no atom map, expected "
                   "one; add 'atom_modify map yes' before the box is created",
                   who, header.model_class);
    }
}

double PairSpinAllegro::init_one(int i, int j) {
    const int a = model_type[i];
    const int b = model_type[j];
    if (a < 0 || b < 0) {
        return 0.0;
    }
    const auto &cutoffs = model->header().cutoffs;
    return std::max(cutoffs[a][b], cutoffs[b][a]);
}

void *PairSpinAllegro::extract(const char *name, int &dim) {
    dim = 0;
    return std::strcmp(name, "cut") == 0 ? &r_max : nullptr;
}

double PairSpinAllegro::memory_usage() {
    const auto bytes = [](const auto &vector) {
        return static_cast<double>(vector.capacity() * sizeof(vector[0]));
    };
    double total = Pair::memory_usage() + bytes(atoms) + bytes(rows) + bytes(neighbours) +
                   bytes(spins) + bytes(result.term_energies) + bytes(result.edge_gradient) +
                   bytes(result.spin_gradient) + bytes(result.moment_lengths);
    for (const Geometry *g : {&geometry, &known}) {
        total += bytes(g->edge_vectors) + bytes(g->edge_index) + bytes(g->types) +
                 bytes(g->magnetic_edges);
    }
    return total + (energy ? static_cast<double>(energy->memory_usage()) : 0.0);
}

// === the graph ===

void PairSpinAllegro::collect_owned() {
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
int PairSpinAllegro::row_of(int i) {
    if (rows[i] < 0) {
        rows[i] = static_cast<int>(atoms.size());
        atoms.push_back(i);
        geometry.types.push_back(model_type[atom->type[i]]);
    }
    return rows[i];
}

void PairSpinAllegro::collect_edges() {
    geometry.edge_vectors.clear();
    geometry.edge_index.clear();
    geometry.magnetic_edges.clear();
    neighbours.clear();
    for (int ii = 0; ii < list->inum; ++ii) {
        if (rows[list->ilist[ii]] >= 0) {
            collect_edges_of(list->ilist[ii]);
        }
    }
    geometry.edge_index.insert(geometry.edge_index.end(), neighbours.begin(), neighbours.end());
}

void PairSpinAllegro::collect_edges_of(int i) {
    const auto &header = model->header();
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
        const double cutoff = header.cutoffs[type_i][type_j];
        if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] >= cutoff * cutoff) {
            continue;
        }
        if (header.magnetic[type_i] && header.magnetic[type_j]) {
            geometry.magnetic_edges.push_back(static_cast<std::int64_t>(neighbours.size()));
        }
        geometry.edge_vectors.insert(geometry.edge_vectors.end(), r, r + 3);
        geometry.edge_index.push_back(rows[i]);
        neighbours.push_back(row_of(graph_atom(j)));
    }
}

/// The atom that stands for a neighbour: the ghost itself or, for messages to reach it, its owner.
int PairSpinAllegro::graph_atom(int j) const {
    return model->header().strictly_local ? j : atom->map(atom->tag[j]);
}

void PairSpinAllegro::update_couplings() {
    if (!moments_checked) {
        check_moments();
    }
    collect_owned();
    collect_edges();
    geometry_current = true;
    // A lattice at rest gives the same graph again, and the network the same couplings.
    lattice_rests = geometry_known && geometry == known;
    if (!lattice_rests) {
        known = geometry;
        geometry_known = true;
        run_network([this] { energy->set_geometry(known.graph()); });
    }
}

/// Runs a part of the network on this rank; what it throws ends the run.
void PairSpinAllegro::run_network(const std::function<void()> &work) const {
    try {
        work();
    } catch (const std::exception &exception) {
        error->one(FLERR, std::string(exception.what()));
    }
}

// === energies, fields, forces ===

void PairSpinAllegro::collect_spins() {
    const bool moments = model->header().moment_mode == "input";
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

void PairSpinAllegro::add_spin_field() {
    collect_spins();
    run_network([this] { energy->gradient(spins, result.spin_gradient); });
    tally_field();
}

void PairSpinAllegro::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    if (!geometry_current) {
        update_couplings();
    }
    geometry_current = false;
    check_spins();
    collect_spins();
    const bool with_forces = !geometry.edge_vectors.empty() && forces_are_read();
    run_network([&] { energy->evaluate(spins, with_forces, result); });
    tally_energy();
    tally_field();
    if (with_forces) {
        tally_forces();
    }
    set_moments();
}

/// Whether anything can notice the forces of this step. Output of any kind is due at output->next;
/// setup is asked for forces whatever follows.
bool PairSpinAllegro::forces_are_read() const {
    return !(only_spins_move && lattice_rests) || vflag_either || update->setupflag ||
           output->next <= update->ntimestep;
}

/// Sums of the terms, and the energies of the atoms; in emag without the first term, the lattice.
void PairSpinAllegro::tally_energy() {
    check_energies();
    if (nlocal_max < atom->nlocal) {
        nlocal_max = atom->nmax;
        memory->grow(emag, nlocal_max, "pair/spin:emag");
    }
    std::fill_n(emag, atom->nlocal, 0.0);
    std::fill(term_totals.begin(), term_totals.end(), 0.0);
    const std::size_t num_terms = known_term.size();
    for (std::size_t row = 0; row < geometry.num_owned; ++row) {
        const double *terms = &result.term_energies[num_terms * row];
        const double lattice = terms[0];
        const double magnetic = std::accumulate(terms + 1, terms + num_terms, 0.0);
        for (std::size_t k = 0; k < num_terms; ++k) {
            term_totals[known_term[k]] += terms[k];
        }
        emag[atoms[row]] = magnetic;
        if (eflag_atom) {
            eatom[atoms[row]] += lattice + magnetic;
        }
    }
    if (eflag_global) {
        eng_vdwl += std::accumulate(term_totals.begin(), term_totals.end(), 0.0);
    }
}

/// fm += −(1/ħ) ∂E/∂e, where ∂E/∂e = |m| ∂E/∂m if the model's spins are moments.
void PairSpinAllegro::tally_field() {
    check_field();
    const bool moments = model->header().moment_mode == "input";
    for (std::size_t row = 0; row < atoms.size(); ++row) {
        if (!is_magnetic(row)) {
            continue;
        }
        const double length = moments ? atom->sp[atoms[row]][3] : 1.0;
        for (int a = 0; a < 3; ++a) {
            atom->fm[atoms[row]][a] -=
                length / spinff::units::hbar * result.spin_gradient[3 * row + a];
        }
    }
}

/// Writes what the model predicts for the owned atoms into sp[3]. Ghosts learn it when LAMMPS next
/// communicates; the model does not look at it.
void PairSpinAllegro::set_moments() {
    if (model->header().moment_mode != "predicted") {
        return;
    }
    for (std::size_t row = 0; row < geometry.num_owned; ++row) {
        if (is_magnetic(row)) {
            const double length = result.moment_lengths[row];
            if (!std::isfinite(length)) {
                stop_not_finite("moment of " + describe(atoms[row]), length);
            }
            atom->sp[atoms[row]][3] = length;
        }
    }
}

/// F_i += g_ij, F_j −= g_ij with g_ij = ∂E/∂r_ij, for every directed edge.
void PairSpinAllegro::tally_forces() {
    check_forces();
    double **f = atom->f;
    const std::size_t n_edges = neighbours.size();
    for (std::size_t edge = 0; edge < n_edges; ++edge) {
        const int i = atoms[geometry.edge_index[edge]];
        const int j = atoms[geometry.edge_index[n_edges + edge]];
        const double *g = &result.edge_gradient[3 * edge];
        for (int a = 0; a < 3; ++a) {
            f[i][a] += g[a];
            f[j][a] -= g[a];
        }
        if (vflag_either) {
            tally_virial(i, j, &geometry.edge_vectors[3 * edge], g);
        }
    }
}

/// W_ab = −r_a g_b of one edge, symmetrised: a coupling of spins to the lattice makes the plain
/// product unsymmetric by the torque on the spins. Half of it to each atom.
void PairSpinAllegro::tally_virial(int i, int j, const double *r, const double *g) {
    const double v[6] = {-r[0] * g[0],
                         -r[1] * g[1],
                         -r[2] * g[2],
                         -0.5 * (r[0] * g[1] + r[1] * g[0]),
                         -0.5 * (r[0] * g[2] + r[2] * g[0]),
                         -0.5 * (r[1] * g[2] + r[2] * g[1])};
    for (int k = 0; k < 6; ++k) {
        if (vflag_global) {
            virial[k] += v[k];
        }
        if (vflag_atom) {
            vatom[i][k] += 0.5 * v[k];
            vatom[j][k] += 0.5 * v[k];
        }
    }
}

void PairSpinAllegro::compute_single_pair(int, double *) {
    error->one(FLERR,
               "{}: the field of one spin at a time was asked for, which a network cannot give "
               "cheaply; use fix spin/sib",
               who);
}

// === checks ===

std::string PairSpinAllegro::describe(int i) const {
    return fmt::format("atom {} (type {})", atom->tag[i], atom->type[i]);
}

/// Every magnetic atom has a direction, and a moment where the model has a fixed one. Ghosts too,
/// so that a rank does not meet what follows from a bad one before its owner has named it.
void PairSpinAllegro::check_spins() const {
    const bool fixed = model->header().moment_mode == "fixed";
    const bool input = model->header().moment_mode == "input";
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
        error->one(FLERR,
                   "{}: magnetic {} has a bad spin at step {}, got direction ({:.8g}, {:.8g}, "
                   "{:.8g}) and moment {:.8g} muB, expected a unit vector{}{}; set it in the data "
                   "file or with set group ... spin/atom",
                   who, describe(i), update->ntimestep, sp[0], sp[1], sp[2], sp[3],
                   fixed || input ? " and a moment above 0" : "",
                   input ? ", or a moment of 0" : "");
    }
}

/// Warns where the moments of the atoms are not those the model was trained with.
void PairSpinAllegro::check_moments() {
    moments_checked = true;
    const auto &header = model->header();
    if (header.moment_mode != "fixed") {
        return;
    }
    spinff::warn_about_moments(
        lmp, who, model_type, header.type_names, header.moments, "in training",
        "the couplings are those of the model's moment, correct the data file");
}

void PairSpinAllegro::stop_not_finite(const std::string &quantity, double value) const {
    error->one(FLERR,
               "{}: {} is not a finite number at step {}, got {}; the atoms are too close or far "
               "from what the model was trained on: check the structure, units and time step",
               who, quantity, update->ntimestep, value);
}

void PairSpinAllegro::check_energies() const {
    if (all_finite(result.term_energies)) {
        return;
    }
    const auto &terms = model->header().terms;
    for (std::size_t k = 0; k < result.term_energies.size(); ++k) {
        if (!std::isfinite(result.term_energies[k])) {
            stop_not_finite(terms[k % terms.size()] + " energy of " +
                                describe(atoms[k / terms.size()]),
                            result.term_energies[k]);
        }
    }
}

void PairSpinAllegro::check_field() const {
    if (all_finite(result.spin_gradient)) {
        return;
    }
    for (std::size_t k = 0; k < result.spin_gradient.size(); ++k) {
        if (!std::isfinite(result.spin_gradient[k])) {
            stop_not_finite("spin field of " + describe(atoms[k / 3]), result.spin_gradient[k]);
        }
    }
}

void PairSpinAllegro::check_forces() const {
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
