// SPDX-License-Identifier: MIT
//
// spinff._core: the C++ core for Python. Arrays are NumPy arrays; an array argument of N atoms has
// N rows. Errors of the core become spinff.errors.SpinffError.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "spinff/anisotropy.hpp"
#include "spinff/error.hpp"
#include "spinff/exchange.hpp"
#include "spinff/header.hpp"
#include "spinff/philox.hpp"
#include "spinff/sib.hpp"
#include "spinff/units.hpp"

namespace py = pybind11;

namespace {

using spinff::Vec3;
/// Calls f(row) for each row and collects the vectors it returns, (rows, 3).
template <typename F>
Array<double> vectors(py::ssize_t rows, F f) {
    Array<double> result({rows, py::ssize_t{3}});
    auto out = result.mutable_unchecked<2>();
    for (py::ssize_t row = 0; row < rows; ++row) {
        const Vec3 v = f(row);
        for (int a = 0; a < 3; ++a) {
            out(row, a) = v[a];
        }
    }
    return result;
}

Vec3 row_of(const Array<double> &array, py::ssize_t row) {
    const double *v = array.data(row, 0);
    return {v[0], v[1], v[2]};
}

// === model header ===

py::dict parse_header(const std::string &text, const std::string &who) {
    const spinff::ModelHeader header = spinff::parse_header(text, who);
    py::dict result;
    result["format_version"] = header.format_version;
    result["backend"] = header.backend;
    result["model_class"] = header.model_class;
    result["strictly_local"] = header.strictly_local;
    result["moment_mode"] = header.moment_mode;
    result["has_couplings"] = spinff::has_couplings(header);
    result["terms"] = header.terms;
    result["spin_orbit_coupling"] = header.spin_orbit_coupling;
    result["type_names"] = header.type_names;
    result["magnetic"] = header.magnetic;
    result["moments"] = header.moments;
    result["r_max"] = header.r_max;
    result["cutoffs"] = header.cutoffs;
    result["dtype"] = header.dtype;
    return result;
}

// === exchange ===

/// The arrays of an exchange contraction, checked.
struct ExchangeArrays {
    ExchangeArrays(const Array<int> &pairs, const Array<double> &tensors,
                   const Array<double> &biquadratic, const Array<double> &directions) {
        check_shape(pairs, "pairs", {-1, 2});
        check_shape(tensors, "tensors", {pairs.shape(0), 3, 3});
        check_shape(biquadratic, "biquadratic", {pairs.shape(0)});
        check_shape(directions, "directions", {-1, 3});
        num_atoms = directions.shape(0);
        for (py::ssize_t p = 0; p < pairs.shape(0); ++p) {
            for (int end = 0; end < 2; ++end) {
                if (pairs.at(p, end) < 0 || pairs.at(p, end) >= num_atoms) {
                    throw spinff::Error("spinff._core: pair " + std::to_string(p) +
                                        " names a missing atom, got index " +
                                        std::to_string(pairs.at(p, end)) + ", expected one below " +
                                        std::to_string(num_atoms));
                }
            }
        }
        // The same memory: rows of two contiguous ints.
        view.pairs = {reinterpret_cast<const std::array<int, 2> *>(pairs.data()),
                      static_cast<std::size_t>(pairs.shape(0))};
        view.tensors = {tensors.data(), static_cast<std::size_t>(tensors.size())};
        view.biquadratic = {biquadratic.data(), static_cast<std::size_t>(biquadratic.size())};
        rows = {directions.data(), 3};
    }

    spinff::ExchangeView view;
    spinff::Rows<const double> rows{};
    py::ssize_t num_atoms = 0;
};

Array<double> exchange_energy(const Array<int> &pairs, const Array<double> &tensors,
                              const Array<double> &biquadratic, const Array<double> &directions) {
    const ExchangeArrays arrays(pairs, tensors, biquadratic, directions);
    Array<double> energy(arrays.num_atoms);
    std::fill_n(energy.mutable_data(), energy.size(), 0.0);
    const spinff::Rows<double> rows = {energy.mutable_data(), 1};
    spinff::add_exchange_energy(arrays.view, arrays.rows, rows, rows);
    return energy;
}

Array<double> exchange_gradient(const Array<int> &pairs, const Array<double> &tensors,
                                const Array<double> &biquadratic, const Array<double> &directions) {
    const ExchangeArrays arrays(pairs, tensors, biquadratic, directions);
    Array<double> gradient({arrays.num_atoms, py::ssize_t{3}});
    std::fill_n(gradient.mutable_data(), gradient.size(), 0.0);
    spinff::add_exchange_gradient(arrays.view, arrays.rows, {gradient.mutable_data(), 3});
    return gradient;
}

// === anisotropy ===

Array<double> anisotropy_energy(const Array<double> &tensors, const Array<double> &directions) {
    check_shape(directions, "directions", {-1, 3});
    check_shape(tensors, "tensors", {directions.shape(0), 3, 3});
    Array<double> energy(directions.shape(0));
    std::fill_n(energy.mutable_data(), energy.size(), 0.0);
    spinff::add_anisotropy_energy({tensors.data(), static_cast<std::size_t>(tensors.size())},
                                  {directions.data(), 3}, {energy.mutable_data(), 1});
    return energy;
}

Array<double> anisotropy_gradient(const Array<double> &tensors, const Array<double> &directions) {
    check_shape(directions, "directions", {-1, 3});
    check_shape(tensors, "tensors", {directions.shape(0), 3, 3});
    Array<double> gradient({directions.shape(0), py::ssize_t{3}});
    std::fill_n(gradient.mutable_data(), gradient.size(), 0.0);
    spinff::add_anisotropy_gradient({tensors.data(), static_cast<std::size_t>(tensors.size())},
                                    {directions.data(), 3}, {gradient.mutable_data(), 3});
    return gradient;
}

// === spin dynamics ===

Array<double> sib_rotate(const Array<double> &spins, const Array<double> &rotation) {
    check_shape(spins, "spins", {-1, 3});
    check_shape(rotation, "rotation", {spins.shape(0), 3});
    return vectors(spins.shape(0), [&](py::ssize_t row) {
        return spinff::sib_rotate(row_of(spins, row), row_of(rotation, row));
    });
}

Array<double> sib_advance(const Array<double> &start, const Array<double> &spins,
                          const Array<double> &fm, const Array<double> &rate,
                          const Array<double> &eta, double alpha, double dt) {
    check_shape(start, "start", {-1, 3});
    for (const auto &[array, name] : {std::pair{&spins, "spins"}, {&fm, "fm"}, {&eta, "eta"}}) {
        check_shape(*array, name, {start.shape(0), 3});
    }
    check_shape(rate, "rate", {start.shape(0)});
    return vectors(start.shape(0), [&](py::ssize_t row) {
        return spinff::sib_advance(row_of(start, row), row_of(spins, row), row_of(fm, row),
                                   rate.at(row), row_of(eta, row), alpha, dt);
    });
}

Array<double> gaussian3(std::uint32_t seed, const Array<std::uint64_t> &tags, std::uint64_t step,
                        std::uint32_t stage) {
    check_shape(tags, "tags", {-1});
    return vectors(tags.shape(0), [&](py::ssize_t row) {
        return spinff::gaussian3(seed, tags.at(row), step, stage);
    });
}

void translate_error(std::exception_ptr pointer) {
    try {
        if (pointer) {
            std::rethrow_exception(pointer);
        }
    } catch (const spinff::Error &error) {
        py::set_error(py::module_::import("spinff.errors").attr("SpinffError"), error.what());
    }
}

} // namespace

PYBIND11_MODULE(_core, module) {
    module.doc() = "Compiled core of spinff: model header, exchange contraction, spin dynamics, "
                   "Monte Carlo, minimiser, observables.";
    py::register_exception_translator(translate_error);

    module.attr("hbar") = spinff::units::hbar;
    module.attr("mu_B") = spinff::units::mu_B;
    module.attr("k_B") = spinff::units::k_B;
    module.attr("g_e") = spinff::units::g_e;

    module.def("parse_header", &parse_header, py::arg("text"), py::arg("who"),
               "Checks the text of spinff.json field by field; per-type values are lists in the "
               "order of type_names.");
    module.def("exchange_energy", &exchange_energy, py::arg("pairs"), py::arg("tensors"),
               py::arg("biquadratic"), py::arg("directions"),
               "Energy (N) of each centre, 1/2 sum_j [e_i J_ij e_j + K_ij (e_i e_j)^2] over its "
               "directed pairs (P,2) with J (P,3,3) and K (P,), eV.");
    module.def("exchange_gradient", &exchange_gradient, py::arg("pairs"), py::arg("tensors"),
               py::arg("biquadratic"), py::arg("directions"),
               "dE/de (N,3) of the same energy, eV.");
    module.def("anisotropy_energy", &anisotropy_energy, py::arg("tensors"), py::arg("directions"),
               "Energy e_i A_i e_i (N) of each atom with A (N,3,3), eV.");
    module.def("anisotropy_gradient", &anisotropy_gradient, py::arg("tensors"),
               py::arg("directions"), "dE/de (N,3) of the same energy, eV.");
    module.def("sib_rotate", &sib_rotate, py::arg("spins"), py::arg("rotation"),
               "Solves s' = s + F x (s + s')/2 for each row of spins and rotation F.");
    module.def("sib_advance", &sib_advance, py::arg("start"), py::arg("spins"), py::arg("fm"),
               py::arg("rate"), py::arg("eta"), py::arg("alpha"), py::arg("dt"),
               "One half of an SIB step, predictor or corrector; see cpp/include/spinff/sib.hpp.");
    module.def("noise_amplitude", &spinff::noise_amplitude, py::arg("alpha"),
               py::arg("temperature"), py::arg("rate"), py::arg("dt"),
               "Standard deviation of a component of the thermal precession vector, rad/ps.");
    module.def("philox4x32", &spinff::philox4x32, py::arg("counter"), py::arg("key"),
               "Ten rounds of Philox4x32.");
    module.def("gaussian3", &gaussian3, py::arg("seed"), py::arg("tags"), py::arg("step"),
               py::arg("stage"), "Three standard normal numbers for each atom tag, (N,3).");
    define_spins(module);
}
