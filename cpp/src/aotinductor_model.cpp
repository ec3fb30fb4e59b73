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

/// Of what goes into the graphs, spinff/dense_graph.hpp; 1 had centres first.
constexpr int tables_version = 2;

const std::string gradient_of = "gradient_";
const std::string wide_gradient = gradient_of + "wide_edge_vectors";
const std::string narrow_gradient = gradient_of + "narrow_edge_vectors";

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
        check_tables(content);
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
        take_atoms("atomic_energy", {dense.num_atoms(), 1}, result.atom_energy);
        take_atoms("anisotropy", {dense.num_atoms(), 3, 3}, result.anisotropy);
        take_pairs("exchange", {dense.magnetic_width, dense.num_magnetic, 3, 3}, result.exchange);
        take_pairs("biquadratic", {dense.magnetic_width, dense.num_magnetic, 1},
                   result.biquadratic);
    }

    void backward(const CouplingWeights &weights, std::vector<double> &edge_gradient) override {
        const std::int64_t n = dense.num_atoms();
        const std::vector<double> ones(dense.num_owned, 1.0);
        give("atomic_energy", {n, 1}, ones, dense.atom_row);
        give("anisotropy", {n, 3, 3}, weights.anisotropy, dense.atom_row);
        give("exchange", {dense.magnetic_width, dense.num_magnetic, 3, 3}, weights.exchange,
             dense.pair_place);
        give("biquadratic", {dense.magnetic_width, dense.num_magnetic, 1}, weights.biquadratic,
             dense.pair_place);
        run("backward");
        take_edge_gradient(tensors.at(wide_gradient), tensors.at(narrow_gradient), edge_gradient);
    }

    void set_geometry(const Graph &graph) override {
        tensors.clear(); // what is kept of two geometries at a time would double the memory
        dense.set(graph, header_, bond_reach, reads_triangles);
        const std::int64_t a = dense.num_magnetic;
        const std::int64_t p = dense.magnetic_width;
        give_edges("wide_", dense.wide);
        give_edges("narrow_", dense.narrow);
        tensors["atom_types"] = whole(dense.types, {dense.num_atoms()});
        tensors["magnetic_edges"] = whole(dense.magnetic_edges, {p, a});
        tensors["leg_edges"] = whole(dense.leg_edges);
        tensors["triangle_leg"] = whole(dense.triangle_leg, {dense.triangle_width, p, a});
        tensors["site_edges"] = whole(dense.site_edges);
        tensors["magnetic_atoms"] = whole(dense.magnetic_atoms);
        energy_weights.assign(dense.num_atoms(), 0.0);
        for (std::int64_t i = 0; i < dense.num_owned; ++i) {
            energy_weights[dense.atom_row[i]] = 1.0;
        }
        tensors["energy_weights"] = whole(energy_weights);
        run("geometry");
    }

    void evaluate(std::span<const double> given, bool with_edges, Evaluation &result) override {
        const std::int64_t n = dense.num_atoms();
        spins.assign(3 * n, 0.0);
        for (std::int64_t i = 0; i < n; ++i) { // of the added atoms: z
            spins[3 * i + 2] = 1.0;
        }
        for (std::size_t i = 0; i < given.size() / 3; ++i) {
            std::copy_n(&given[3 * i], 3, &spins[3 * dense.atom_row[i]]);
        }
        tensors["spins"] = whole(spins, {n, 3});
        run("spins");
        const auto terms = static_cast<std::int64_t>(header_.terms.size());
        take_atoms("term_energies", {n, terms}, result.term_energies);
        take_atoms("moment_lengths", {n}, result.moment_lengths);
        take_spin_gradient(result.spin_gradient);
        if (!with_edges) {
            return;
        }
        // what the terms of the spins themselves read of the edges
        std::vector<at::Tensor> direct;
        for (const auto &name : {wide_gradient, narrow_gradient}) {
            direct.push_back(gives("spins", name) ? tensors.at(name) : at::Tensor());
        }
        for (const auto &name : signatures.at("backward").inputs) {
            if (name.rfind(gradient_of, 0) == 0 && !gives("spins", name)) {
                tensors[name] = at::zeros_like(tensors.at(name.substr(gradient_of.size())));
            }
        }
        run("backward");
        const auto sum = [](const at::Tensor &network, const at::Tensor &direct) {
            return direct.defined() ? network + direct : network;
        };
        take_edge_gradient(sum(tensors.at(wide_gradient), direct[0]),
                           sum(tensors.at(narrow_gradient), direct[1]), result.edge_gradient);
    }

  private:
    void check_torch() const {
        if (release(header_.torch_version) != release(TORCH_VERSION)) {
            throw Error(who + " is compiled by another torch, got " + header_.torch_version +
                        ", expected " + release(TORCH_VERSION) +
                        ", which is here; deploy the model again, or with --format torchscript");
        }
    }

    void check_tables(const json &content) const {
        const int version = content.value("tables_version", 1);
        if (version != tables_version) {
            throw Error(who + " is compiled by another spinff, got tables of version " +
                        std::to_string(version) + ", expected " + std::to_string(tables_version) +
                        "; deploy the model again");
        }
    }

    void check_processor(const json &content) const {
        const auto here = processor_features();
        std::string missing;
        for (const std::string feature : content.at("processor")) {
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
    static at::Tensor whole(std::vector<T> &values) {
        return whole(values, {static_cast<std::int64_t>(values.size())});
    }

    void give_edges(const std::string &which, EdgeTable &table) {
        const auto rows = table.num_centres / lanes;
        tensors[which + "edge_vectors"] = whole(table.vectors, {3, table.width, rows, lanes});
        tensors[which + "edge_index"] = whole(table.index, {2, table.width, rows, lanes});
    }

    /// All rows of an output into `scratch`; zeros of a term that the model lacks.
    void take_all(const char *name, at::IntArrayRef shape) {
        const auto found = tensors.find(name);
        take(found == tensors.end() ? at::zeros(shape, at::kDouble) : found->second, name, shape,
             shape[0], scratch, who);
    }

    /// The rows of the owned atoms.
    void take_atoms(const char *name, at::IntArrayRef shape, std::vector<double> &values) {
        take_all(name, shape);
        const auto size = static_cast<std::int64_t>(scratch.size()) / shape[0];
        gather({dense.atom_row.data(), static_cast<std::size_t>(dense.num_owned)}, size, values);
    }

    /// The rows of the magnetic edges given.
    void take_pairs(const char *name, at::IntArrayRef shape, std::vector<double> &values) {
        take_all(name, shape);
        const auto size = static_cast<std::int64_t>(scratch.size()) / (shape[0] * shape[1]);
        gather(dense.pair_place, size, values);
    }

    /// Rows of `size` numbers from `scratch`.
    void gather(std::span<const std::int64_t> places, std::int64_t size,
                std::vector<double> &values) const {
        values.resize(places.size() * size);
        for (std::size_t row = 0; row < places.size(); ++row) {
            std::copy_n(&scratch[places[row] * size], size, &values[row * size]);
        }
    }

    /// The gradient with respect to an output: rows in their places, 0 elsewhere.
    void give(const std::string &name, at::IntArrayRef shape, const std::vector<double> &values,
              const std::vector<std::int64_t> &places) {
        if (tensors.count(name) == 0) {
            return;
        }
        auto gradient = at::zeros(shape, at::kDouble);
        auto *to = gradient.mutable_data_ptr<double>();
        const std::int64_t last = shape[shape.size() - 1];
        const std::int64_t size = last == 3 ? 9 : 1; // a tensor or a number
        for (std::size_t row = 0; row < values.size() / size; ++row) {
            std::copy_n(&values[row * size], size, to + places[row] * size);
        }
        tensors[gradient_of + name] = gradient;
    }

    /// Of the edges given, from those of both tables.
    void take_edge_gradient(const at::Tensor &of_wide, const at::Tensor &of_narrow,
                            std::vector<double> &values) {
        values.resize(3 * dense.place.size());
        const auto copy = [&](const at::Tensor &gradient, const EdgeTable &table,
                              std::int64_t first) {
            take(gradient, "edge_gradient", {3, table.width, table.num_centres / lanes, lanes}, 3,
                 scratch, who);
            for (std::size_t edge = 0; edge < dense.place.size(); ++edge) {
                const auto p = dense.place[edge] - first;
                if (p < 0 || p >= table.num_places()) {
                    continue;
                }
                for (int a = 0; a < 3; ++a) {
                    values[3 * edge + a] = scratch[a * table.num_places() + p];
                }
            }
        };
        copy(of_wide, dense.wide, 0);
        copy(of_narrow, dense.narrow, dense.wide.num_places());
    }

    /// Without the rows of the added atoms.
    void take_spin_gradient(std::vector<double> &values) {
        values.assign(3 * dense.atom_row.size(), 0.0);
        if (tensors.count(gradient_of + "spins") == 0) { // no term sees the spins
            return;
        }
        take_all((gradient_of + "spins").c_str(), {dense.num_atoms(), 3});
        gather(dense.atom_row, 3, values);
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
