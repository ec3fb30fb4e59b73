// SPDX-License-Identifier: MIT
#include "spinff/spin_energy.hpp"

#include <algorithm>
#include <array>

#include "spinff/anisotropy.hpp"
#include "spinff/exchange.hpp"

namespace spinff {

namespace {

template <typename T>
std::size_t bytes(const std::vector<T> &values) {
    return values.capacity() * sizeof(T);
}

/// Column of a term in the model's energies, or that of the lattice for a term it does not have:
/// its couplings are 0 and so is what they add there.
std::size_t column_of(const ModelHeader &header, const char *term) {
    const auto found = std::find(header.terms.begin(), header.terms.end(), term);
    return found == header.terms.end() ? 0 : found - header.terms.begin();
}

/// Contracts the couplings of the geometry with the spins.
class CachedCouplings final : public SpinEnergy {
  public:
    explicit CachedCouplings(Model &model)
        : model(model), num_terms(model.header().terms.size()),
          exchange_column(column_of(model.header(), "exchange")),
          biquadratic_column(column_of(model.header(), "biquadratic")),
          anisotropy_column(column_of(model.header(), "anisotropy")) {}

    void set_geometry(const Graph &new_graph) override {
        graph = new_graph;
        if (graph.num_owned > 0) {
            model.couplings(graph, couplings);
            ++passes_.forward;
        } else {
            couplings = {};
        }
        if (anisotropy_column == 0) { // no such term: nothing to contract
            couplings.anisotropy.clear();
        }
        const std::size_t num_edges = graph.edge_index.size() / 2;
        pairs.clear();
        for (const auto edge : graph.magnetic_edges) {
            pairs.push_back({static_cast<int>(graph.edge_index[edge]),
                             static_cast<int>(graph.edge_index[num_edges + edge])});
        }
    }

    void gradient(std::span<const double> spins, std::vector<double> &spin_gradient) override {
        spin_gradient.assign(spins.size(), 0.0);
        const Rows<double> rows = {spin_gradient.data(), 3};
        add_exchange_gradient(exchange(), {spins.data(), 3}, rows);
        add_anisotropy_gradient(couplings.anisotropy, {spins.data(), 3}, rows);
    }

    void evaluate(std::span<const double> spins, bool with_edges, Evaluation &result) override {
        gradient(spins, result.spin_gradient);
        sum_energies({spins.data(), 3}, result.term_energies);
        result.moment_lengths.clear();
        for (const auto type : graph.types.first(graph.num_owned)) {
            result.moment_lengths.push_back(model.header().moments[type]);
        }
        if (!with_edges) {
            return;
        }
        result.edge_gradient.clear();
        if (!graph.edge_vectors.empty()) {
            weigh({spins.data(), 3});
            model.backward(weights, result.edge_gradient);
            ++passes_.backward;
        }
    }

    const NetworkPasses &passes() const override { return passes_; }

    std::size_t memory_usage() const override {
        return bytes(pairs) + bytes(couplings.atom_energy) + bytes(couplings.exchange) +
               bytes(couplings.biquadratic) + bytes(couplings.anisotropy) +
               bytes(weights.exchange) + bytes(weights.biquadratic) + bytes(weights.anisotropy);
    }

  private:
    ExchangeView exchange() const { return {pairs, couplings.exchange, couplings.biquadratic}; }

    void sum_energies(Rows<const double> spins, std::vector<double> &term_energies) const {
        term_energies.assign(graph.num_owned * num_terms, 0.0);
        const auto column = [&](std::size_t k) {
            return Rows<double>{term_energies.data() + k, num_terms};
        };
        add_exchange_energy(exchange(), spins, column(exchange_column), column(biquadratic_column));
        add_anisotropy_energy(couplings.anisotropy, spins, column(anisotropy_column));
        for (std::size_t i = 0; i < graph.num_owned; ++i) {
            *column(0)[i] += couplings.atom_energy[i];
        }
    }

    void weigh(Rows<const double> spins) {
        weights.exchange.resize(couplings.exchange.size());
        weights.biquadratic.resize(couplings.biquadratic.size());
        weights.anisotropy.resize(couplings.anisotropy.size());
        exchange_weights(pairs, spins, weights.exchange, weights.biquadratic);
        anisotropy_weights(spins, weights.anisotropy);
    }

    Model &model;
    std::size_t num_terms;
    std::size_t exchange_column, biquadratic_column, anisotropy_column;
    Graph graph;
    std::vector<std::array<int, 2>> pairs;
    Couplings couplings;
    CouplingWeights weights;
    NetworkPasses passes_;
};

/// Keeps what the network says of the geometry, and runs that of the spins on it.
class CachedGeometry final : public SpinEnergy {
  public:
    explicit CachedGeometry(Model &model) : model(model) {}

    void set_geometry(const Graph &graph) override {
        num_owned = graph.num_owned;
        if (num_owned > 0) {
            model.set_geometry(graph);
            ++passes_.forward;
        }
    }

    void gradient(std::span<const double> spins, std::vector<double> &spin_gradient) override {
        evaluate(spins, false, scratch);
        spin_gradient.swap(scratch.spin_gradient);
    }

    void evaluate(std::span<const double> spins, bool with_edges, Evaluation &result) override {
        if (num_owned == 0) {
            result = {};
            return;
        }
        model.evaluate(spins, with_edges, result);
        ++passes_.spin;
        passes_.backward += with_edges;
    }

    const NetworkPasses &passes() const override { return passes_; }

    std::size_t memory_usage() const override {
        return bytes(scratch.term_energies) + bytes(scratch.edge_gradient) +
               bytes(scratch.spin_gradient) + bytes(scratch.moment_lengths);
    }

  private:
    Model &model;
    std::size_t num_owned = 0;
    Evaluation scratch;
    NetworkPasses passes_;
};

} // namespace

std::unique_ptr<SpinEnergy> make_spin_energy(Model &model) {
    if (has_couplings(model.header())) {
        return std::make_unique<CachedCouplings>(model);
    }
    return std::make_unique<CachedGeometry>(model);
}

} // namespace spinff
