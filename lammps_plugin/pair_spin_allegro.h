// SPDX-License-Identifier: GPL-2.0-only
//
//   pair_style spin/allegro [device cpu|cuda]
//   pair_coeff * * model.pth NAME_1 ... NAME_n      (one per atom type; NULL: not seen)
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
// An edge belongs to the rank that owns its centre, so Σ over ranks counts every directed edge
// once; forces and fields on ghosts travel back with LAMMPS' own reverse communication. A model
// that passes messages needs the edges of ghosts as well: it runs on one rank, where the owner of
// each ghost takes its place in the graph.
#ifndef SPINFF_PAIR_SPIN_ALLEGRO_H
#define SPINFF_PAIR_SPIN_ALLEGRO_H

#include "pair_spin_compat.h"
#include "spin_field_provider.h"

#include "spinff/model.hpp"
#include "spinff/spin_energy.hpp"

#include <functional>
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
    bool has_cheap_field() const override { return spinff::has_couplings(model->header()); }

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
        spinff::Graph graph() const {
            return {edge_vectors, edge_index, types, magnetic_edges, num_owned};
        }
    };

    void load(const std::string &path);
    void map_types(int count, char **names);
    void check_message_passing();
    void collect_owned();
    void collect_edges();
    void collect_edges_of(int centre_row);
    int graph_atom(int j) const;
    int row_of(int atom);
    void collect_spins();
    void run_network(const std::function<void()> &work) const;
    bool forces_are_read() const;
    bool is_magnetic(std::size_t row) const {
        return model->header().magnetic[geometry.types[row]];
    }
    void check_spins() const;
    void check_moments();
    void check_energies() const;
    void check_field() const;
    void check_forces() const;
    [[noreturn]] void stop_not_finite(const std::string &quantity, double value) const;
    std::string describe(int atom) const;
    void tally_energy();
    void tally_field();
    void tally_forces();
    void tally_virial(int i, int j, const double *r, const double *g);
    void set_moments();

    std::string device_request;
    std::unique_ptr<spinff::Model> model;
    std::unique_ptr<spinff::SpinEnergy> energy; // of `model`
    std::vector<int> model_type;                // of each LAMMPS type, -1 for NULL
    std::vector<std::size_t> known_term;        // of each term of the model: index in pvector
    double r_max = 0.0;

    Geometry geometry, known;             // `energy` knows `known`
    std::vector<int> atoms;               // LAMMPS index of each row
    std::vector<int> rows;                // row of each LAMMPS index, -1 if none
    std::vector<std::int64_t> neighbours; // second half of edge_index while it grows
    std::vector<double> spins;            // of each row, as the model takes them
    std::vector<double> term_totals;      // pvector
    spinff::Evaluation result;
    bool geometry_known = false;   // there is a `known`
    bool geometry_current = false; // ... and it is this step's: compute() need not look again
    bool lattice_rests = false;    // `geometry` is that of the call before
    bool only_spins_move = false;  // no fix of this run reads or uses forces
    bool moments_checked = false;
    spinff::NetworkPasses passes_before; // of this run
    bigint first_step = 0;               // of this run
};

} // namespace LAMMPS_NS

#endif
