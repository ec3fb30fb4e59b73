// SPDX-License-Identifier: GPL-2.0-only
//
//   pair_style spin/allegro [device cpu|cuda]
//   pair_coeff * * model.pth NAME_1 ... NAME_n      (one per atom type; NULL: not seen)
//
// A deployed MSENN in LAMMPS: lattice energy plus E_S = ½ Σ [e_iᵀ J̃_ij e_j + K̃_ij (e_i·e_j)²] over
// directed edges, with e = sp[0..2].
//
// One step costs one forward and one backward pass of the network:
//   1. update_couplings (called by fix spin/sib in pre_force, or by compute): edges of the owned
//      atoms within the model's cutoffs; forward pass; atom energies, J̃ and K̃ are kept.
//   2. add_spin_field: fm += −(1/ħ) ∂E_S/∂e from the kept couplings, any number of times.
//   3. compute: energies, fm, and the forces by one backward pass with the weights ∂E/∂J̃, ∂E/∂K̃.
// With the lattice at rest the pass of step 1 is kept; in a run of nothing but spins the backward
// pass is left out too, except where forces are written, and no step calls the network.
//
// An edge belongs to the rank that owns its centre, so Σ over ranks counts every directed edge
// once; forces and fields on ghosts travel back with LAMMPS' own reverse communication.
#ifndef SPINFF_PAIR_SPIN_ALLEGRO_H
#define SPINFF_PAIR_SPIN_ALLEGRO_H

#include "pair_spin_compat.h"
#include "spin_field_provider.h"

#include "spinff/exchange.hpp"
#include "spinff/model.hpp"

#include <array>
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

    void update_couplings() override;
    void add_spin_field() override;

  protected:
    void allocate() override;

  private:
    /// Atoms and edges as the network sees them: owned atoms of mapped types first, then the
    /// ghosts at the end of some edge.
    struct Geometry {
        std::vector<double> edge_vectors;
        std::vector<std::int64_t> edge_index; // centres, then neighbours
        std::vector<std::int64_t> types;
        std::vector<std::int64_t> magnetic_edges;
        std::size_t num_owned = 0;

        bool operator==(const Geometry &) const = default;
    };

    void load(const std::string &path);
    void map_types(int count, char **names);
    void collect_owned();
    void collect_edges();
    void collect_edges_of(int centre_row);
    int row_of(int atom);
    bool forces_are_read() const;
    spinff::ExchangeView view() const;
    void check_spins() const;
    void check_moments();
    void check_couplings() const;
    void check_gradient() const;
    [[noreturn]] void stop_not_finite(const std::string &quantity, double value) const;
    std::string describe(int atom) const;
    void tally_energy();
    void tally_forces();
    void tally_virial(int i, int j, const double *r, const double *g);

    std::string device_request;
    std::unique_ptr<spinff::Model> model;
    std::vector<int> model_type; // of each LAMMPS type, -1 for NULL
    std::vector<double> isolated_energy;
    double r_max = 0.0;

    Geometry geometry, previous;
    std::vector<int> atoms;                // LAMMPS index of each row
    std::vector<int> rows;                 // row of each LAMMPS index, -1 if none
    std::vector<std::int64_t> neighbours;  // second half of edge_index while it grows
    std::vector<std::array<int, 2>> pairs; // magnetic edges by LAMMPS index
    spinff::Couplings couplings;
    bool couplings_kept = false;    // the couplings belong to `previous`
    bool couplings_current = false; // ... and to this step: compute() need not ask again
    bool lattice_rests = false;     // `geometry` is that of the call before
    bool only_spins_move = false;   // no fix of this run reads or uses forces
    bool moments_checked = false;
    std::vector<double> exchange_weight;    // ∂E/∂J̃ of each pair
    std::vector<double> biquadratic_weight; // ∂E/∂K̃
    std::vector<double> edge_gradient;
};

} // namespace LAMMPS_NS

#endif
