// SPDX-License-Identifier: GPL-2.0-only
#include "pair_spin_couplings.h"

#include "spin_pair_checks.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include "spinff/error.hpp"
#include "spinff/units.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

using namespace LAMMPS_NS;
using spinff::CoupledSpins;
using spinff::Vec3;

namespace {

const std::string who = "pair_style spin/couplings";

/// Bytes. A thousand couplings take a tenth of it; a trajectory given by mistake is longer.
constexpr int longest_table = 10'000'000;

/// −1/ħ, from eV to rad·THz.
constexpr double field_of_energy = -1.0 / spinff::units::hbar;

void add_field(const Vec3 &gradient, double *fm) {
    for (int a = 0; a < 3; ++a) {
        fm[a] += field_of_energy * gradient[a];
    }
}

Vec3 bond_vector(const double *from, const double *to) {
    return {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
}

} // namespace

PairSpinCouplings::PairSpinCouplings(LAMMPS *lmp) : PairSpin(lmp) {
    restartinfo = 0;
    one_coeff = 1;
    single_enable = 0;
    no_virial_fdotr_compute = 1; // no forces: the virial is 0 as it stands
    nlocal_max = 0;
    emag = nullptr;
    nextra = static_cast<int>(term_totals.size());
    pvector = term_totals.data();
}

PairSpinCouplings::~PairSpinCouplings() {
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
    memory->destroy(emag);
}

void PairSpinCouplings::allocate() {
    allocated = 1;
    const int n = atom->ntypes + 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
}

// === input commands ===

void PairSpinCouplings::settings(int narg, char **arg) {
    if (narg > 0) {
        error->all(FLERR, "{}: unknown argument, got '{}', expected nothing; remove it", who,
                   arg[0]);
    }
}

void PairSpinCouplings::coeff(int narg, char **arg) {
    if (narg < 3) { // LAMMPS itself has seen to the two stars
        error->all(FLERR,
                   "{}: no file in pair_coeff, got nothing, expected: pair_coeff * * FILE and the "
                   "file's name of each of the {} atom types (NULL for a type it does not see)",
                   who, atom->ntypes);
    }
    if (!allocated) {
        allocate();
    }
    const std::string text = read_on_rank_0(arg[2]);
    try { // the same text, and so the same failure, on all ranks
        table = spinff::parse_coupling_table(text, who + ": '" + arg[2] + "'");
    } catch (const spinff::Error &failure) {
        error->all(FLERR, std::string(failure.what()));
    }
    spins = CoupledSpins(table);
    spinff::TypeSource source = {"the table", "add it to the table", {}};
    for (const auto &species : table.species) {
        source.names.push_back(species.name);
    }
    species_of = spinff::map_type_names(lmp, who, source, narg - 3, arg + 3);
    spinff::set_pair_flags(lmp, species_of, setflag);
}

std::string PairSpinCouplings::read_on_rank_0(const std::string &path) const {
    std::string text;
    int length = -1;
    if (comm->me == 0) {
        std::ifstream file(path);
        text.resize(longest_table + 1);
        file.read(text.data(), longest_table + 1);
        if (file.gcount() > 0) {
            length = static_cast<int>(file.gcount());
        }
    }
    MPI_Bcast(&length, 1, MPI_INT, 0, world);
    if (length < 0) {
        error->all(FLERR,
                   "{}: the table cannot be read, got '{}', expected a readable file that is not "
                   "empty; correct the path in pair_coeff",
                   who, path);
    }
    if (length > longest_table) {
        error->all(FLERR,
                   "{}: '{}' is no table of couplings, got more than {} bytes, expected less; "
                   "correct the path in pair_coeff",
                   who, path, longest_table);
    }
    text.resize(length);
    MPI_Bcast(text.data(), length, MPI_CHAR, 0, world);
    return text;
}

void PairSpinCouplings::init_style() {
    spinff::check_input(lmp, who);
    neighbor->add_request(this, NeighConst::REQ_FULL);
    longest_cutoff = 0.0;
    first_match = true;
    bonds_current = false;
}

double PairSpinCouplings::init_one(int i, int j) {
    if (species_of[i] < 0 || species_of[j] < 0) {
        return 0.0;
    }
    const double cutoff = table.cutoff(species_of[i], species_of[j]);
    longest_cutoff = std::max(longest_cutoff, cutoff);
    return cutoff;
}

/// fix nve/spin sizes its sectors by it.
void *PairSpinCouplings::extract(const char *name, int &dim) {
    dim = 0;
    return std::strcmp(name, "cut") == 0 ? &longest_cutoff : nullptr;
}

double PairSpinCouplings::memory_usage() {
    return Pair::memory_usage() + static_cast<double>(spins.memory_usage()) +
           static_cast<double>(positions.capacity() * sizeof(double)) +
           static_cast<double>(spin_of.capacity() * sizeof(int));
}

// === the bonds ===

void PairSpinCouplings::update_couplings() {
    if (neighbor->ago == 0 || first_match) {
        match_bonds();
        positions_changed();
    } else if (positions_changed()) {
        check_bonds();
    }
    if (first_match) {
        warn_about_moments();
        report_matches();
        first_match = false;
    }
    bonds_current = true;
}

void PairSpinCouplings::match_bonds() {
    spins.clear();
    spin_of.assign(atom->nlocal, -1);
    for (int ii = 0; ii < list->inum; ++ii) {
        const int i = list->ilist[ii];
        const int species = species_of[atom->type[i]];
        if (species >= 0 && table.species[species].moment > 0.0) {
            spin_of[i] = static_cast<int>(spins.size());
            spins.add_atom(i, species);
            match_bonds_of(i);
        }
    }
}

/// A neighbour is on a bond, or clearly off any: what lies in between is an error, because an atom
/// that moves from one to the other would change the Hamiltonian.
void PairSpinCouplings::match_bonds_of(int i) {
    const int centre = species_of[atom->type[i]];
    for (int jj = 0; jj < list->numneigh[i]; ++jj) {
        const int j = list->firstneigh[i][jj] & NEIGHMASK;
        const int neighbour = species_of[atom->type[j]];
        if (neighbour < 0) {
            continue;
        }
        const auto match = table.nearest(centre, neighbour, bond_vector(atom->x[i], atom->x[j]));
        if (match.coupling < 0 || match.mismatch > 2.0 * table.tolerance) {
            continue;
        }
        if (match.mismatch > table.tolerance) {
            stop_off_bond(i, j, match);
        }
        spins.add_bond(j, match.coupling);
    }
}

/// Whether an atom has another position than in the last call, on this rank.
bool PairSpinCouplings::positions_changed() {
    const std::size_t length = 3 * static_cast<std::size_t>(atom->nlocal + atom->nghost);
    const double *x = length > 0 ? atom->x[0] : nullptr;
    if (positions.size() == length && std::equal(x, x + length, positions.begin())) {
        return false;
    }
    positions.assign(x, x + length);
    return true;
}

void PairSpinCouplings::check_bonds() const {
    for (std::size_t spin = 0; spin < spins.size(); ++spin) {
        const int i = spins.row(spin);
        for (const auto [j, coupling] : spins.bonds_of(spin)) {
            const Vec3 r = bond_vector(atom->x[i], atom->x[j]);
            const double mismatch = table.couplings[coupling].mismatch(r);
            if (!(mismatch <= table.tolerance)) { // so that NaN fails
                stop_off_bond(i, j, {coupling, mismatch});
            }
        }
    }
}

void PairSpinCouplings::stop_off_bond(int i, int j, spinff::CouplingMatch match) const {
    const Vec3 r = bond_vector(atom->x[i], atom->x[j]);
    spinff::stop_rank(
        lmp, fmt::format(
                 "{}: atoms {} and {} do not fit the table at step {}, got a distance of {:.6g} "
                 "angstrom, {:.3g} angstrom off {}, expected at most the tolerance of {:.3g} "
                 "angstrom; correct the structure or the table, or raise the tolerance",
                 who, atom->tag[i], atom->tag[j], update->ntimestep, std::sqrt(spinff::dot(r, r)),
                 match.mismatch, table.describe(table.couplings[match.coupling]), table.tolerance));
}

void PairSpinCouplings::warn_about_moments() const {
    std::vector<std::string> names;
    std::vector<double> moments;
    for (const auto &species : table.species) {
        names.push_back(species.name);
        moments.push_back(species.moment);
    }
    spinff::warn_about_moments(lmp, who, species_of, names, moments, "in the table",
                               "the rates of the spins follow sp: correct it or the table");
}

/// Once in a run: how many bonds there are, and which entries of the table have none, the sign of a
/// wrong lattice constant or orientation.
void PairSpinCouplings::report_matches() const {
    std::vector<bigint> bonds_of_entry(table.couplings.size() + 1, 0); // entries count from 1
    for (std::size_t spin = 0; spin < spins.size(); ++spin) {
        for (const auto &bond : spins.bonds_of(spin)) {
            ++bonds_of_entry[table.couplings[bond.coupling].entry];
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, bonds_of_entry.data(), static_cast<int>(bonds_of_entry.size()),
                  MPI_LMP_BIGINT, MPI_SUM, world);
    const bigint total = std::accumulate(bonds_of_entry.begin(), bonds_of_entry.end(), bigint(0));
    if (comm->me == 0) {
        utils::logmesg(lmp, "{}: {} bonds, each counted at both ends\n", who, total);
    }
    const auto in_use = [&](int species) {
        return std::find(species_of.begin() + 1, species_of.end(), species) != species_of.end();
    };
    for (const auto &coupling : table.couplings) {
        if (!in_use(coupling.centre) || !in_use(coupling.neighbour) ||
            bonds_of_entry[coupling.entry] > 0) {
            continue;
        }
        if (total == 0) {
            error->all(FLERR,
                       "{}: no pair of atoms is a bond of the table, got none for {} and all "
                       "others, expected some; the lattice constant, the orientation or the names "
                       "in pair_coeff are not the table's",
                       who, table.describe(coupling));
        }
        if (comm->me == 0) {
            error->warning(FLERR,
                           "{}: no pair of atoms is a bond of {}, expected some; check the lattice "
                           "against the table",
                           who, table.describe(coupling));
        }
        return;
    }
}

// === energies and fields ===

void PairSpinCouplings::add_spin_field() {
    if (spins.size() > 0) {
        spins.add_gradients(field_of_energy, directions(), {atom->fm[0], 3});
    }
}

void PairSpinCouplings::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    if (!bonds_current) {
        update_couplings();
    }
    bonds_current = false;
    if (nlocal_max < atom->nlocal) {
        nlocal_max = atom->nmax;
        memory->grow(emag, nlocal_max, "pair/spin:emag");
    }
    std::fill_n(emag, atom->nlocal, 0.0);
    term_totals.fill(0.0);
    for (std::size_t spin = 0; spin < spins.size(); ++spin) {
        const int i = spins.row(spin);
        check_spin(i);
        const auto sums = spins.contract(spin, directions());
        tally(i, sums.energy());
        add_field(sums.gradient(), atom->fm[i]);
    }
}

void PairSpinCouplings::tally(int i, const Terms &terms) {
    double energy = 0.0;
    for (std::size_t k = 0; k < terms.size(); ++k) {
        term_totals[k] += terms[k];
        energy += terms[k];
    }
    emag[i] = energy;
    if (eflag_global) {
        eng_vdwl += energy;
    }
    if (eflag_atom) {
        eatom[i] += energy;
    }
}

/// fix nve/spin asks for the field of one spin at a time.
void PairSpinCouplings::compute_single_pair(int i, double *fm) {
    if (spin_of[i] >= 0) {
        add_field(spins.contract(spin_of[i], directions()).gradient(), fm);
    }
}

/// LAMMPS keeps sp in one piece, four numbers for each atom.
spinff::Rows<const double> PairSpinCouplings::directions() const {
    return {atom->sp[0], 4};
}

void PairSpinCouplings::check_spin(int i) const {
    const double *sp = atom->sp[i];
    if (!spinff::has_direction(sp) || !(sp[3] > 0.0)) {
        spinff::stop_rank(
            lmp,
            fmt::format(
                "{}: magnetic atom {} (type {}) has a bad spin at step {}, got direction "
                "({:.8g}, {:.8g}, {:.8g}) and moment {:.8g} muB, expected a unit vector and "
                "a moment above 0; set it in the data file or with set group ... spin/atom",
                who, atom->tag[i], atom->type[i], update->ntimestep, sp[0], sp[1], sp[2], sp[3]));
    }
}
