// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

namespace spinff {

/// Rows of an array with three (vectors) or one (numbers) leading columns: row i starts at
/// `data + i * stride`.
template <typename T>
struct Rows {
    T *data;
    std::size_t stride;

    T *operator[](std::size_t i) const { return data + i * stride; }

    /// The same rows to be read only.
    operator Rows<const T>() const
        requires(!std::is_const_v<T>)
    {
        return {data, stride};
    }
};

} // namespace spinff
