// SPDX-License-Identifier: MIT
//
// The TorchScript implementation of spinff::Model, and the only translation unit with torch in it.
#include "spinff/model.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <sched.h>

#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "spinff/error.hpp"
#include "spinff/zip_records.hpp"

namespace spinff {

namespace {

using caffe2::serialize::PyTorchStreamReader;

/// Bytes; a header with a hundred types has a tenth of it.
constexpr std::size_t longest_header = 1'000'000;

/// The message inside what torch throws: its own errors begin with it and go on with a stack trace,
/// those of the TorchScript interpreter begin with a source listing and end with it.
std::string message_of(const std::exception &exception) {
    if (const auto *error = dynamic_cast<const c10::Error *>(&exception)) {
        const std::string text = error->what_without_backtrace();
        return text.substr(0, text.find('\n'));
    }
    const std::string text = exception.what();
    const auto end = text.find_last_not_of('\n') + 1;
    const auto begin = text.rfind('\n', end == 0 ? 0 : end - 1);
    return begin == std::string::npos ? text.substr(0, end)
                                      : text.substr(begin + 1, end - begin - 1);
}

/// Says what a zip archive without our header is, as far as its records tell.
std::string kind_of_archive(PyTorchStreamReader &archive) {
    if (archive.hasRecord("constants.pkl")) {
        return "a TorchScript model without the header spinff.json";
    }
    if (archive.hasRecord("data.pkl")) {
        return "a checkpoint or another file of torch.save";
    }
    return "another kind of zip archive";
}

/// Whether the record that ends a zip archive is in the last bytes of the file.
bool has_end_of_zip(std::ifstream &file) {
    constexpr std::streamoff longest = 1024;
    file.clear();
    file.seekg(0, std::ios::end);
    file.seekg(-std::min<std::streamoff>(longest, file.tellg()), std::ios::end);
    const std::string tail{std::istreambuf_iterator<char>(file), {}};
    return tail.find("PK\x05\x06") != std::string::npos;
}

/// Compares every record with its checksum, which torch does not: of a changed bit it may make
/// another network, or an exception where none is allowed, which ends the process.
void check_records(PyTorchStreamReader &archive, std::ifstream &file, const std::string &who) {
    const auto records = zip_records(file);
    if (!records) {
        throw Error(who + " is damaged, got an archive whose directory cannot be read, expected a "
                          "whole one; copy the file again or deploy the model again");
    }
    for (const auto &[name, checksum] : *records) {
        // the reader puts the folder of the archive before a name by itself
        const auto [data, size] = archive.getRecord(name.substr(name.find('/') + 1));
        if (crc32({static_cast<const char *>(data.get()), size}) != checksum) {
            throw Error(who + " is damaged, got another checksum of record '" + name +
                        "' than the archive names, expected the same; copy the file again or "
                        "deploy the model again");
        }
    }
}

/// Reads the header before anything else of the file, so that a file of another kind or of a
/// newer format gets its own sentence whatever torch would say of the rest.
std::string read_header_text(const std::string &path, const std::string &who) {
    std::ifstream file(path, std::ios::binary);
    char magic[2] = {0, 0};
    if (!file || !file.read(magic, 2)) {
        throw Error(
            who + " cannot be read, got: " +
            (file.is_open() ? "an empty file or a folder" : std::strerror(errno)) +
            ", expected a deployed model; give the path of a file written by spinff deploy");
    }
    if (magic[0] != 'P' || magic[1] != 'K') {
        throw Error(who + " is of another kind, got a file that is no archive, expected a deployed "
                          "model; write one with spinff deploy");
    }
    try {
        PyTorchStreamReader archive(path);
        if (!archive.hasRecord("extra/spinff.json")) {
            throw Error(who + " is of another kind, got " + kind_of_archive(archive) +
                        ", expected a deployed model; write one with spinff deploy");
        }
        // The size is what the file says: without a limit a damaged one could fill the memory.
        if (archive.getRecordSize("extra/spinff.json") > longest_header) {
            throw Error(who + " has a damaged header, got " +
                        std::to_string(archive.getRecordSize("extra/spinff.json")) +
                        " bytes, expected at most " + std::to_string(longest_header) +
                        "; copy the file again or deploy the model again");
        }
        const auto [data, size] = archive.getRecord("extra/spinff.json");
        std::string text(static_cast<const char *>(data.get()), size);
        check_records(archive, file, who);
        return text;
    } catch (const c10::Error &) {
        if (has_end_of_zip(file)) {
            throw Error(who +
                        " is of another kind, got a zip archive that is not torch's, expected a "
                        "deployed model; write one with spinff deploy");
        }
        throw Error(who +
                    " is truncated, got an archive without its end, expected a deployed model; "
                    "copy the file again or deploy the model again");
    }
}

/// Runs a part of the network; what torch throws becomes one sentence.
template <typename F>
auto guarded(const std::string &who, F part) {
    try {
        return part();
    } catch (const std::exception &exception) {
        throw Error(who + ": the network failed, got: " + message_of(exception) +
                    ", expected no error; deploy the model again, or report this");
    }
}

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
        // Only derivatives with respect to the edges and the spins are asked for.
        for (auto parameter : module.parameters()) {
            parameter.set_requires_grad(false);
        }
        try_out();
    }

    const ModelHeader &header() const override { return header_; }

    void couplings(const Graph &given, Couplings &result) override {
        // The graph of the previous geometry goes first: two at a time would double the memory.
        atom_energy = exchange = biquadratic = anisotropy = edge_vectors = torch::Tensor();

        const GraphWithEdges graph(given, header_);
        edge_vectors = upload(graph->edge_vectors, {graph.num_edges(), 3}).requires_grad_();
        const Outputs outputs = call_tuple("couplings", 4, inputs(graph));

        const auto n = graph.num_atoms();
        const auto m = graph.num_magnetic();
        const auto owned = static_cast<std::int64_t>(given.num_owned);
        const auto pairs = static_cast<std::int64_t>(given.magnetic_edges.size());
        atom_energy = take(outputs, 0, "atom_energy", {n}, owned, result.atom_energy);
        exchange = take(outputs, 1, "exchange", {m, 3, 3}, pairs, result.exchange);
        biquadratic = take(outputs, 2, "biquadratic", {m, 1}, pairs, result.biquadratic);
        anisotropy = take(outputs, 3, "anisotropy", {n, 3, 3}, owned, result.anisotropy);
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
                add(output, upload(std::span<const double>(weight), output.sizes()));
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
        edge_vectors = upload(graph->edge_vectors, {graph.num_edges(), 3}).requires_grad_();
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
        const auto spins = upload(std::span<const double>(all), {n, 3}).requires_grad_();
        const Outputs outputs = call_tuple("spin_energies", 2, {geometry, spins});
        const auto terms = static_cast<std::int64_t>(header_.terms.size());
        const auto energies =
            take(outputs, 0, "term_energies", {n, terms}, num_owned, result.term_energies);
        take(outputs, 1, "moment_lengths", {n}, num_owned, result.moment_lengths);

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
    /// One lone atom, so that a network that does not work or does not fit its header fails while
    /// it is loaded.
    void try_out() {
        const std::vector<std::int64_t> types = {0};
        const Graph lone = {{}, {}, types, {}, 1};
        if (has_couplings(header_)) {
            Couplings result;
            couplings(lone, result);
        } else {
            const std::vector<double> spins = {0.0, 0.0, header_.magnetic[0] ? 1.0 : 0.0};
            Evaluation result;
            set_geometry(lone);
            evaluate(spins, true, result);
        }
    }

    void check_method(const char *name) const {
        if (!module.find_method(name)) {
            throw Error(who + " has no method '" + name +
                        "', got a header without its network, expected the network too; deploy "
                        "the model again");
        }
    }

    /// The four arguments that both methods have; the edge vectors are those in `edge_vectors`.
    std::vector<c10::IValue> inputs(const GraphWithEdges &graph) const {
        return {edge_vectors, upload(graph->edge_index, {2, graph.num_edges()}),
                upload(graph->types, {graph.num_atoms()}),
                upload(graph->magnetic_edges, {graph.num_magnetic()})};
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

    /// Checks one of the outputs and copies its first `rows` rows, which it also returns.
    torch::Tensor take(const Outputs &outputs, std::size_t number, const char *name,
                       at::IntArrayRef shape, std::int64_t rows,
                       std::vector<double> &values) const {
        const auto &output = outputs->elements()[number];
        const auto tensor = output.isTensor() ? output.toTensor() : torch::Tensor();
        if (!tensor.defined() || tensor.scalar_type() != torch::kFloat64 ||
            tensor.sizes() != shape) {
            throw Error(who + ": output '" + name + "' is wrong, got " +
                        (tensor.defined() ? c10::str(tensor.scalar_type(), " ", tensor.sizes())
                                          : output.tagKind()) +
                        ", expected " + c10::str(torch::kFloat64, " ", shape) +
                        "; deploy the model again");
        }
        const auto wanted = tensor.slice(0, 0, rows);
        download(wanted, values);
        return wanted;
    }

    /// A copy on the device: the caller may reuse its buffer while the graph is alive.
    template <typename T>
    torch::Tensor upload(std::span<const T> values, at::IntArrayRef shape) const {
        const auto type = std::is_same_v<T, double> ? torch::kFloat64 : torch::kInt64;
        return torch::from_blob(const_cast<T *>(values.data()), shape, type)
            .to(device, type, /*non_blocking=*/false, /*copy=*/true);
    }

    static void download(const torch::Tensor &tensor, std::vector<double> &values) {
        const auto local = tensor.detach().to(torch::kCPU).contiguous();
        values.assign(local.const_data_ptr<double>(),
                      local.const_data_ptr<double>() + local.numel());
    }

    ModelHeader header_;
    std::string who;
    torch::Device device;
    torch::jit::Module module;
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

/// Processor cores this process may use.
int available_cores() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }
    return CPU_COUNT(&set);
}

} // namespace

Gpus available_gpus() {
    if (!at::hasCUDA()) {
        return {0, "a build of torch without CUDA"};
    }
    return {at::detail::getCUDAHooks().deviceCount(), "no GPU that CUDA can see"};
}

int limit_threads(int ranks_on_node) {
    if (std::getenv("OMP_NUM_THREADS") == nullptr) {
        at::set_num_threads(std::max(1, available_cores() / std::max(1, ranks_on_node)));
    }
    return at::get_num_threads();
}

std::unique_ptr<Model> load_model(const std::string &path, const std::string &device,
                                  const std::string &who) {
    const std::string name = who + ": model file '" + path + "'";
    ModelHeader header = parse_header(read_header_text(path, name), name);
    const torch::Device target(device);
    if (target.is_cuda()) {
        // Before anything is allocated: otherwise every process opens a context on GPU 0.
        c10::impl::VirtualGuardImpl(torch::kCUDA).setDevice(target);
    }
    return std::make_unique<TorchScriptModel>(path, device, std::move(header), name);
}

} // namespace spinff
