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

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace LAMMPS_NS;

namespace {

const std::string who = "pair_style spin/allegro";

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

/// FILE ... NAME_1 ... NAME_n, a name for each atom type.
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
    networks.clear();
    int next = 2;
    do {
        networks.push_back(std::make_unique<SpinNetwork>(lmp, who, arg[next++], device_request));
    } while (next < narg - atom->ntypes && !is_type_name(arg[next]));
    for (auto &network : networks) {
        network->map_types(narg - next, arg + next);
    }
    spinff::set_pair_flags(lmp, driver().types(), setflag);
    geometry_current = false;
    r_max = 0.0;
    for (const auto &network : networks) {
        r_max = std::max(r_max, network->header().r_max);
    }
    known_term.clear();
    for (const auto &term : driver().header().terms) {
        known_term.push_back(
            std::find(spinff::known_terms.begin(), spinff::known_terms.end(), term) -
            spinff::known_terms.begin());
    }
}

/// Whether an argument is a name of the first model, or NULL, and so no further file.
bool PairSpinAllegro::is_type_name(const std::string &word) const {
    const auto &names = driver().header().type_names;
    return word == "NULL" || std::find(names.begin(), names.end(), word) != names.end();
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
    for (auto &network : networks) {
        network->check_message_passing();
        network->forget();
    }
    neighbor->add_request(this, NeighConst::REQ_FULL);
    only_spins_move = update->whichflag == 1 || utils::strmatch(update->minimize_style, "^spin");
    for (const auto *fix : modify->get_fix_list()) {
        const bool spins_only = dynamic_cast<const FixSpinSIB *>(fix) != nullptr ||
                                dynamic_cast<const FixSpinSIBZeeman *>(fix) != nullptr ||
                                utils::strmatch(fix->style, "^MINIMIZE$") || // of a minimiser
                                utils::strmatch(fix->style, "^precession/spin$") ||
                                utils::strmatch(fix->style, "^setforce/spin$");
        only_spins_move = only_spins_move && spins_only;
    }
    moments_checked = false;
    geometry_current = false;
    passes_before = driver().passes();
    first_step = update->ntimestep;
}

/// Prints how often the network was run: what a step costs, and whether it is what it should be.
void PairSpinAllegro::finish() {
    const auto &now = driver().passes();
    // A rank without atoms runs no network.
    std::int64_t passes[3] = {now.forward - passes_before.forward,
                              now.backward - passes_before.backward, now.spin - passes_before.spin};
    MPI_Allreduce(MPI_IN_PLACE, passes, 3, MPI_INT64_T, MPI_MAX, world);
    if (comm->me == 0) {
        utils::logmesg(lmp,
                       "{}: network passes in {} steps and their setup: {} forward, {} backward",
                       who, update->ntimestep - first_step, passes[0], passes[1]);
        utils::logmesg(lmp, spinff::has_couplings(driver().header())
                                ? std::string("\n")
                                : fmt::format(", {} of the spins' network\n", passes[2]));
    }
}

double PairSpinAllegro::init_one(int i, int j) {
    double longest = 0.0;
    for (const auto &network : networks) {
        longest = std::max(longest, network->cutoff(i, j));
    }
    return longest;
}

void *PairSpinAllegro::extract(const char *name, int &dim) {
    dim = 0;
    return std::strcmp(name, "cut") == 0 ? &r_max : nullptr;
}

double PairSpinAllegro::memory_usage() {
    double total = Pair::memory_usage();
    for (const auto &network : networks) {
        total += static_cast<double>(network->memory_usage());
    }
    return total;
}

// === energies, fields, forces ===

void PairSpinAllegro::update_couplings() {
    if (!moments_checked) {
        driver().check_moments();
        moments_checked = true;
    }
    lattice_rests = driver().set_geometry(list);
    geometry_current = true;
}

void PairSpinAllegro::add_spin_field() {
    driver().gradient();
    driver().add_field(atom->fm);
}

bool PairSpinAllegro::has_length_gradient(int type) const {
    const int known = driver().types()[type];
    return driver().header().moment_mode == "input" && known >= 0 &&
           driver().header().magnetic[known];
}

void PairSpinAllegro::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    if (!geometry_current) {
        update_couplings();
    }
    geometry_current = false;
    driver().check_spins();
    const bool with_forces = driver().num_edges() > 0 && forces_are_read();
    driver().evaluate(with_forces);
    tally_energy();
    driver().add_field(atom->fm);
    if (with_forces) {
        driver().add_forces(atom->f);
    }
    if (with_forces && vflag_either) {
        tally_virial();
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
    if (nlocal_max < atom->nlocal) {
        nlocal_max = atom->nmax;
        memory->grow(emag, nlocal_max, "pair/spin:emag");
    }
    std::fill_n(emag, atom->nlocal, 0.0);
    std::fill(term_totals.begin(), term_totals.end(), 0.0);
    const std::size_t num_terms = known_term.size();
    for (std::size_t row = 0; row < driver().num_owned(); ++row) {
        const double *terms = &driver().values().term_energies[num_terms * row];
        const double lattice = terms[0];
        const double magnetic = std::accumulate(terms + 1, terms + num_terms, 0.0);
        for (std::size_t k = 0; k < num_terms; ++k) {
            term_totals[known_term[k]] += terms[k];
        }
        emag[driver().atom_of(row)] = magnetic;
        if (eflag_atom) {
            eatom[driver().atom_of(row)] += lattice + magnetic;
        }
    }
    if (eflag_global) {
        eng_vdwl += std::accumulate(term_totals.begin(), term_totals.end(), 0.0);
    }
}

/// Writes what the model predicts for the owned atoms into sp[3]. Ghosts learn it when LAMMPS next
/// communicates; the model does not look at it.
void PairSpinAllegro::set_moments() {
    if (driver().header().moment_mode != "predicted") {
        return;
    }
    for (std::size_t row = 0; row < driver().num_owned(); ++row) {
        if (driver().is_magnetic(row)) {
            const double length = driver().values().moment_lengths[row];
            const int i = driver().atom_of(row);
            if (!std::isfinite(length)) {
                driver().stop_not_finite("moment of " + driver().describe(i), length);
            }
            atom->sp[i][3] = length;
        }
    }
}

/// W_ab = −r_a g_b of each edge, symmetrised: a coupling of spins to the lattice makes the plain
/// product unsymmetric by the torque on the spins. Half of it to each atom.
void PairSpinAllegro::tally_virial() {
    for (std::size_t number = 0; number < driver().num_edges(); ++number) {
        const SpinNetwork::Edge e = driver().edge(number);
        const double *r = e.r;
        const double *g = e.gradient;
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
                vatom[e.i][k] += 0.5 * v[k];
                vatom[e.j][k] += 0.5 * v[k];
            }
        }
    }
}

void PairSpinAllegro::compute_single_pair(int, double *) {
    spinff::stop_rank(
        lmp, fmt::format(
                 "{}: the field of one spin at a time was asked for, which a network cannot give "
                 "cheaply; use fix spin/sib",
                 who));
}

// === several models ===

void PairSpinAllegro::evaluate_model(std::size_t number, double **f, double **fm) {
    SpinNetwork &network = *networks.at(number);
    network.set_geometry(list);
    network.evaluate(true);
    network.add_forces(f);
    network.add_field(fm);
}
