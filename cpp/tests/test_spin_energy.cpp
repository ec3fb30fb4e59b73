// SPDX-License-Identifier: MIT
//
// The energy as a function of the spins (spinff/spin_energy.hpp): the same model by its couplings
// and by a network of the spins, and how often either calls the network.
#include "check.hpp"

#include "spinff/spin_energy.hpp"

#include <algorithm>
#include <random>

using namespace spinff;

namespace {

constexpr std::size_t owned = 3, atoms = 5;

/// J̃_ij = r² 1, K̃_ij = r_x, A_i = Σ_j r_z diag(1, −1, 0), E_i = Σ_j r_y. `whole` makes it a model
/// without couplings, by a term tenn that is 0.
class ToyModel final : public Model {
  public:
    explicit ToyModel(bool whole) {
        header_.strictly_local = true;
        header_.moment_mode = "fixed";
        header_.terms = {"lattice", "biquadratic", "exchange", "anisotropy"};
        if (whole) {
            header_.terms.push_back("tenn");
        }
        header_.type_names = {"Fe"};
        header_.magnetic = {true};
        header_.moments = {2.2};
    }

    const ModelHeader &header() const override { return header_; }

    void couplings(const Graph &graph, Couplings &result) override {
        ++forward_passes;
        last = graph;
        const std::size_t m = graph.magnetic_edges.size();
        result.atom_energy.assign(graph.num_owned, 0.0);
        result.exchange.assign(9 * m, 0.0);
        result.biquadratic.assign(m, 0.0);
        result.anisotropy.assign(9 * graph.num_owned, 0.0);
        for (std::size_t edge = 0; edge < graph.edge_vectors.size() / 3; ++edge) {
            const double *r = &graph.edge_vectors[3 * edge];
            const auto i = graph.edge_index[edge];
            result.atom_energy[i] += r[1];
            result.anisotropy[9 * i] += r[2];
            result.anisotropy[9 * i + 4] -= r[2];
        }
        for (std::size_t p = 0; p < m; ++p) {
            const double *r = &graph.edge_vectors[3 * graph.magnetic_edges[p]];
            for (int a = 0; a < 3; ++a) {
                result.exchange[9 * p + 4 * a] = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            }
            result.biquadratic[p] = r[0];
        }
    }

    void backward(const CouplingWeights &weights, std::vector<double> &edge_gradient) override {
        ++backward_passes;
        edge_gradient.assign(last.edge_vectors.size(), 0.0);
        for (std::size_t edge = 0; edge < last.edge_vectors.size() / 3; ++edge) {
            const auto i = last.edge_index[edge];
            edge_gradient[3 * edge + 1] += 1.0;
            edge_gradient[3 * edge + 2] +=
                weights.anisotropy[9 * i] - weights.anisotropy[9 * i + 4];
        }
        for (std::size_t p = 0; p < last.magnetic_edges.size(); ++p) {
            const auto edge = last.magnetic_edges[p];
            const double *w = &weights.exchange[9 * p];
            for (int a = 0; a < 3; ++a) {
                edge_gradient[3 * edge + a] +=
                    2.0 * last.edge_vectors[3 * edge + a] * (w[0] + w[4] + w[8]);
            }
            edge_gradient[3 * edge] += weights.biquadratic[p];
        }
    }

    void set_geometry(const Graph &graph) override {
        ++forward_passes;
        last = graph;
    }

    /// Written out with dot products, apart from the contractions of the core.
    void evaluate(std::span<const double> e, bool with_edges, Evaluation &result) override {
        ++spin_passes;
        backward_passes += with_edges;
        const Graph &graph = last;
        const std::size_t t = header_.terms.size();
        result.term_energies.assign(t * graph.num_owned, 0.0);
        result.edge_gradient.assign(graph.edge_vectors.size(), 0.0);
        result.spin_gradient.assign(e.size(), 0.0);
        result.moment_lengths.assign(graph.num_owned, 2.2);
        const std::size_t n_edges = graph.edge_vectors.size() / 3;
        for (std::size_t edge = 0; edge < n_edges; ++edge) {
            const double *r = &graph.edge_vectors[3 * edge];
            double *g = &result.edge_gradient[3 * edge];
            const auto i = graph.edge_index[edge], j = graph.edge_index[n_edges + edge];
            const double *ei = &e[3 * i], *ej = &e[3 * j];
            const double axes = ei[0] * ei[0] - ei[1] * ei[1];
            result.term_energies[t * i] += r[1];
            result.term_energies[t * i + 3] += r[2] * axes;
            g[1] += 1.0;
            g[2] += axes;
            result.spin_gradient[3 * i] += 2.0 * r[2] * ei[0];
            result.spin_gradient[3 * i + 1] -= 2.0 * r[2] * ei[1];
            if (!std::binary_search(graph.magnetic_edges.begin(), graph.magnetic_edges.end(),
                                    static_cast<std::int64_t>(edge))) {
                continue;
            }
            const double cosine = ei[0] * ej[0] + ei[1] * ej[1] + ei[2] * ej[2];
            const double r2 = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            result.term_energies[t * i + 1] += 0.5 * r[0] * cosine * cosine;
            result.term_energies[t * i + 2] += 0.5 * r2 * cosine;
            g[0] += 0.5 * cosine * cosine;
            for (int a = 0; a < 3; ++a) {
                g[a] += r[a] * cosine;
                result.spin_gradient[3 * i + a] += (0.5 * r2 + r[0] * cosine) * ej[a];
                result.spin_gradient[3 * j + a] += (0.5 * r2 + r[0] * cosine) * ei[a];
            }
        }
    }

    int forward_passes = 0, backward_passes = 0, spin_passes = 0;

  private:
    ModelHeader header_;
    Graph last;
};

/// Edges from each owned atom to every other, ghosts included; every third counts as magnetic.
struct Sample {
    Sample() {
        std::mt19937 engine(11);
        std::normal_distribution<double> normal;
        std::vector<std::int64_t> neighbours;
        for (std::int64_t i = 0; i < static_cast<std::int64_t>(owned); ++i) {
            for (std::int64_t j = 0; j < static_cast<std::int64_t>(atoms); ++j) {
                if (i != j) {
                    if (neighbours.size() % 3 == 1) {
                        magnetic.push_back(static_cast<std::int64_t>(neighbours.size()));
                    }
                    index.push_back(i);
                    neighbours.push_back(j);
                }
            }
        }
        index.insert(index.end(), neighbours.begin(), neighbours.end());
        for (std::size_t k = 0; k < 3 * neighbours.size(); ++k) {
            vectors.push_back(normal(engine));
        }
        for (std::size_t k = 0; k < 3 * atoms; ++k) {
            spins.push_back(normal(engine));
        }
        types.assign(atoms, 0);
    }

    Graph graph() const { return {vectors, index, types, magnetic, owned}; }

    std::vector<double> vectors, spins;
    std::vector<std::int64_t> index, types, magnetic;
};

void check_equal(const std::vector<double> &values, const std::vector<double> &expected) {
    CHECK(values.size() == expected.size());
    for (std::size_t k = 0; k < std::min(values.size(), expected.size()); ++k) {
        CHECK_NEAR(values[k], expected[k], 1e-12);
    }
}

void test_couplings_give_what_the_whole_network_gives() {
    const Sample sample;
    ToyModel cached_model(false), whole_model(true);
    const auto cached = make_spin_energy(cached_model);
    const auto whole = make_spin_energy(whole_model);
    Evaluation one, other;
    std::vector<double> field;
    for (auto *energy : {cached.get(), whole.get()}) {
        energy->set_geometry(sample.graph());
        energy->gradient(sample.spins, field);
        Evaluation &result = energy == cached.get() ? one : other;
        energy->evaluate(sample.spins, true, result);
        check_equal(field, result.spin_gradient);
    }
    check_equal(one.spin_gradient, other.spin_gradient);
    check_equal(one.edge_gradient, other.edge_gradient);
    check_equal(one.moment_lengths, other.moment_lengths);
    for (std::size_t i = 0; i < owned; ++i) {
        for (std::size_t k = 0; k < 4; ++k) {
            CHECK_NEAR(one.term_energies[4 * i + k], other.term_energies[5 * i + k], 1e-12);
        }
    }
}

void test_number_of_calls() {
    const Sample sample;
    std::vector<double> field;
    Evaluation result;
    ToyModel cached_model(false), whole_model(true);
    for (auto *model : {&cached_model, &whole_model}) {
        const auto energy = make_spin_energy(*model);
        energy->set_geometry(sample.graph());
        for (int k = 0; k < 3; ++k) {
            energy->gradient(sample.spins, field);
        }
        energy->evaluate(sample.spins, true, result);
        energy->evaluate(sample.spins, false, result);
        CHECK(energy->passes().forward == model->forward_passes);
        CHECK(energy->passes().backward == model->backward_passes);
        CHECK(energy->passes().spin == model->spin_passes);
    }
    CHECK(cached_model.forward_passes == 1 && cached_model.backward_passes == 1);
    CHECK(cached_model.spin_passes == 0);
    CHECK(whole_model.forward_passes == 1 && whole_model.backward_passes == 1);
    CHECK(whole_model.spin_passes == 5);
}

void test_no_atoms_no_call() {
    for (const bool whole : {false, true}) {
        ToyModel model(whole);
        const auto energy = make_spin_energy(model);
        const Sample sample;
        Evaluation result;
        energy->set_geometry(sample.graph());
        energy->evaluate(sample.spins, true, result);
        const int calls = model.forward_passes + model.backward_passes + model.spin_passes;
        energy->set_geometry({});
        std::vector<double> field = {1.0};
        energy->gradient({}, field);
        energy->evaluate({}, true, result);
        CHECK(field.empty() && result.term_energies.empty() && result.edge_gradient.empty());
        CHECK(result.spin_gradient.empty() && result.moment_lengths.empty());
        CHECK(model.forward_passes + model.backward_passes + model.spin_passes == calls);
    }
}

} // namespace

int main() {
    test_couplings_give_what_the_whole_network_gives();
    test_number_of_calls();
    test_no_atoms_no_call();
    return failures();
}
