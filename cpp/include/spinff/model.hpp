// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spinff/header.hpp"

namespace spinff {

/// Atoms and directed edges i → j of one geometry; r_ij = r_j − r_i + image, i is the centre.
struct Graph {
    std::span<const double> edge_vectors;         ///< (E,3) r_ij, Å
    std::span<const std::int64_t> edge_index;     ///< (2,E) centres, then neighbours
    std::span<const std::int64_t> types;          ///< (N) index into ModelHeader::type_names
    std::span<const std::int64_t> magnetic_edges; ///< (M) ascending; both ends are magnetic
    std::size_t num_owned = 0; ///< atoms [0, num_owned) are the caller's; edges start at them
};

/// What the network gives for one geometry.
struct Couplings {
    std::vector<double> atom_energy; ///< (N) lattice energy, eV
    std::vector<double> exchange;    ///< (M,3,3) J̃_ij of each magnetic edge, eV
    std::vector<double> biquadratic; ///< (M) K̃_ij, eV; 0 in a model without that term
};

/// A deployed model on one device. The formats of deployed models are its implementations.
class Model {
  public:
    virtual ~Model() = default;

    virtual const ModelHeader &header() const = 0;

    /// The forward pass; keeps what `backward` needs until the next call.
    virtual void couplings(const Graph &graph, Couplings &result) = 0;

    /// ∂/∂r_ij of Σ_owned atom_energy + Σ exchange_weights · J̃ + Σ biquadratic_weights · K̃ of the
    /// last `couplings`, (E,3) eV/Å.
    virtual void backward(std::span<const double> exchange_weights,
                          std::span<const double> biquadratic_weights,
                          std::vector<double> &edge_gradient) = 0;
};

/// Device for a process: `request` is "cpu", "cuda" or empty, which means cuda where there is one.
/// Processes of one node share its GPUs by `rank_on_node`. Throws Error for a GPU that is not
/// there.
std::string choose_device(const std::string &request, int rank_on_node, const std::string &who);

/// Threads of the network for each of `ranks_on_node` processes, so that they do not get in each
/// other's way; OMP_NUM_THREADS, where set, is obeyed. Returns the number in use.
int limit_threads(int ranks_on_node);

/// Loads a deployed model; throws Error with a sentence that begins with `who` and names the file.
std::unique_ptr<Model> load_model(const std::string &path, const std::string &device,
                                  const std::string &who);

/// Lattice energy (eV) of an atom of each type without neighbours. A process whose atoms have none
/// counts these instead of calling the network with an empty graph.
std::vector<double> isolated_energies(Model &model);

} // namespace spinff
