// SPDX-License-Identifier: GPL-2.0-only
//
//   pair_style spin/couplings
//   pair_coeff * * FILE NAME_1 ... NAME_n      (one per atom type; NULL: not seen)
//
// The spin Hamiltonian with constant J, K and A from a table (spinff/coupling_table.hpp), without a
// network. The energy does not depend on the positions: there are no forces and no virial.
//
//   1. update_couplings (called by fix spin/sib in pre_force, or by compute): matches the
//      neighbours of the owned atoms with the bonds of the table when the neighbour list is new;
//      otherwise, if an atom has moved, checks that every bond is still where the table has it.
//   2. add_spin_field: fm += −(1/ħ) ∂E/∂e, any number of times.
//   3. compute: energies and fm.
//
// A bond is listed at both of its ends, each by the rank that owns that end. So Σ over ranks counts
// every directed bond once, and the field of an owned atom is complete without other ranks.
#ifndef SPINFF_PAIR_SPIN_COUPLINGS_H
#define SPINFF_PAIR_SPIN_COUPLINGS_H

#include "pair_spin_compat.h"
#include "spin_field_provider.h"

#include "spinff/coupled_spins.hpp"
#include "spinff/coupling_table.hpp"

#include <array>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairSpinCouplings : public PairSpin, public spinff::SpinFieldProvider {
  public:
    explicit PairSpinCouplings(class LAMMPS *);
    ~PairSpinCouplings() override;

    void settings(int, char **) override;
    void coeff(int, char **) override;
    void init_style() override;
    double init_one(int, int) override;
    void *extract(const char *, int &) override;
    double memory_usage() override;
    void compute(int, int) override;
    void compute_single_pair(int, double *) override;

    void update_couplings() override;
    void add_spin_field() override;
    bool has_cheap_field() const override { return true; }
    bool adds_to_ghosts() const override { return false; }
    bool has_length_gradient(int /*type*/) const override { return false; }

  protected:
    void allocate() override;

  private:
    using Terms = std::array<double, spinff::CoupledSpins::num_terms>;

    std::string read_on_rank_0(const std::string &path) const;
    void match_bonds();
    void match_bonds_of(int i);
    void check_bonds() const;
    bool positions_changed();
    void warn_about_moments() const;
    void report_matches() const;
    void check_spin(int i) const;
    void tally(int i, const Terms &terms);
    spinff::Rows<const double> directions() const;
    [[noreturn]] void stop_off_bond(int i, int j, spinff::CouplingMatch match) const;

    spinff::CouplingTable table;
    std::vector<int> species_of; // of each LAMMPS type, −1 for NULL
    double longest_cutoff = 0.0;

    spinff::CoupledSpins spins;    // the owned magnetic atoms; rows are LAMMPS' indices
    std::vector<int> spin_of;      // of each owned atom: its place in `spins`, −1 if none
    std::vector<double> positions; // of owned and ghost atoms when the bonds were last checked
    Terms term_totals{};           // pvector
    bool bonds_current = false;    // they are this step's: compute() need not look again
    bool first_match = false;      // the next match is the first one of a run
};

} // namespace LAMMPS_NS

#endif
