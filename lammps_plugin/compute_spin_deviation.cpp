// SPDX-License-Identifier: GPL-2.0-only
#include "compute_spin_deviation.h"

#include "pair_spin_allegro.h"

#include "spinff/units.hpp"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "update.h"

#include <algorithm>
#include <cmath>

using namespace LAMMPS_NS;

namespace {

/// Of an atom in `values`: three of its force, three of its torque field.
constexpr int width = 6;

} // namespace

ComputeSpinDeviation::ComputeSpinDeviation(LAMMPS *lmp, int narg, char **arg)
    : Compute(lmp, narg, arg) {
    if (narg != 3) {
        error->all(FLERR, "compute spin/deviation: unknown argument, got '{}', expected none",
                   arg[3]);
    }
    vector_flag = 1;
    size_vector = 4;
    extvector = 0;
    peratom_flag = 1;
    size_peratom_cols = 2;
    comm_forward = 4;
    comm_reverse = width;
    vector = new double[size_vector];
}

ComputeSpinDeviation::~ComputeSpinDeviation() {
    delete[] vector;
    memory->destroy(array_atom);
    memory->destroy(forces);
    memory->destroy(fields);
}

void ComputeSpinDeviation::init() {
    pair = dynamic_cast<PairSpinAllegro *>(force->pair_match("^spin/allegro", 0));
    if (!pair) {
        error->all(FLERR,
                   "compute spin/deviation: no pair_style spin/allegro, or more than one, "
                   "got pair_style {}, expected one; it is its models that are compared",
                   force->pair_style ? force->pair_style : "none");
    }
    if (pair->num_models() < 2) {
        error->all(FLERR, "compute spin/deviation: nothing to compare, got 1 model in pair_coeff, "
                          "expected 2 or more: pair_coeff * * a.pth b.pth NAMES");
    }
}

/// For own atoms and ghosts.
void ComputeSpinDeviation::grow() {
    if (atom->nmax <= nmax) {
        return;
    }
    nmax = atom->nmax;
    memory->destroy(array_atom);
    memory->destroy(forces);
    memory->destroy(fields);
    memory->create(array_atom, nmax, size_peratom_cols, "spin/deviation:array_atom");
    memory->create(forces, nmax, 3, "spin/deviation:force");
    memory->create(fields, nmax, 3, "spin/deviation:field");
}

void ComputeSpinDeviation::compute_peratom() {
    invoked_peratom = update->ntimestep;
    grow();
    comm->forward_comm(this); // the spins may have moved since the forces
    values.assign(pair->num_models() * width * atom->nlocal, 0.0);
    for (std::size_t model = 0; model < pair->num_models(); ++model) {
        evaluate(model);
    }
    for (int i = 0; i < atom->nlocal; ++i) {
        const bool in_group = atom->mask[i] & groupbit;
        array_atom[i][0] = in_group ? deviation(i, 0) : 0.0;
        array_atom[i][1] = in_group ? deviation(i, 3) : 0.0;
    }
}

void ComputeSpinDeviation::evaluate(std::size_t model) {
    const int nall = atom->nlocal + atom->nghost;
    for (int i = 0; i < nall; ++i) {
        std::fill_n(forces[i], 3, 0.0);
        std::fill_n(fields[i], 3, 0.0);
    }
    pair->evaluate_model(model, forces, fields);
    comm->reverse_comm(this);
    for (int i = 0; i < atom->nlocal; ++i) {
        const double *e = atom->sp[i];
        const double *fm = fields[i];
        const double along = fm[0] * e[0] + fm[1] * e[1] + fm[2] * e[2];
        double *value = &values[width * (model * atom->nlocal + i)];
        for (int a = 0; a < 3; ++a) {
            value[a] = forces[i][a];
            value[3 + a] = spinff::units::hbar * (fm[a] - along * e[a]);
        }
    }
}

/// √⟨|v − ⟨v⟩|²⟩ over the models of three numbers of an own atom.
double ComputeSpinDeviation::deviation(int i, int first) const {
    const auto count = static_cast<double>(pair->num_models());
    double total = 0.0;
    for (int a = first; a < first + 3; ++a) {
        const auto value = [&](std::size_t model) {
            return values[width * (model * atom->nlocal + i) + a];
        };
        double mean = 0.0;
        for (std::size_t model = 0; model < pair->num_models(); ++model) {
            mean += value(model) / count;
        }
        for (std::size_t model = 0; model < pair->num_models(); ++model) {
            total += (value(model) - mean) * (value(model) - mean) / count;
        }
    }
    return std::sqrt(total);
}

/// Largest and mean deviation of forces, then of spin forces. The mean of the latter is over the
/// atoms that have a moment.
void ComputeSpinDeviation::compute_vector() {
    invoked_vector = update->ntimestep;
    if (invoked_peratom != update->ntimestep) {
        compute_peratom();
    }
    double largest[2] = {0.0, 0.0};
    double sums[4] = {0.0, 0.0, 0.0, 0.0}; // of both, and the atoms they are of
    for (int i = 0; i < atom->nlocal; ++i) {
        if (!(atom->mask[i] & groupbit)) {
            continue;
        }
        const bool counts[2] = {true, atom->sp[i][3] != 0.0};
        for (int k = 0; k < 2; ++k) {
            largest[k] = std::max(largest[k], array_atom[i][k]);
            sums[k] += array_atom[i][k];
            sums[2 + k] += counts[k] ? 1.0 : 0.0;
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, largest, 2, MPI_DOUBLE, MPI_MAX, world);
    MPI_Allreduce(MPI_IN_PLACE, sums, 4, MPI_DOUBLE, MPI_SUM, world);
    for (int k = 0; k < 2; ++k) {
        vector[2 * k] = largest[k];
        vector[2 * k + 1] = sums[k] / std::max(sums[2 + k], 1.0);
    }
}

double ComputeSpinDeviation::memory_usage() {
    return static_cast<double>(values.capacity() * sizeof(double)) +
           static_cast<double>(nmax) * (size_peratom_cols + width) * sizeof(double);
}

// === communication: spins to ghosts, forces and fields of ghosts back ===

int ComputeSpinDeviation::pack_forward_comm(int n, int *list, double *buf, int /*pbc_flag*/,
                                            int * /*pbc*/) {
    for (int k = 0; k < n; ++k) {
        buf = std::copy_n(atom->sp[list[k]], 4, buf);
    }
    return 4 * n;
}

void ComputeSpinDeviation::unpack_forward_comm(int n, int first, double *buf) {
    for (int k = 0; k < n; ++k) {
        std::copy_n(buf + 4 * k, 4, atom->sp[first + k]);
    }
}

int ComputeSpinDeviation::pack_reverse_comm(int n, int first, double *buf) {
    for (int k = 0; k < n; ++k) {
        buf = std::copy_n(forces[first + k], 3, buf);
        buf = std::copy_n(fields[first + k], 3, buf);
    }
    return width * n;
}

void ComputeSpinDeviation::unpack_reverse_comm(int n, int *list, double *buf) {
    for (int k = 0; k < n; ++k) {
        for (int a = 0; a < 3; ++a) {
            forces[list[k]][a] += buf[width * k + a];
            fields[list[k]][a] += buf[width * k + 3 + a];
        }
    }
}
