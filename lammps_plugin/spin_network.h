// SPDX-License-Identifier: GPL-2.0-only
//
// A deployed model on the atoms of this rank: its graph, its spins, and what it says of them. Pair
// style spin/allegro has one for each of its models; nothing here adds to LAMMPS' own tallies.
//
// An edge belongs to the rank that owns its centre, so Σ over ranks counts every directed edge
// once; forces and fields on ghosts travel back with a reverse communication. A model that passes
// messages needs the edges of ghosts as well: it runs on one rank, where the owner of each ghost
// takes its place in the graph.
#ifndef SPINFF_SPIN_NETWORK_H
#define SPINFF_SPIN_NETWORK_H

#include "pointers.h"

#include "spinff/model.hpp"
#include "spinff/spin_energy.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class NeighList;

class SpinNetwork : protected Pointers {
  public:
    /// Loads a deployed model on all ranks; one that fails ends the run with its sentence.
    SpinNetwork(LAMMPS *lmp, const std::string &who, const std::string &path,
                const std::string &device_request);

    const spinff::ModelHeader &header() const { return model->header(); }
    const spinff::NetworkPasses &passes() const { return energy->passes(); }
    std::size_t memory_usage() const;

    /// The model's name of each atom type; NULL for one that it does not see.
    void map_types(int count, char **names);
    /// Index in header().type_names of each LAMMPS type (from 1), −1 for NULL.
    const std::vector<int> &types() const { return model_type; }
    /// Å, the longer one of both directions; 0 if one of the types is not seen.
    double cutoff(int itype, int jtype) const;

    /// Stops where this model cannot run: messages between ranks.
    void check_message_passing() const;
    /// Stops at a magnetic atom without a unit direction, or without a moment that is needed.
    void check_spins() const;
    /// Warns where the moments of the atoms are not those the model was trained with.
    void check_moments() const;

    /// What was known of the geometry is not to be relied on.
    void forget() { geometry_known = false; }
    /// Edges at the present positions, and the network over geometry where they have changed.
    /// Returns whether it is the geometry of the call before.
    bool set_geometry(const NeighList *list);
    /// ∂E/∂spins at the present spins.
    void gradient();
    /// Everything at the present spins; edge gradients only `with_edges`. Stops at a number that
    /// is not finite.
    void evaluate(bool with_edges);

    // === of the last call: rows are atoms as the network sees them, owned ones first ===

    std::size_t num_owned() const { return geometry.num_owned; }
    std::size_t num_edges() const { return neighbours.size(); }
    int atom_of(std::size_t row) const { return atoms[row]; }
    bool is_magnetic(std::size_t row) const { return header().magnetic[geometry.types[row]]; }
    const spinff::Evaluation &values() const { return result; }

    /// A directed edge: LAMMPS indices of its ends, r_ij and ∂E/∂r_ij.
    struct Edge {
        int i, j;
        const double *r, *gradient;
    };
    Edge edge(std::size_t number) const;

    /// Adds −(1/ħ) ∂E/∂e (rad·THz), of own atoms and ghosts; |m| ∂E/∂m of spins that are moments.
    void add_field(double **fm) const;
    /// Adds F_i += g_ij, F_j −= g_ij with g_ij = ∂E/∂r_ij, for every directed edge.
    void add_forces(double **f) const;

    [[noreturn]] void stop_not_finite(const std::string &quantity, double value) const;
    std::string describe(int atom) const;

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

    std::string who;
    std::unique_ptr<spinff::Model> model;
    std::unique_ptr<spinff::SpinEnergy> energy; // of `model`
    std::vector<int> model_type;

    Geometry geometry, known;             // `energy` knows `known`
    bool geometry_known = false;          // there is a `known`
    std::vector<int> atoms;               // LAMMPS index of each row
    std::vector<int> rows;                // row of each LAMMPS index, -1 if none
    std::vector<std::int64_t> neighbours; // second half of edge_index while it grows
    std::vector<double> spins;            // of each row, as the model takes them
    spinff::Evaluation result;

    void collect_owned();
    void collect_edges(const NeighList *list);
    void collect_edges_of(int centre, const NeighList *list);
    int graph_atom(int j) const;
    int row_of(int atom);
    void collect_spins();
    void run_network(const std::function<void()> &work) const;
    void check_energies() const;
    void check_field() const;
    void check_forces() const;
};

} // namespace LAMMPS_NS

#endif
