// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spinff/devices.hpp"
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

/// What the network says of one geometry, whatever the spins are. O owned atoms, M magnetic edges.
struct Couplings {
    std::vector<double> atom_energy; ///< (O) lattice energy, eV
    std::vector<double> exchange;    ///< (M,3,3) J̃_ij of each magnetic edge, eV
    std::vector<double> biquadratic; ///< (M) K̃_ij, eV; 0 in a model without that term
    std::vector<double> anisotropy;  ///< (O,3,3) A_i, eV; 0 in a model without that term
};

/// ∂E/∂ of the couplings that the energy depends on; that of atom_energy is 1.
struct CouplingWeights {
    std::vector<double> exchange;    ///< (M,3,3)
    std::vector<double> biquadratic; ///< (M)
    std::vector<double> anisotropy;  ///< (O,3,3)
};

/// The energy of one geometry and one set of spins, with its derivatives. O owned atoms of N, E
/// edges, T = ModelHeader::terms.size().
struct Evaluation {
    std::vector<double> term_energies;  ///< (O,T) eV, columns in the order of ModelHeader::terms
    std::vector<double> edge_gradient;  ///< (E,3) ∂E/∂r_ij, eV/Å
    std::vector<double> spin_gradient;  ///< (N,3) ∂E/∂spins: eV, or eV/µB where they are moments
    std::vector<double> moment_lengths; ///< (O) |m|, µB; 0 of a type that is not magnetic
};

/// A deployed model on one device. The formats of deployed models are its implementations.
/// A graph may have no edges; it has owned atoms.
class Model {
  public:
    virtual ~Model() = default;

    virtual const ModelHeader &header() const = 0;

    /// The forward pass of a model that has_couplings(); keeps what `backward` needs until the next
    /// call.
    virtual void couplings(const Graph &graph, Couplings &result) = 0;

    /// ∂E/∂r_ij of the last `couplings`, (E,3) eV/Å.
    virtual void backward(const CouplingWeights &weights, std::vector<double> &edge_gradient) = 0;

    /// The network over geometry, of any model; keeps what `evaluate` needs until the next call.
    virtual void set_geometry(const Graph &graph) = 0;

    /// Energies and spin gradient at the last `set_geometry` and, `with_edges`, the edge gradient
    /// too, which is a backward pass through the network over geometry. `spins` (N,3): unit
    /// vectors, or in moment mode "input" moments in µB; 0 of a type that is not magnetic.
    virtual void evaluate(std::span<const double> spins, bool with_edges, Evaluation &result) = 0;
};

/// The GPUs that torch can use.
Gpus available_gpus();

/// Threads of the network for each of `ranks_on_node` processes, so that they do not get in each
/// other's way; OMP_NUM_THREADS, where set, is obeyed. Returns the number in use.
int limit_threads(int ranks_on_node);

/// Tells the allocator of the process to keep the memory of tensors for the next step.
void keep_memory();

/// Loads a deployed model; throws Error with a sentence that begins with `who` and names the file.
std::unique_ptr<Model> load_model(const std::string &path, const std::string &device,
                                  const std::string &who);

} // namespace spinff
