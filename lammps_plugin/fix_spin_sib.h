// SPDX-License-Identifier: GPL-2.0-only

#ifdef FIX_CLASS
// clang-format off
FixStyle(spin/sib,FixSpinSIB);
// clang-format on
#else

#ifndef LMP_FIX_SPIN_SIB_H
#define LMP_FIX_SPIN_SIB_H

#include "fix.h"

#include "spinff/sib.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace spinff {
class SpinFieldProvider;
}

namespace LAMMPS_NS {

class PairSpin;

/// Integrates the spins, and only the spins, of a group with the semi-implicit scheme of Mentink et
/// al. (spinff/sib.hpp has the equations); fix nve, nvt, npt, or nothing, moves the atoms.
///
/// One time step dt (docs/fix_spin_sib.md):
///  1. initial_integrate   lattice fixes: half kick, drift
///  2. pre_force           couplings at the new positions; SIB step of dt/2 (two field evaluations)
///  3. pair compute        forces and fm with the half-stepped spins
///  4. final_integrate     lattice fixes: half kick; SIB step of dt/2 (one field evaluation, since
///                         fm of 3. is the field at its beginning)
/// At each set of positions this is  spins dt/2, kick, spins dt/2: symmetric and second order.
///
/// Several fixes of this style (disjoint groups) step together: the first one leads.
class FixSpinSIB : public Fix {
  public:
    FixSpinSIB(class LAMMPS *lmp, int narg, char **arg);

    int setmask() override;
    void init() override;
    void setup(int vflag) override;
    void min_setup(int vflag) override;
    void pre_force(int vflag) override;
    void post_force(int vflag) override;
    void min_post_force(int vflag) override;
    void final_integrate() override;
    double compute_scalar() override;
    double memory_usage() override;

    int pack_forward_comm(int n, int *list, double *buf, int pbc_flag, int *pbc) override;
    void unpack_forward_comm(int n, int first, double *buf) override;
    int pack_reverse_comm(int n, int first, double *buf) override;
    void unpack_reverse_comm(int n, int *list, double *buf) override;

  private:
    /// Which of the two SIB steps of a time step; separates their noise.
    enum Stage : std::uint32_t { BEFORE_FORCES = 0, AFTER_FORCES = 1 };

    /// A spin on its way through one SIB step.
    struct MovingSpin {
        int atom;           ///< local index
        double rate;        ///< rate factor: omega = rate * fm
        spinff::Vec3 noise; ///< eta, rad/ps
        spinff::Vec3 start; ///< s_n
        spinff::Vec3 now;   ///< s_m after the predictor, s_{n+1} after the corrector
    };

    double alpha = 0.0;                   // Gilbert damping
    double t_start = 0.0, t_stop = 0.0;   // K
    std::uint32_t seed = 0;               // 0: none given
    double g_factor;                      // dimensionless
    spinff::Vec3 magnetic_field{0, 0, 0}; // T
    bool temp_flag = false, zeeman_flag = false;
    spinff::SpinConvention convention = spinff::SpinConvention::physical;
    double zeeman_energy = 0.0; // eV, own atoms, with the spins of the last post_force

    std::vector<FixSpinSIB *> team; // all fixes of this style; the first one leads
    std::vector<spinff::SpinFieldProvider *> providers;
    std::vector<PairSpin *> stock_pairs;
    std::vector<Fix *> contributors; // fixes whose post_force() adds to fm

    std::vector<MovingSpin> moving;
    std::vector<double> saved_fm;

    void parse(int narg, char **arg);
    double number(int narg, char **arg, int iarg, const char *keyword);
    void check_arguments();
    void check_other_fixes();
    bool shares_atoms(const Fix *other);
    void find_field_sources();
    void warn_about_lattice();
    void warn_about_lammps_zeeman();

    bool leads() const { return team.front() == this; }
    double target_temperature() const;
    void half_step(Stage stage);
    void begin(Stage stage, double dt);
    void predict(double dt);
    void correct(double dt);
    void evaluate_field();
    void tally_contributors_at_start();
    std::pair<double *, double *> field_range() const;
    void save_field();
    void restore_field();
    void clear_field();
    void check_finite(const double *vector, int atom_index, const char *quantity);
};

} // namespace LAMMPS_NS

#endif
#endif
