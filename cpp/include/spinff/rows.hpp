// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace spinff {

/// Rows of an array with three (vectors) or one (numbers) leading columns: row i starts at
/// `data + i * stride`.
template <typename T>
struct Rows {
    T *data;
    std::size_t stride;

    T *operator[](std::size_t i) const { return data + i * stride; }
};

} // namespace spinff
