// SPDX-License-Identifier: MIT
//
// The TorchScript implementation of spinff::Model.
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "spinff/triangles.hpp"
#include "torch_tools.hpp"

namespace spinff {

namespace {

/// A graph that has edges: networks are made for some. To one without, a pair of atoms is added
/// that nobody else is near; what comes out for them is dropped.
class GraphWithEdges {
  public:
    GraphWithEdges(const Graph &graph, const ModelHeader &header) : graph(graph) {
        if (!graph.edge_vectors.empty()) {
            return;
        }
        const auto n = static_cast<std::int64_t>(graph.types.size());
        const double distance = 0.5 * header.cutoffs[0][0];
        vectors = {distance, 0.0, 0.0, -distance, 0.0, 0.0};
        index = {n, n + 1, n + 1, n};
        types.assign(graph.types.begin(), graph.types.end());
        types.insert(types.end(), 2, 0);
        if (header.magnetic[0]) {
            magnetic = {0, 1};
        }
        this->graph = {vectors, index, types, magnetic, types.size()};
    }

    const Graph &operator*() const { return graph; }
    const Graph *operator->() const { return &graph; }

    std::int64_t num_atoms() const { return static_cast<std::int64_t>(graph.types.size()); }
    std::int64_t num_edges() const {
        return static_cast<std::int64_t>(graph.edge_index.size() / 2);
    }
    std::int64_t num_magnetic() const {
        return static_cast<std::int64_t>(graph.magnetic_edges.size());
    }

  private:
    Graph graph;
    std::vector<double> vectors;
    std::vector<std::int64_t> index, types, magnetic;
};

/// The results of a method of the network.
using Outputs = c10::intrusive_ptr<c10::ivalue::Tuple>;

class TorchScriptModel final : public Model {
  public:
    /// `who` begins every message and names the file.
    TorchScriptModel(const std::string &path, const std::string &device_name, ModelHeader header,
                     std::string who)
        : header_(std::move(header)), who(std::move(who)), device(device_name) {
        try {
            module = torch::jit::load(path, device);
        } catch (const std::exception &exception) {
            throw Error(this->who + " cannot be loaded on device " + device_name +
                        " (written with torch " + header_.torch_version +
                        "), got: " + message_of(exception) +
                        ", expected a whole TorchScript model; copy the file again, or deploy the "
                        "model again with this torch");
        }
        if (has_couplings(header_)) {
            check_method("couplings");
        } else {
            check_method("geometry");
            check_method("spin_energies");
        }
        module.eval();
        read_bond_reach();
        // Only derivatives with respect to the edges and the spins are asked for.
        for (auto parameter : module.parameters()) {
            parameter.set_requires_grad(false);
        }
    }

    const ModelHeader &header() const override { return header_; }

    void couplings(const Graph &given, Couplings &result) override {
        // The graph of the previous geometry goes first: two at a time would double the memory.
        atom_energy = exchange = biquadratic = anisotropy = edge_vectors = torch::Tensor();

        const GraphWithEdges graph(given, header_);
        edge_vectors = upload(graph->edge_vectors, {graph.num_edges(), 3}, device).requires_grad_();
        const Outputs outputs = call_tuple("couplings", 4, inputs(graph));

        const auto n = graph.num_atoms();
        const auto m = graph.num_magnetic();
        const auto owned = static_cast<std::int64_t>(given.num_owned);
        const auto pairs = static_cast<std::int64_t>(given.magnetic_edges.size());
        atom_energy = output(outputs, 0, "atom_energy", {n}, owned, result.atom_energy);
        exchange = output(outputs, 1, "exchange", {m, 3, 3}, pairs, result.exchange);
        biquadratic = output(outputs, 2, "biquadratic", {m, 1}, pairs, result.biquadratic);
        anisotropy = output(outputs, 3, "anisotropy", {n, 3, 3}, owned, result.anisotropy);
    }

    void backward(const CouplingWeights &weights, std::vector<double> &edge_gradient) override {
        torch::autograd::variable_list outputs;
        torch::autograd::variable_list output_weights;
        const auto add = [&](const torch::Tensor &output, const torch::Tensor &weight) {
            outputs.push_back(output);
            output_weights.push_back(weight);
        };
        // A term that does not depend on the edges (no magnetic edge, no such term) has no graph.
        const auto matters = [](const torch::Tensor &output) {
            return output.requires_grad() && output.numel() > 0;
        };
        const auto add_weighted = [&](const torch::Tensor &output,
                                      const std::vector<double> &weight) {
            if (matters(output)) {
                add(output, upload(std::span<const double>(weight), output.sizes(), device));
            }
        };
        if (matters(atom_energy)) {
            add(atom_energy, torch::ones_like(atom_energy));
        }
        add_weighted(exchange, weights.exchange);
        add_weighted(biquadratic, weights.biquadratic);
        add_weighted(anisotropy, weights.anisotropy);
        edge_gradient.assign(edge_vectors.numel(), 0.0);
        if (outputs.empty()) {
            return;
        }
        // The graph is kept: with the lattice at rest the next step differs only in its weights.
        const auto gradient = guarded(who, [&] {
            return torch::autograd::grad(outputs, {edge_vectors}, output_weights,
                                         /*retain_graph=*/true, /*create_graph=*/false,
                                         /*allow_unused=*/true)[0];
        });
        if (gradient.defined()) {
            download(gradient, edge_gradient);
        }
    }

    void set_geometry(const Graph &given) override {
        geometry = c10::IValue(); // as in `couplings`
        edge_vectors = torch::Tensor();

        const GraphWithEdges graph(given, header_);
        edge_vectors = upload(graph->edge_vectors, {graph.num_edges(), 3}, device).requires_grad_();
        geometry = call("geometry", inputs(graph));
        num_owned = static_cast<std::int64_t>(given.num_owned);
        num_given_edges = static_cast<std::int64_t>(given.edge_index.size() / 2);
        // spins of the atoms that GraphWithEdges adds: legal ones
        added_spins.assign(3 * (graph->types.size() - given.types.size()), 0.0);
        for (std::size_t k = 2; k < added_spins.size(); k += 3) {
            added_spins[k] = header_.magnetic[0] ? 1.0 : 0.0;
        }
    }

    void evaluate(std::span<const double> given_spins, bool with_edges,
                  Evaluation &result) override {
        std::vector<double> all(given_spins.begin(), given_spins.end());
        all.insert(all.end(), added_spins.begin(), added_spins.end());
        const auto n = static_cast<std::int64_t>(all.size() / 3);
        const auto atoms = static_cast<std::int64_t>(given_spins.size() / 3);
        const auto spins = upload(std::span<const double>(all), {n, 3}, device).requires_grad_();
        const Outputs outputs = call_tuple("spin_energies", 2, {geometry, spins});
        const auto terms = static_cast<std::int64_t>(header_.terms.size());
        const auto energies =
            output(outputs, 0, "term_energies", {n, terms}, num_owned, result.term_energies);
        output(outputs, 1, "moment_lengths", {n}, num_owned, result.moment_lengths);

        torch::autograd::variable_list arguments = {spins};
        if (with_edges) {
            arguments.push_back(edge_vectors);
        }
        // A model whose terms do not see the spins, or one without edges, has no graph to them.
        torch::autograd::variable_list gradients(arguments.size());
        if (energies.requires_grad()) {
            gradients = guarded(who, [&] {
                return torch::autograd::grad({energies.sum()}, arguments, {},
                                             /*retain_graph=*/true, /*create_graph=*/false,
                                             /*allow_unused=*/true);
            });
        }
        const auto copy = [](const torch::Tensor &gradient, std::int64_t rows,
                             std::vector<double> &values) {
            values.assign(3 * rows, 0.0);
            if (gradient.defined()) {
                download(gradient.slice(0, 0, rows), values);
            }
        };
        copy(gradients[0], atoms, result.spin_gradient);
        if (with_edges) {
            copy(gradients[1], num_given_edges, result.edge_gradient);
        }
    }

  private:
    void check_method(const char *name) const {
        if (!module.find_method(name)) {
            throw Error(who + " has no method '" + name +
                        "', got a header without its network, expected the network too; deploy "
                        "the model again");
        }
    }

    /// How far triangles reach in a model that takes them from its caller: it would find them
    /// itself, with some sixty operators.
    void read_bond_reach() {
        const auto &geometry = module.get_method("geometry").function().getSchema();
        takes_triangles = geometry.arguments().size() > 5; // itself and four: an earlier spinff
        if (!takes_triangles) {
            return;
        }
        const auto network = module.attr("network").toModule();
        if (!network.hasattr("topology")) {
            return;
        }
        const auto topology = network.attr("topology").toModule();
        if (!topology.attr("_triangles").toBool()) {
            return;
        }
        const auto reach = topology.attr("bond_reach").toTensor().to(at::kCPU);
        for (std::int64_t a = 0; a < reach.size(0); ++a) {
            const auto *row = reach[a].const_data_ptr<double>();
            bond_reach.emplace_back(row, row + reach.size(1));
        }
    }

    /// The arguments that both methods have; the edge vectors are those in `edge_vectors`.
    std::vector<c10::IValue> inputs(const GraphWithEdges &graph) {
        std::vector<c10::IValue> result = {
            edge_vectors, upload(graph->edge_index, {2, graph.num_edges()}, device),
            upload(graph->types, {graph.num_atoms()}, device),
            upload(graph->magnetic_edges, {graph.num_magnetic()}, device)};
        if (takes_triangles) {
            result.emplace_back(); // none
        }
        if (!bond_reach.empty()) {
            const auto centres = graph->edge_index.first(graph.num_edges());
            const auto neighbours = graph->edge_index.last(graph.num_edges());
            find_triangles({graph->edge_vectors, centres, neighbours, graph->types,
                            graph->magnetic_edges, graph.num_atoms()},
                           bond_reach, triangles);
            c10::List<at::Tensor> found;
            for (const auto *values : {&triangles.leg_edges, &triangles.bond, &triangles.leg}) {
                const auto size = static_cast<std::int64_t>(values->size());
                found.push_back(upload(std::span<const std::int64_t>(*values), {size}, device));
            }
            result.back() = found;
        }
        return result;
    }

    c10::IValue call(const std::string &method, std::vector<c10::IValue> arguments) {
        // The number of edges changes at every step, and torch's executor profiles and compiles for
        // the shapes it sees. Without it no step stalls, and each is faster (NiO, 256 atoms, one
        // core: 60 ms from the first step, against 83 ms after first steps of 183 and 97 ms).
        const torch::jit::GraphOptimizerEnabledGuard as_written(false);
        return guarded(who, [&] { return module.get_method(method)(std::move(arguments)); });
    }

    Outputs call_tuple(const std::string &method, std::size_t num_outputs,
                       std::vector<c10::IValue> arguments) {
        const auto output = call(method, std::move(arguments));
        const std::size_t got = output.isTuple() ? output.toTupleRef().elements().size() : 1;
        if (got != num_outputs) {
            throw Error(who + ": method '" + method + "' is wrong, got " + std::to_string(got) +
                        " outputs, expected " + std::to_string(num_outputs) +
                        "; deploy the model again");
        }
        return output.toTuple();
    }

    /// One of the outputs, checked; its first `rows` rows.
    torch::Tensor output(const Outputs &outputs, std::size_t number, const char *name,
                         at::IntArrayRef shape, std::int64_t rows,
                         std::vector<double> &values) const {
        const auto &value = outputs->elements()[number];
        return take(value.isTensor() ? value.toTensor() : torch::Tensor(), name, shape, rows,
                    values, who);
    }

    ModelHeader header_;
    std::string who;
    torch::Device device;
    torch::jit::Module module;
    bool takes_triangles = false;
    std::vector<std::vector<double>> bond_reach; // Å; empty: no triangles are asked for
    Triangles triangles;
    // Of the last `couplings`, owned atoms and the caller's edges only; they carry the graph.
    torch::Tensor edge_vectors;
    torch::Tensor atom_energy;
    torch::Tensor exchange;
    torch::Tensor biquadratic;
    torch::Tensor anisotropy;
    // Of the last `set_geometry`.
    c10::IValue geometry;
    std::int64_t num_owned = 0;
    std::int64_t num_given_edges = 0;
    std::vector<double> added_spins;
};

} // namespace

std::unique_ptr<Model> load_torchscript(const std::string &path, const std::string &device,
                                        ModelHeader header, std::string who) {
    return std::make_unique<TorchScriptModel>(path, device, std::move(header), std::move(who));
}

} // namespace spinff
