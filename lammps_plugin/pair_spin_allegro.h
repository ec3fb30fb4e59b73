// SPDX-License-Identifier: GPL-2.0-only
//
//   pair_style spin/allegro [device cpu|cuda]
//   pair_coeff * * model.pth [more.pth ...] NAME_1 ... NAME_n   (one per atom type; NULL: not seen)
//
// A deployed model in LAMMPS. Its spins are the directions e = sp[0..2] or, if it takes moments as
// input, m = sp[3] e; a model that predicts moments sets sp[3].
//
//   1. update_couplings (called by fix spin/sib in pre_force, or by compute): edges of the owned
//      atoms within the model's cutoffs. A model with couplings (spinff/spin_energy.hpp) does its
//      forward pass here and keeps them.
//   2. add_spin_field: fm += −(1/ħ) ∂E/∂e, any number of times: from the kept couplings, or from a
//      call of the network where there are none.
//   3. compute: energies, fm, and the forces: by one backward pass, or by a call of the network.
//
// So with couplings a step costs one forward and one backward pass. With the lattice at rest the
// pass of step 1 is kept; in a run of nothing but spins the backward pass is left out too, except
// where forces are written, and no step calls the network.
//
// With several models the first one drives, and compute spin/deviation asks the others.
#ifndef SPINFF_PAIR_SPIN_ALLEGRO_H
#define SPINFF_PAIR_SPIN_ALLEGRO_H

#include "pair_spin_compat.h"
#include "spin_field_provider.h"
#include "spin_network.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairSpinAllegro : public PairSpin, public spinff::SpinFieldProvider {
  public:
    explicit PairSpinAllegro(class LAMMPS *);
    ~PairSpinAllegro() override;

    void settings(int, char **) override;
    void coeff(int, char **) override;
    void init_style() override;
    double init_one(int, int) override;
    void *extract(const char *, int &) override;
    double memory_usage() override;
    void compute(int, int) override;
    void compute_single_pair(int, double *) override;
    void finish() override;

    void update_couplings() override;
    void add_spin_field() override;
    bool has_cheap_field() const override { return spinff::has_couplings(driver().header()); }
    bool adds_to_ghosts() const override { return true; }
    bool has_length_gradient(int type) const override;

    /// How many models pair_coeff names.
    std::size_t num_models() const { return networks.size(); }
    /// Forces (eV/Å) and fm (rad·THz) of one of the models at the present atoms, added to those of
    /// own atoms and ghosts: what is on ghosts is still to be communicated.
    void evaluate_model(std::size_t number, double **f, double **fm);

  protected:
    void allocate() override;

  private:
    SpinNetwork &driver() const { return *networks.front(); }
    bool is_type_name(const std::string &word) const;
    bool forces_are_read() const;
    void tally_energy();
    void tally_virial();
    void set_moments();

    std::string device_request;
    std::vector<std::unique_ptr<SpinNetwork>> networks; // the first one drives
    std::vector<std::size_t> known_term;                // of each term of it: index in pvector
    std::vector<double> term_totals;                    // pvector
    double r_max = 0.0;

    bool geometry_current = false; // the driver knows this step's: compute() need not look again
    bool lattice_rests = false;    // ... and it is that of the step before
    bool only_spins_move = false;  // no fix of this run reads or uses forces
    bool moments_checked = false;
    spinff::NetworkPasses passes_before; // of this run
    bigint first_step = 0;               // of this run
};

} // namespace LAMMPS_NS

#endif
