// SPDX-License-Identifier: MIT
//
// The AOTInductor implementation of spinff::Model: three compiled graphs, `geometry`, `spins` and
// `backward` (python/spinff/compiled), whose inputs and outputs are known by name.
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/version.h>

#include "json.hpp"
#include "spinff/topology.hpp"
#include "torch_tools.hpp"

namespace spinff {

namespace {

using Tensors = std::map<std::string, at::Tensor>;

const std::string gradient_of = "gradient_";

/// Names of what goes into a graph and comes out of it, in order.
struct Signature {
    std::vector<std::string> inputs, outputs;
};

/// `2.13.0` of `2.13.0+cpu`.
std::string release(const std::string &version) {
    return version.substr(0, version.find('+'));
}

/// Instruction sets of this processor, as the system names them.
std::set<std::string> processor_features() {
    std::ifstream file("/proc/cpuinfo");
    std::string line;
    while (std::getline(file, line)) {
        if (line.rfind("flags", 0) == 0) {
            std::istringstream words(line.substr(line.find(':') + 1));
            return {std::istream_iterator<std::string>(words), {}};
        }
    }
    return {};
}

class AotInductorModel final : public Model {
  public:
    AotInductorModel(const std::string &path, const std::string &device_name, ModelHeader header,
                     std::string who)
        : header_(std::move(header)), who(std::move(who)), device(device_name) {
        check_torch();
        const json content = read_signatures(path);
        check_processor(content);
        if (device_name != "cpu") {
            throw Error(this->who + " is compiled for the processor, got device " + device_name +
                        ", expected cpu; give pair_style the words device cpu, or deploy the model "
                        "with --format torchscript");
        }
        for (const char *name : {"geometry", "spins", "backward"}) {
            signatures[name] = {content.at(name).at("inputs"), content.at(name).at("outputs")};
            guarded(this->who, [&] {
                graphs[name] = std::make_unique<torch::inductor::AOTIModelPackageLoader>(
                    path, name, /*run_single_threaded=*/true);
            });
        }
    }

    const ModelHeader &header() const override { return header_; }

    void couplings(const Graph &graph, Couplings &result) override {
        set_geometry(graph);
        const auto n = padded.num_atoms();
        const auto m = padded.num_magnetic();
        const auto pairs = static_cast<std::int64_t>(graph.magnetic_edges.size());
        const auto owned = static_cast<std::int64_t>(padded.num_owned);
        const auto copy = [&](const char *name, at::IntArrayRef shape, std::int64_t rows,
                              std::vector<double> &values) {
            const auto found = tensors.find(name);
            const auto tensor = found == tensors.end() ? at::zeros(shape, at::kDouble)
                                                       : found->second; // a term it lacks is 0
            take(tensor, name, shape, rows, values, who);
        };
        copy("atomic_energy", {n, 1}, owned, result.atom_energy);
        copy("exchange", {m, 3, 3}, pairs, result.exchange);
        copy("biquadratic", {m, 1}, pairs, result.biquadratic);
        copy("anisotropy", {n, 3, 3}, owned, result.anisotropy);
    }

    void backward(const CouplingWeights &weights, std::vector<double> &edge_gradient) override {
        const auto n = padded.num_atoms();
        const auto m = padded.num_magnetic();
        const auto add = [&](const char *name, const std::vector<double> &values,
                             at::IntArrayRef shape) {
            if (tensors.count(name) == 0) {
                return;
            }
            auto gradient = at::zeros(shape, at::kDouble); // of the added rows and of ghosts: 0
            std::copy(values.begin(), values.end(), gradient.mutable_data_ptr<double>());
            tensors[gradient_of + name] = gradient;
        };
        add("atomic_energy", std::vector<double>(padded.num_owned, 1.0), {n, 1});
        add("exchange", weights.exchange, {m, 3, 3});
        add("biquadratic", weights.biquadratic, {m, 1});
        add("anisotropy", weights.anisotropy, {n, 3, 3});
        run("backward");
        take_edge_gradient(tensors.at(gradient_of + "edge_vectors"), edge_gradient);
    }

    void set_geometry(const Graph &graph) override {
        tensors.clear(); // what is kept of two geometries at a time would double the memory
        num_given_edges = static_cast<std::int64_t>(graph.edge_index.size() / 2);
        padded = PaddedGraph(graph, header_);
        const auto reads = [&](const std::string &name) {
            const auto &inputs = signatures.at("geometry").inputs;
            return std::find(inputs.begin(), inputs.end(), name) != inputs.end();
        };
        topology = make_topology(padded.view(), header_, reads("triangle_table"));
        for (const auto &[name, table] : topology) {
            tensors[name] = whole(table.values, table.shape);
        }
        tensors["edge_vectors"] = whole(padded.edge_vectors, {padded.num_edges(), 3});
        tensors["edge_index"] = whole(padded.edge_index, {2, padded.num_edges()});
        tensors["atom_types"] = whole(padded.types, {padded.num_atoms()});
        tensors["magnetic_edges"] = whole(padded.magnetic_edges, {padded.num_magnetic()});
        energy_weights.assign(padded.num_atoms(), 0.0);
        std::fill_n(energy_weights.begin(), padded.num_owned, 1.0);
        tensors["energy_weights"] = whole(energy_weights, {padded.num_atoms()});
        run("geometry");
    }

    void evaluate(std::span<const double> given, bool with_edges, Evaluation &result) override {
        const auto n = padded.num_atoms();
        const auto owned = static_cast<std::int64_t>(padded.num_owned);
        spins.assign(given.begin(), given.begin() + 3 * owned);
        for (std::int64_t k = 0; k < num_added_atoms; ++k) {
            spins.insert(spins.end(), {0.0, 0.0, 1.0});
        }
        spins.insert(spins.end(), given.begin() + 3 * owned, given.end());
        tensors["spins"] = whole(spins, {n, 3});
        run("spins");
        const auto terms = static_cast<std::int64_t>(header_.terms.size());
        take(tensors.at("term_energies"), "term_energies", {n, terms}, owned, result.term_energies,
             who);
        take(tensors.at("moment_lengths"), "moment_lengths", {n}, owned, result.moment_lengths,
             who);
        take_spin_gradient(given.size() / 3, result.spin_gradient);
        if (!with_edges) {
            return;
        }
        // gradients of the spins' graph, of the rest, and what depends on the edges without it
        at::Tensor direct;
        if (signatures.at("spins").outputs.end() != find_output("spins", "edge_vectors")) {
            direct = tensors.at(gradient_of + "edge_vectors");
        }
        for (const auto &name : signatures.at("backward").inputs) {
            if (name.rfind(gradient_of, 0) == 0 &&
                find_output("spins", name.substr(gradient_of.size())) ==
                    signatures.at("spins").outputs.end()) {
                tensors[name] = at::zeros_like(tensors.at(name.substr(gradient_of.size())));
            }
        }
        run("backward");
        const auto network = tensors.at(gradient_of + "edge_vectors");
        take_edge_gradient(direct.defined() ? network + direct : network, result.edge_gradient);
    }

  private:
    void check_torch() const {
        if (release(header_.torch_version) != release(TORCH_VERSION)) {
            throw Error(who + " is compiled by another torch, got " + header_.torch_version +
                        ", expected " + release(TORCH_VERSION) +
                        ", which is here; deploy the model again, or with --format torchscript");
        }
    }

    void check_processor(const json &content) const {
        const auto here = processor_features();
        std::string missing;
        for (const std::string &feature : content.at("processor")) {
            if (here.count(feature) == 0) {
                missing += (missing.empty() ? "" : ", ") + feature;
            }
        }
        if (!missing.empty()) {
            throw Error(who + " is compiled for another processor, got one without " + missing +
                        ", expected what it was compiled for; deploy the model on this machine, or "
                        "with --format torchscript");
        }
    }

    json read_signatures(const std::string &path) const {
        try {
            caffe2::serialize::PyTorchStreamReader archive(path);
            const auto [data, size] = archive.getRecord("extra/compiled.json");
            return json::parse(std::string(static_cast<const char *>(data.get()), size));
        } catch (const std::exception &) {
            throw Error(who + " has no list of its graphs, got a file without compiled.json, "
                              "expected a whole one of spinff deploy --format aoti; copy the file "
                              "again or deploy the model again");
        }
    }

    std::vector<std::string>::const_iterator find_output(const char *graph,
                                                         const std::string &name) const {
        const auto &outputs = signatures.at(graph).outputs;
        return std::find(outputs.begin(), outputs.end(), gradient_of + name);
    }

    /// Runs a graph on the tensors of its inputs' names, and keeps those it returns by theirs.
    void run(const char *name) {
        const auto &signature = signatures.at(name);
        std::vector<at::Tensor> inputs;
        for (const auto &input : signature.inputs) {
            inputs.push_back(tensors.at(input));
        }
        const auto outputs =
            guarded(who, [&] { return graphs.at(name)->boxed_run(std::move(inputs)); });
        if (outputs.size() != signature.outputs.size()) {
            throw Error(who + ": graph '" + name + "' is wrong, got " +
                        std::to_string(outputs.size()) + " outputs, expected " +
                        std::to_string(signature.outputs.size()) + "; deploy the model again");
        }
        for (std::size_t k = 0; k < outputs.size(); ++k) {
            tensors[signature.outputs[k]] = outputs[k];
        }
    }

    /// All of a vector as a tensor, which does not copy: the vector outlives it.
    template <typename T>
    static at::Tensor whole(std::vector<T> &values, at::IntArrayRef shape) {
        return at::from_blob(values.data(), shape,
                             std::is_same_v<T, double> ? at::kDouble : at::kLong);
    }
    template <typename T>
    static at::Tensor whole(const std::vector<T> &values, at::IntArrayRef shape) {
        return whole(const_cast<std::vector<T> &>(values), shape);
    }

    void take_edge_gradient(const at::Tensor &gradient, std::vector<double> &values) const {
        take(gradient, "edge_gradient", {padded.num_edges(), 3}, num_given_edges, values, who);
    }

    /// Without the rows of the added atoms.
    void take_spin_gradient(std::size_t num_given, std::vector<double> &values) const {
        values.assign(3 * num_given, 0.0);
        const auto found = tensors.find(gradient_of + "spins");
        if (found == tensors.end()) { // no term sees the spins
            return;
        }
        std::vector<double> all;
        take(found->second, "spin_gradient", {padded.num_atoms(), 3}, padded.num_atoms(), all, who);
        const auto owned = static_cast<std::ptrdiff_t>(3 * padded.num_owned);
        std::copy(all.begin(), all.begin() + owned, values.begin());
        std::copy(all.begin() + owned + 3 * num_added_atoms, all.end(), values.begin() + owned);
    }

    ModelHeader header_;
    std::string who;
    at::Device device;
    std::map<std::string, Signature> signatures;
    std::map<std::string, std::unique_ptr<torch::inductor::AOTIModelPackageLoader>> graphs;
    // Of the last geometry; `tensors` refers to the vectors.
    PaddedGraph padded;
    std::map<std::string, IntegerTable> topology;
    std::vector<double> energy_weights, spins;
    std::int64_t num_given_edges = 0;
    Tensors tensors;
};

} // namespace

std::unique_ptr<Model> load_aotinductor(const std::string &path, const std::string &device,
                                        ModelHeader header, std::string who) {
    return std::make_unique<AotInductorModel>(path, device, std::move(header), std::move(who));
}

} // namespace spinff
