// SPDX-License-Identifier: MIT
//
// Opens the file of a deployed model: its header first, then what can run it.
#include "spinff/model.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sched.h>

#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <caffe2/serialize/inline_container.h>

#include "spinff/error.hpp"
#include "spinff/zip_records.hpp"
#include "torch_tools.hpp"

namespace spinff {

namespace {

using caffe2::serialize::PyTorchStreamReader;

/// Bytes; a header with a hundred types has a tenth of it.
constexpr std::size_t longest_header = 1'000'000;

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

/// Processor cores this process may use.
int available_cores() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }
    return CPU_COUNT(&set);
}

/// One lone atom, so that a network that does not work or does not fit its header fails while it is
/// loaded.
void try_out(Model &model) {
    const std::vector<std::int64_t> types = {0};
    const Graph lone = {{}, {}, types, {}, 1};
    if (has_couplings(model.header())) {
        Couplings result;
        model.couplings(lone, result);
    } else {
        const std::vector<double> spins = {0.0, 0.0, model.header().magnetic[0] ? 1.0 : 0.0};
        Evaluation result;
        model.set_geometry(lone);
        model.evaluate(spins, true, result);
    }
}

} // namespace

/// torch's own errors begin with the message and go on with a stack trace, those of the TorchScript
/// interpreter begin with a source listing and end with it.
std::string message_of(const std::exception &exception) {
    if (const auto *error = dynamic_cast<const c10::Error *>(&exception)) {
        const std::string text = error->what_without_backtrace();
        return text.substr(0, text.find('\n'));
    }
    std::string text = exception.what();
    text = text.substr(0, text.find("\nframe #0")); // where it came from, in C++
    const auto end = text.find_last_not_of('\n') + 1;
    const auto begin = text.rfind('\n', end == 0 ? 0 : end - 1);
    return begin == std::string::npos ? text.substr(0, end)
                                      : text.substr(begin + 1, end - begin - 1);
}

at::Tensor take(const at::Tensor &tensor, const std::string &name, at::IntArrayRef shape,
                std::int64_t rows, std::vector<double> &values, const std::string &who) {
    if (!tensor.defined() || tensor.scalar_type() != at::kDouble || tensor.sizes() != shape) {
        throw Error(who + ": output '" + name + "' is wrong, got " +
                    (tensor.defined() ? c10::str(tensor.scalar_type(), " ", tensor.sizes())
                                      : std::string("no tensor")) +
                    ", expected " + c10::str(at::kDouble, " ", shape) + "; deploy the model again");
    }
    const auto wanted = tensor.slice(0, 0, rows);
    download(wanted, values);
    return wanted;
}

Gpus available_gpus() {
    if (!at::hasCUDA()) {
        return {0, "a build of torch without CUDA"};
    }
    return {at::detail::getCUDAHooks().deviceCount(), "no GPU that CUDA can see"};
}

void keep_memory() {
#ifdef __GLIBC__
    // Otherwise every large tensor is mapped anew, and the system fills its pages with zeros: half
    // of a step of 5,000 atoms. The price is memory that is not given back.
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
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
    const at::Device target(device);
    if (target.is_cuda()) {
        // Before anything is allocated: otherwise every process opens a context on GPU 0.
        c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(target);
    }
    const auto load = header.backend == "aotinductor" ? load_aotinductor : load_torchscript;
    auto model = load(path, device, std::move(header), name);
    try_out(*model);
    return model;
}

} // namespace spinff
