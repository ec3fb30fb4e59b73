// SPDX-License-Identifier: MIT
//
// What the implementations of spinff::Model share.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <ATen/ATen.h>

#include "spinff/error.hpp"
#include "spinff/model.hpp"

namespace spinff {

/// The message inside what torch throws, without stack traces and source listings.
std::string message_of(const std::exception &exception);

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

/// A copy on the device: the caller may reuse its buffer while the graph is alive.
template <typename T>
at::Tensor upload(std::span<const T> values, at::IntArrayRef shape, at::Device device) {
    const auto type = std::is_same_v<T, double> ? at::kDouble : at::kLong;
    return at::from_blob(const_cast<T *>(values.data()), shape, type)
        .to(device, type, /*non_blocking=*/false, /*copy=*/true);
}

inline void download(const at::Tensor &tensor, std::vector<double> &values) {
    const auto local = tensor.detach().to(at::kCPU).contiguous();
    values.assign(local.const_data_ptr<double>(), local.const_data_ptr<double>() + local.numel());
}

/// Checks an output, float64 of this shape, and copies its first `rows` rows, which it returns.
at::Tensor take(const at::Tensor &tensor, const std::string &name, at::IntArrayRef shape,
                std::int64_t rows, std::vector<double> &values, const std::string &who);

/// The two formats of deployed models. `who` begins every message and names the file.
std::unique_ptr<Model> load_torchscript(const std::string &path, const std::string &device,
                                        ModelHeader header, std::string who);
std::unique_ptr<Model> load_aotinductor(const std::string &path, const std::string &device,
                                        ModelHeader header, std::string who);

} // namespace spinff
