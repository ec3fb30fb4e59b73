// SPDX-License-Identifier: GPL-2.0-only

#ifdef FIX_CLASS
// clang-format off
FixStyle(spin/sib,FixSpinSIB);
// clang-format on
#else

#ifndef LMP_FIX_SPIN_SIB_H
#define LMP_FIX_SPIN_SIB_H

#include "fix.h"

#include "spinff/longitudinal.hpp"
#include "spinff/sib.hpp"

#include <array>
#include <cstdint>
#include <map>
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
///  1. initial_integrate   SIB step of dt/2 on the couplings of the old positions (one field
///                         evaluation, since fm is the field at its beginning, and where it is
///                         cheap one more for the heat); lattice fixes: half kick, drift
///  2. pre_force           couplings at the new positions; SIB step of dt/2 (two field evaluations)
///  3. pair compute        forces and fm with these spins
///  4. final_integrate     lattice fixes: half kick
/// At each set of positions this is  spins dt/2, kick, spins dt/2: symmetric and second order. With
/// substeps each spins dt/2 is that many SIB steps on the same couplings. With longitudinal the
/// lengths of the moments take part in these steps and their field evaluations
/// (spinff/longitudinal.hpp). A step ends with the spins that its forces, fields and energies were
/// computed with, so that setup() finds the same again and a run that is cut in two goes on as if
/// it were not.
///
/// Several fixes of this style (disjoint groups) step together: the first one leads.
class FixSpinSIB : public Fix {
  public:
    FixSpinSIB(class LAMMPS *lmp, int narg, char **arg);
    ~FixSpinSIB() override;

    int setmask() override;
    void post_constructor() override;
    void init() override;
    void setup(int vflag) override;
    void min_setup(int vflag) override;
    void initial_integrate(int vflag) override;
    void pre_force(int vflag) override;
    void post_force(int vflag) override;
    void min_post_force(int vflag) override;
    void final_integrate() override;
    double compute_scalar() override;
    double compute_vector(int index) override;
    void write_restart(FILE *file) override;
    void restart(char *state) override;
    double memory_usage() override;

    /// Energy of the zeeman keyword (eV), of all ranks.
    double total_zeeman_energy() const;

    int pack_forward_comm(int n, int *list, double *buf, int pbc_flag, int *pbc) override;
    void unpack_forward_comm(int n, int first, double *buf) override;
    int pack_reverse_comm(int n, int first, double *buf) override;
    void unpack_reverse_comm(int n, int *list, double *buf) override;

  private:
    /// Which half of a time step; with the number of the substep it separates their noise.
    enum Stage : std::uint32_t { OLD_POSITIONS = 0, NEW_POSITIONS = 1, NUM_STAGES };

    /// What the noise is for, added to the stage: more than max_substeps * NUM_STAGES apart.
    enum Draw : std::uint32_t { DIRECTION = 0, LENGTH_FIRST = 1 << 16, LENGTH_SECOND = 2 << 16 };

    /// Components of the global vector.
    enum Output { ZEEMAN_ENERGY, SPIN_TEMPERATURE, NUM_OUTPUTS };

    /// A spin on its way through one SIB step.
    struct MovingSpin {
        MovingSpin() {}     // leaves all as it is: zeroing it costs time, and predict() fills it
        int atom;           ///< local index
        double rate;        ///< rate factor at the start: omega = rate * fm
        double alpha;       ///< Gilbert damping
        double length;      ///< |m| at the start, muB
        spinff::Vec3 noise; ///< eta at this rate, rad/ps, 0 without a bath
        spinff::Vec3 start; ///< s_n
        spinff::Vec3 field; ///< fm at the start, rad/ps
        spinff::Vec3 now;   ///< s_m after the predictor
        spinff::Vec3 moved; ///< the moment by the bath, after the corrector, over its length there
        // with longitudinal, muB:
        spinff::Vec3 first_kick;  ///< w_1
        spinff::Vec3 second_kick; ///< w_2
        spinff::Vec3 half_way;    ///< X_h after the predictor
    };

    double alpha = 0.0;                   // Gilbert damping of the types without one of their own
    double mobility = 0.0;                // of the lengths, muB^2/(eV ps); 0: they are fixed
    std::map<int, double> type_alpha;     // by atom type
    int substeps = 1;                     // SIB steps of half a time step
    double t_start = 0.0, t_stop = 0.0;   // K
    std::uint32_t seed = 0;               // 0: none given
    double g_factor;                      // dimensionless
    spinff::Vec3 magnetic_field{0, 0, 0}; // T
    bool temp_flag = false, zeeman_flag = false;
    spinff::SpinConvention convention = spinff::SpinConvention::physical;
    double zeeman_energy = 0.0; // eV, own atoms, with the spins of the last post_force
    std::string zeeman_id;      // of the fix that adds it to the potential energy
    // What the bath has taken from the spins (eV): on all ranks up to the last write_restart() or
    // restart(), and since then on this one.
    double bath_energy_before = 0.0, bath_energy_since = 0.0;
    // eV, of the last SIB step with the field at its start and with that of its corrector
    double heat_at_start = 0.0, heat_at_midpoint = 0.0;
    bool reverse_field = false;      // fields of ghosts are parts of those of their owners
    bool cheap_last_field = false;   // see initial_integrate()
    bool old_positions_open = false; // the heat of the step at the old positions is not tallied yet
    std::array<int, NUM_OUTPUTS> output_is_extensive = {1, 0};

    std::vector<FixSpinSIB *> team; // all fixes of this style; the first one leads
    std::vector<spinff::SpinFieldProvider *> providers;
    std::vector<PairSpin *> stock_pairs;
    std::vector<Fix *> contributors; // fixes whose post_force() adds to fm

    std::vector<MovingSpin> moving;
    std::vector<double> force_positions; // x of the last forces, for stock_pairs

    void parse(int narg, char **arg);
    double number(int narg, char **arg, int iarg, const char *keyword);
    void parse_type_alpha(int narg, char **arg, int iarg);
    void check_arguments();
    void check_damping();
    void check_other_fixes();
    bool shares_atoms(const Fix *other);
    void find_field_sources();
    void warn_about_lattice();
    void warn_about_lammps_zeeman();

    bool leads() const { return team.front() == this; }
    double damping(int type) const;
    double target_temperature() const;
    double spin_temperature() const;
    void tally_zeeman(int i);
    void save_positions();
    void swap_positions();
    void find_out_what_moves();
    void check_longitudinal();
    void tally_open_step();
    void tally_heat();
    void half_step(Stage stage);
    void predict(std::uint32_t stage, double dt);
    bool moves(int i) const;
    void find_moving();
    void draw_noise(std::uint32_t stage, double dt);
    spinff::Vec3 draw(int i, std::uint32_t number, double amplitude) const;
    void correct(double dt);
    spinff::Vec3 turning_field(int i, const spinff::Vec3 &field) const;
    void predict_length(MovingSpin &spin, double dt);
    double correct_length(const MovingSpin &spin, const spinff::Vec3 &field, double dt);
    double length_velocity(int i, const spinff::Vec3 &field) const;
    void evaluate_field();
    std::pair<double *, double *> own_and_ghosts(double **vectors) const;
    void clear_field();
    [[noreturn]] void stop_not_finite(int first);
    [[noreturn]] void stop_at(const double *vector, int atom_index, const char *quantity);
    void check_length(int atom_index);
};

} // namespace LAMMPS_NS

#endif
#endif
