// SPDX-License-Identifier: MIT
// Which GPU a rank gets (spinff/devices.hpp); no GPU is needed to know.
#include "check.hpp"

#include "spinff/devices.hpp"

using namespace spinff;

namespace {

const Gpus none = {0, "a build of torch without CUDA"};

std::string error_of(const std::string &request, const Gpus &gpus) {
    try {
        device_of_rank(request, 0, gpus, "pair_style x");
    } catch (const Error &error) {
        return error.what();
    }
    return "";
}

void test_devices() {
    CHECK(device_of_rank("", 3, none, "x") == "cpu");
    CHECK(device_of_rank("cpu", 3, {4, ""}, "x") == "cpu");
    CHECK(device_of_rank("", 0, {1, ""}, "x") == "cuda:0");
    for (const char *request : {"", "cuda"}) { // eight ranks, four GPUs: two ranks each
        for (int rank = 0; rank < 8; ++rank) {
            CHECK(device_of_rank(request, rank, {4, ""}, "x") ==
                  "cuda:" + std::to_string(rank % 4));
        }
    }
}

void test_errors() {
    CHECK(error_of("cuda", none) ==
          "pair_style x: device cuda is not there, got a build of torch without CUDA, expected at "
          "least one GPU; ask for device cpu, or run where there is a GPU");
    CHECK(error_of("gpu", {1, ""}) ==
          "pair_style x: unknown device, got 'gpu', expected cpu or cuda");
}

void test_warning() {
    CHECK(shared_gpu_warning("cpu", 8, {1, ""}, "x").empty());
    CHECK(shared_gpu_warning("cuda:0", 4, {4, ""}, "x").empty());
    const std::string text = shared_gpu_warning("cuda:0", 8, {4, ""}, "pair_style x");
    CHECK(text.starts_with("pair_style x: MPI ranks share GPUs, got 8 ranks on this node and 4 "
                           "GPU(s), expected no more ranks than GPUs;"));
}

} // namespace

int main() {
    test_devices();
    test_errors();
    test_warning();
    return failures();
}
