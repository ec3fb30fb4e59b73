// SPDX-License-Identifier: GPL-2.0-only
#include "spin_pair_checks.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "pointers.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>

using namespace LAMMPS_NS;

namespace {

/// A spin is unit length to this; LAMMPS itself normalises what it reads.
constexpr double direction_tolerance = 1.0e-6;
/// A moment in the data file may differ this much from its type's before it is doubted.
constexpr double moment_tolerance = 0.05;

} // namespace

namespace spinff {

void stop_rank(LAMMPS *lmp, const std::string &message) {
    try {
        lmp->error->one(FLERR, message);
    } catch (...) {
        // Written, but a process manager under load drops what comes right before an abort.
        if (lmp->screen) {
            std::fflush(lmp->screen);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        throw;
    }
}

void check_input(LAMMPS *lmp, const std::string &who) {
    if (!lmp->atom->sp_flag) {
        lmp->error->all(FLERR,
                        "{}: wrong atom_style, got '{}', expected spin (or hybrid with spin)", who,
                        lmp->atom->get_style());
    }
    if (std::strcmp(lmp->update->unit_style, "metal") != 0) {
        lmp->error->all(FLERR, "{}: wrong units, got '{}', expected metal", who,
                        lmp->update->unit_style);
    }
    if (!lmp->atom->tag_enable) {
        lmp->error->all(FLERR, "{}: atoms have no IDs, got 'atom_modify id no', expected 'id yes'",
                        who);
    }
}

std::vector<int> map_type_names(LAMMPS *lmp, const std::string &who, const TypeSource &source,
                                int count, char **names) {
    const int ntypes = lmp->atom->ntypes;
    const auto &known = source.names;
    std::string list;
    for (const auto &name : known) {
        list += (list.empty() ? "" : ", ") + name;
    }
    if (count != ntypes) {
        lmp->error->all(FLERR,
                        "{}: too {} names in pair_coeff, got {}, expected {} (one for each atom "
                        "type, NULL for a type {} does not see; {} knows: {})",
                        who, count < ntypes ? "few" : "many", count, ntypes, source.noun,
                        source.noun, list);
    }
    std::vector<int> mapped(ntypes + 1, -1);
    for (int type = 1; type <= ntypes; ++type) {
        const std::string name = names[type - 1];
        if (name == "NULL") {
            continue;
        }
        const auto found = std::find(known.begin(), known.end(), name);
        if (found == known.end()) {
            lmp->error->all(FLERR,
                            "{}: type {} ('{}') is not in {} (knows: {}); correct pair_coeff or {}",
                            who, type, name, source.noun, list, source.remedy);
        }
        mapped[type] = static_cast<int>(found - known.begin());
    }
    if (*std::max_element(mapped.begin(), mapped.end()) < 0) {
        lmp->error->all(FLERR, "{}: all names in pair_coeff are NULL, expected at least one of: {}",
                        who, list);
    }
    return mapped;
}

void set_pair_flags(LAMMPS *lmp, const std::vector<int> &mapped, int **setflag) {
    const bool alone = !utils::strmatch(lmp->force->pair_style, "^hybrid");
    for (int i = 1; i <= lmp->atom->ntypes; ++i) {
        for (int j = i; j <= lmp->atom->ntypes; ++j) {
            setflag[i][j] = alone || (mapped[i] >= 0 && mapped[j] >= 0);
        }
    }
}

bool has_direction(const double *sp) {
    const double length2 = sp[0] * sp[0] + sp[1] * sp[1] + sp[2] * sp[2];
    return std::abs(length2 - 1.0) < direction_tolerance; // written so that NaN fails
}

void warn_about_moments(LAMMPS *lmp, const std::string &who, const std::vector<int> &mapped,
                        const std::vector<std::string> &names, const std::vector<double> &moments,
                        const std::string &expected_by, const std::string &advice) {
    const Atom *atom = lmp->atom;
    const std::size_t n = names.size();
    // Largest −|m| and |m| of each type: one reduction for the smallest and the largest moment.
    std::vector<double> extremes(2 * n, -std::numeric_limits<double>::infinity());
    for (int i = 0; i < atom->nlocal; ++i) {
        const int type = mapped[atom->type[i]];
        if (type >= 0) {
            extremes[2 * type] = std::max(extremes[2 * type], -atom->sp[i][3]);
            extremes[2 * type + 1] = std::max(extremes[2 * type + 1], atom->sp[i][3]);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, extremes.data(), static_cast<int>(2 * n), MPI_DOUBLE, MPI_MAX,
                  lmp->world);
    for (std::size_t type = 0; type < n; ++type) {
        const double smallest = -extremes[2 * type];
        const double largest = extremes[2 * type + 1];
        const double margin = moment_tolerance * moments[type];
        const bool doubtful = smallest < moments[type] - margin || largest > moments[type] + margin;
        if (lmp->comm->me == 0 && moments[type] > 0.0 && std::isfinite(largest) && doubtful) {
            lmp->error->warning(FLERR,
                                "{}: atoms of '{}' have moments of another length than {}, got "
                                "{:.6g} to {:.6g} muB in sp, expected {:.6g} muB; {}",
                                who, names[type], expected_by, smallest, largest, moments[type],
                                advice);
        }
    }
}

} // namespace spinff
