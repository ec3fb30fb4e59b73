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
#include "spinff/dense_graph.hpp"
#include "torch_tools.hpp"

namespace spinff {

namespace {

using Tensors = std::map<std::string, at::Tensor>;

const std::string gradient_of = "gradient_";
const std::string edge_gradient_name = gradient_of + "edge_vectors";

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
        const auto &inputs = content.at("geometry").at("inputs");
        bond_reach = content.at("bond_reach");
        reads_triangles = std::find(inputs.begin(), inputs.end(), "triangle_leg") != inputs.end();
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
        take_rows("atomic_energy", {dense.num_atoms(), 1}, owned(), result.atom_energy);
        take_rows("anisotropy", {dense.num_atoms(), 3, 3}, owned(), result.anisotropy);
        take_pairs("exchange", {dense.num_magnetic, dense.magnetic_width, 3, 3}, result.exchange);
        take_pairs("biquadratic", {dense.num_magnetic, dense.magnetic_width, 1},
                   result.biquadratic);
    }

    void backward(const CouplingWeights &weights, std::vector<double> &edge_gradient) override {
        const std::int64_t n = dense.num_atoms();
        const std::vector<double> ones(owned(), 1.0);
        give("atomic_energy", {n, 1}, ones, nullptr);
        give("anisotropy", {n, 3, 3}, weights.anisotropy, nullptr);
        give("exchange", {dense.num_magnetic, dense.magnetic_width, 3, 3}, weights.exchange,
             &dense.pair_place);
        give("biquadratic", {dense.num_magnetic, dense.magnetic_width, 1}, weights.biquadratic,
             &dense.pair_place);
        run("backward");
        take_edge_gradient(tensors.at(edge_gradient_name), edge_gradient);
    }

    void set_geometry(const Graph &graph) override {
        tensors.clear(); // what is kept of two geometries at a time would double the memory
        dense.set(graph, header_, bond_reach, reads_triangles);
        const std::int64_t c = dense.num_centres;
        const std::int64_t w = dense.width;
        const std::int64_t a = dense.num_magnetic;
        const std::int64_t p = dense.magnetic_width;
        const auto atoms = static_cast<std::int64_t>(dense.magnetic_atoms.size());
        tensors["edge_vectors"] = whole(dense.edge_vectors, {c, w, 3});
        tensors["edge_index"] = whole(dense.edge_index, {2, c, w});
        tensors["atom_types"] = whole(dense.types, {dense.num_atoms()});
        tensors["magnetic_edges"] = whole(dense.magnetic_edges, {a, p});
        tensors["leg_edges"] =
            whole(dense.leg_edges, {static_cast<std::int64_t>(dense.leg_edges.size())});
        tensors["triangle_leg"] = whole(dense.triangle_leg, {a, p, dense.triangle_width});
        tensors["magnetic_atoms"] = whole(dense.magnetic_atoms, {atoms});
        energy_weights.assign(dense.num_atoms(), 0.0);
        std::fill_n(energy_weights.begin(), owned(), 1.0);
        tensors["energy_weights"] = whole(energy_weights, {dense.num_atoms()});
        run("geometry");
    }

    void evaluate(std::span<const double> given, bool with_edges, Evaluation &result) override {
        const std::int64_t n = dense.num_atoms();
        spins.assign(given.begin(), given.begin() + 3 * owned());
        for (std::int64_t k = 0; k < num_added_atoms; ++k) {
            spins.insert(spins.end(), {0.0, 0.0, 1.0});
        }
        spins.insert(spins.end(), given.begin() + 3 * owned(), given.end());
        tensors["spins"] = whole(spins, {n, 3});
        run("spins");
        const auto terms = static_cast<std::int64_t>(header_.terms.size());
        take_rows("term_energies", {n, terms}, owned(), result.term_energies);
        take_rows("moment_lengths", {n}, owned(), result.moment_lengths);
        take_spin_gradient(given.size() / 3, result.spin_gradient);
        if (!with_edges) {
            return;
        }
        at::Tensor direct; // what the terms of the spins themselves read of the edges
        if (gives("spins", edge_gradient_name)) {
            direct = tensors.at(edge_gradient_name);
        }
        for (const auto &name : signatures.at("backward").inputs) {
            if (name.rfind(gradient_of, 0) == 0 && !gives("spins", name)) {
                tensors[name] = at::zeros_like(tensors.at(name.substr(gradient_of.size())));
            }
        }
        run("backward");
        const auto network = tensors.at(edge_gradient_name);
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

    bool gives(const char *graph, const std::string &name) const {
        const auto &outputs = signatures.at(graph).outputs;
        return std::find(outputs.begin(), outputs.end(), name) != outputs.end();
    }

    std::int64_t owned() const { return dense.num_owned; }

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
    /// The first rows of an output; zeros of a term that the model lacks.
    void take_rows(const char *name, at::IntArrayRef shape, std::int64_t rows,
                   std::vector<double> &values) const {
        const auto found = tensors.find(name);
        take(found == tensors.end() ? at::zeros(shape, at::kDouble) : found->second, name, shape,
             rows, values, who);
    }

    /// The rows of the magnetic edges given.
    void take_pairs(const char *name, at::IntArrayRef shape, std::vector<double> &values) {
        take_rows(name, shape, shape[0], scratch);
        const auto size = static_cast<std::int64_t>(scratch.size()) / (shape[0] * shape[1]);
        gather(dense.pair_place, size, values);
    }

    /// Rows of `size` numbers from `scratch`.
    void gather(const std::vector<std::int64_t> &places, std::int64_t size,
                std::vector<double> &values) const {
        values.resize(places.size() * size);
        for (std::size_t row = 0; row < places.size(); ++row) {
            std::copy_n(&scratch[places[row] * size], size, &values[row * size]);
        }
    }

    /// The gradient with respect to an output: rows in order or in their places, 0 elsewhere.
    void give(const std::string &name, at::IntArrayRef shape, const std::vector<double> &values,
              const std::vector<std::int64_t> *places) {
        if (tensors.count(name) == 0) {
            return;
        }
        auto gradient = at::zeros(shape, at::kDouble);
        auto *to = gradient.mutable_data_ptr<double>();
        if (places == nullptr) {
            std::copy(values.begin(), values.end(), to);
        } else {
            const std::size_t size = gradient.numel() / (shape[0] * shape[1]);
            for (std::size_t row = 0; row < places->size(); ++row) {
                std::copy_n(&values[row * size], size, to + (*places)[row] * size);
            }
        }
        tensors[gradient_of + name] = gradient;
    }

    void take_edge_gradient(const at::Tensor &gradient, std::vector<double> &values) {
        take(gradient, "edge_gradient", {dense.num_centres, dense.width, 3}, dense.num_centres,
             scratch, who);
        gather(dense.place, 3, values);
    }

    /// Without the rows of the added atoms.
    void take_spin_gradient(std::size_t num_given, std::vector<double> &values) {
        values.assign(3 * num_given, 0.0);
        const auto found = tensors.find(gradient_of + "spins");
        if (found == tensors.end()) { // no term sees the spins
            return;
        }
        take(found->second, "spin_gradient", {dense.num_atoms(), 3}, dense.num_atoms(), scratch,
             who);
        const auto end = scratch.begin() + 3 * owned();
        std::copy(scratch.begin(), end, values.begin());
        std::copy(end + 3 * num_added_atoms, scratch.end(), values.begin() + 3 * owned());
    }

    ModelHeader header_;
    std::string who;
    at::Device device;
    std::map<std::string, Signature> signatures;
    std::vector<std::vector<double>> bond_reach; // Å, of the atoms of a triangle
    bool reads_triangles = false;
    std::map<std::string, std::unique_ptr<torch::inductor::AOTIModelPackageLoader>> graphs;
    // Of the last geometry; `tensors` refers to the vectors.
    DenseGraph dense;
    std::vector<double> energy_weights, spins, scratch;
    Tensors tensors;
};

} // namespace

std::unique_ptr<Model> load_aotinductor(const std::string &path, const std::string &device,
                                        ModelHeader header, std::string who) {
    return std::make_unique<AotInductorModel>(path, device, std::move(header), std::move(who));
}

} // namespace spinff
