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

namespace spinff {

namespace {

using caffe2::serialize::PyTorchStreamReader;

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
        const auto [data, size] = archive.getRecord("extra/spinff.json");
        return {static_cast<const char *>(data.get()), size};
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
        if (!module.find_method("couplings")) {
            throw Error(this->who +
                        " has no method 'couplings', got a header without its network, expected "
                        "the network too; deploy the model again");
        }
        module.eval();
        // Only derivatives with respect to the edges are asked for.
        for (auto parameter : module.parameters()) {
            parameter.set_requires_grad(false);
        }
    }

    const ModelHeader &header() const override { return header_; }

    void couplings(const Graph &graph, Couplings &result) override {
        // The graph of the previous geometry goes first: two at a time would double the memory.
        atom_energy = exchange = biquadratic = edge_vectors = torch::Tensor();

        const auto n_edges = static_cast<std::int64_t>(graph.edge_vectors.size() / 3);
        const auto n_atoms = static_cast<std::int64_t>(graph.types.size());
        const auto n_magnetic = static_cast<std::int64_t>(graph.magnetic_edges.size());
        edge_vectors = upload(graph.edge_vectors, {n_edges, 3}).requires_grad_();
        num_owned = static_cast<std::int64_t>(graph.num_owned);

        // The number of edges changes at every step, and torch's executor profiles and compiles for
        // the shapes it sees. Without it no step stalls, and each is faster (NiO, 256 atoms, one
        // core: 60 ms from the first step, against 83 ms after first steps of 183 and 97 ms).
        const torch::jit::GraphOptimizerEnabledGuard as_written(false);
        const auto output = guarded(who, [&] {
            return module
                .get_method("couplings")({edge_vectors, upload(graph.edge_index, {2, n_edges}),
                                          upload(graph.types, {n_atoms}),
                                          upload(graph.magnetic_edges, {n_magnetic})})
                .toTuple();
        });
        if (output->elements().size() != 3) {
            throw Error(who + ": method 'couplings' is wrong, got " +
                        std::to_string(output->elements().size()) +
                        " outputs, expected energy, exchange and biquadratic; deploy the model "
                        "again");
        }
        atom_energy = output->elements()[0].toTensor();
        exchange = output->elements()[1].toTensor();
        biquadratic = output->elements()[2].toTensor();
        download(atom_energy, {n_atoms}, "atom_energy", result.atom_energy);
        download(exchange, {n_magnetic, 3, 3}, "exchange", result.exchange);
        download(biquadratic, {n_magnetic, 1}, "biquadratic", result.biquadratic);
    }

    void backward(std::span<const double> exchange_weights,
                  std::span<const double> biquadratic_weights,
                  std::vector<double> &edge_gradient) override {
        auto owned = torch::zeros_like(atom_energy);
        owned.slice(0, 0, num_owned).fill_(1.0);
        torch::autograd::variable_list outputs;
        torch::autograd::variable_list weights;
        // A term that does not depend on the edges (no magnetic edge, no such term) has no graph.
        const auto add = [&](const torch::Tensor &output, const torch::Tensor &weight) {
            if (output.requires_grad() && output.numel() > 0) {
                outputs.push_back(output);
                weights.push_back(weight);
            }
        };
        add(atom_energy, owned);
        add(exchange, upload(exchange_weights, exchange.sizes()));
        add(biquadratic, upload(biquadratic_weights, biquadratic.sizes()));
        edge_gradient.assign(edge_vectors.numel(), 0.0);
        if (outputs.empty()) {
            return;
        }
        // The graph is kept: with the lattice at rest the next step differs only in its weights.
        const auto gradient = guarded(who, [&] {
            return torch::autograd::grad(outputs, {edge_vectors}, weights,
                                         /*retain_graph=*/true, /*create_graph=*/false,
                                         /*allow_unused=*/true)[0];
        });
        if (gradient.defined()) {
            download(gradient, edge_vectors.sizes(), "edge_gradient", edge_gradient);
        }
    }

  private:
    /// A copy on the device: the caller may reuse its buffer while the graph is alive.
    template <typename T>
    torch::Tensor upload(std::span<const T> values, at::IntArrayRef shape) const {
        const auto type = std::is_same_v<T, double> ? torch::kFloat64 : torch::kInt64;
        return torch::from_blob(const_cast<T *>(values.data()), shape, type)
            .to(device, type, /*non_blocking=*/false, /*copy=*/true);
    }

    void download(const torch::Tensor &tensor, at::IntArrayRef shape, const char *name,
                  std::vector<double> &values) const {
        if (tensor.scalar_type() != torch::kFloat64 || tensor.sizes() != shape) {
            throw Error(who + ": output '" + name + "' is wrong, got " +
                        c10::str(tensor.scalar_type(), " ", tensor.sizes()) + ", expected " +
                        c10::str(torch::kFloat64, " ", shape) + "; deploy the model again");
        }
        const auto local = tensor.detach().to(torch::kCPU).contiguous();
        values.assign(local.const_data_ptr<double>(),
                      local.const_data_ptr<double>() + local.numel());
    }

    ModelHeader header_;
    std::string who;
    torch::Device device;
    torch::jit::Module module;
    torch::Tensor edge_vectors;
    torch::Tensor atom_energy;
    torch::Tensor exchange;
    torch::Tensor biquadratic;
    std::int64_t num_owned = 0;
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

std::string choose_device(const std::string &request, int rank_on_node, const std::string &who) {
    if (request == "cpu") {
        return "cpu";
    }
    if (request != "cuda" && !request.empty()) {
        throw Error(who + ": unknown device, got '" + request + "', expected cpu or cuda");
    }
    const bool built = at::hasCUDA();
    const int count = built ? at::detail::getCUDAHooks().deviceCount() : 0;
    if (count > 0) {
        return "cuda:" + std::to_string(rank_on_node % count);
    }
    if (request.empty()) {
        return "cpu";
    }
    throw Error(who + ": device cuda is not there, got " +
                (built ? "no GPU that CUDA can see" : "a build of torch without CUDA") +
                ", expected at least one GPU; ask for device cpu, or run where there is a GPU");
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
