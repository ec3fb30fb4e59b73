// SPDX-License-Identifier: MIT
//
// spinff._core: the C++ core for Python, NumPy arrays in and out.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "spinff/error.hpp"
#include "spinff/exchange.hpp"
#include "spinff/header.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_core, module) {
    module.doc() = "Compiled core of spinff: model header, exchange contraction, spin dynamics.";
}
