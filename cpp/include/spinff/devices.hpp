// SPDX-License-Identifier: MIT
//
// Which device a process uses. No torch in here: what torch sees is handed in as `Gpus`.
#pragma once

#include <string>

#include "spinff/error.hpp"

namespace spinff {

/// The GPUs of a node as a process on it sees them.
struct Gpus {
    int count = 0;
    std::string why_none; ///< where there are none
};

/// Device of a process: `request` is "cpu", "cuda" or empty, which means cuda where there is one.
/// The processes of a node take its GPUs in turn, so that none idles while two share another.
/// Throws Error for a GPU that is not there.
inline std::string device_of_rank(const std::string &request, int rank_on_node, const Gpus &gpus,
                                  const std::string &who) {
    if (request != "cpu" && request != "cuda" && !request.empty()) {
        throw Error(who + ": unknown device, got '" + request + "', expected cpu or cuda");
    }
    if (request == "cpu" || (request.empty() && gpus.count == 0)) {
        return "cpu";
    }
    if (gpus.count == 0) {
        throw Error(who + ": device cuda is not there, got " + gpus.why_none +
                    ", expected at least one GPU; ask for device cpu, or run where there is a GPU");
    }
    return "cuda:" + std::to_string(rank_on_node % gpus.count);
}

/// The warning for processes on `device` that share GPUs, which is allowed; empty if none do.
inline std::string shared_gpu_warning(const std::string &device, int ranks_on_node,
                                      const Gpus &gpus, const std::string &who) {
    if (device == "cpu" || ranks_on_node <= gpus.count) {
        return "";
    }
    return who + ": MPI ranks share GPUs, got " + std::to_string(ranks_on_node) +
           " ranks on this node and " + std::to_string(gpus.count) +
           " GPU(s), expected no more ranks than GPUs; ranks that share one take turns, and each "
           "keeps a network of its own in its memory: start fewer ranks, or ask for device cpu";
}

} // namespace spinff
