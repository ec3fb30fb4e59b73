// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "spinff/model.hpp"

namespace spinff {

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

    /// Memory of its arrays, bytes.
    virtual std::size_t memory_usage() const = 0;
};

/// With couplings, set_geometry() is one forward pass of the network, gradient() none, evaluate()
/// one backward pass, or none without edges. Otherwise set_geometry() is nothing and gradient() and
/// evaluate() are a call of the whole network each. `model` must outlive the result.
std::unique_ptr<SpinEnergy> make_spin_energy(Model &model);

} // namespace spinff
