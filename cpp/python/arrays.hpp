// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

#include "spinff/error.hpp"

/// A NumPy array as the functions here take it: contiguous, converted where it is of another type.
template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

inline std::string shape_text(const pybind11::array &array) {
    std::string text = "(";
    for (pybind11::ssize_t axis = 0; axis < array.ndim(); ++axis) {
        text += (axis > 0 ? ", " : "") + std::to_string(array.shape(axis));
    }
    return text + ")";
}

/// Throws unless the array has the shape; -1 stands for any length.
inline void check_shape(const pybind11::array &array, const char *name,
                        std::initializer_list<pybind11::ssize_t> shape) {
    bool right = array.ndim() == static_cast<pybind11::ssize_t>(shape.size());
    std::string expected = "(";
    pybind11::ssize_t axis = 0;
    for (const pybind11::ssize_t length : shape) {
        right = right && (length < 0 || array.shape(axis) == length);
        expected += (axis > 0 ? ", " : "") + (length < 0 ? "any" : std::to_string(length));
        ++axis;
    }
    if (!right) {
        throw spinff::Error(std::string("spinff._core: array '") + name +
                            "' has the wrong shape, got " + shape_text(array) + ", expected " +
                            expected + ")");
    }
}

/// Coupling tables, Hamiltonians of frozen couplings, observables: spins.cpp.
void define_spins(pybind11::module_ &module);
