// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spinff/model.hpp"

namespace spinff {

/// Runs of the network, whole ones of the part over geometry.
struct NetworkPasses {
    std::int64_t forward = 0;  ///< of the network over geometry
    std::int64_t backward = 0; ///< of it
    std::int64_t spin = 0;     ///< of the network of the spins, forwards and backwards
};

/// A model's energy at one geometry as a function of the spins, which are asked for many times
/// while the atoms stay where they are. `spins` is what Model::evaluate() takes.
class SpinEnergy {
  public:
    virtual ~SpinEnergy() = default;

    /// The geometry of the calls that follow; the arrays of `graph` must outlive them. A graph
    /// without owned atoms gives empty results and no call of the network.
    virtual void set_geometry(const Graph &graph) = 0;

    /// ∂E/∂spins, (N,3).
    virtual void gradient(std::span<const double> spins, std::vector<double> &spin_gradient) = 0;

    /// Everything; `edge_gradient` may be left as it is unless `with_edges`.
    virtual void evaluate(std::span<const double> spins, bool with_edges, Evaluation &result) = 0;

    /// How often the network was run so far.
    virtual const NetworkPasses &passes() const = 0;

    /// Memory of its arrays, bytes.
    virtual std::size_t memory_usage() const = 0;
};

/// set_geometry() is one forward pass of the network over geometry, gradient() none, evaluate() one
/// backward pass, or none without edges. gradient() and evaluate() contract couplings where the
/// model has them; otherwise they run the network of the spins (the TENN), forwards and backwards.
/// `model` must outlive the result.
std::unique_ptr<SpinEnergy> make_spin_energy(Model &model);

} // namespace spinff
