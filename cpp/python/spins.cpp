// SPDX-License-Identifier: MIT
//
// Coupling tables, Hamiltonians of frozen couplings, observables. spinff.spins is their face.
#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "spinff/coupling_table.hpp"
#include "spinff/minimise.hpp"
#include "spinff/monte_carlo.hpp"
#include "spinff/observables.hpp"
#include "spinff/spin_hamiltonian.hpp"

namespace py = pybind11;

namespace {

using spinff::CouplingTable;
using spinff::SpinHamiltonian;
using spinff::Tensor3;
using spinff::Vec3;

/// An array that is changed in place: it must be what it is, a copy would be of no use.
using InPlace = py::array_t<double, py::array::c_style>;

template <typename T>
std::span<const T> span_of(const Array<T> &array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

/// Rows of N contiguous T as arrays.
template <typename T, std::size_t N>
std::span<const std::array<T, N>> groups_of(const Array<T> &array) {
    return {reinterpret_cast<const std::array<T, N> *>(array.data()),
            static_cast<std::size_t>(array.size()) / N};
}

template <std::size_t N>
std::vector<std::array<double, N>> copy_groups(const Array<double> &array) {
    const auto groups = groups_of<double, N>(array);
    return {groups.begin(), groups.end()};
}

Array<double> matrices(const std::vector<Tensor3> &tensors) {
    Array<double> result(
        {static_cast<py::ssize_t>(tensors.size()), py::ssize_t{3}, py::ssize_t{3}});
    std::copy_n(tensors.empty() ? nullptr : tensors[0].data(), result.size(),
                result.mutable_data());
    return result;
}

void check_rows(const SpinHamiltonian &hamiltonian, const py::array &directions) {
    check_shape(directions, "directions", {static_cast<py::ssize_t>(hamiltonian.num_rows()), 3});
}

// === tables ===

Array<double> table_anisotropy(const CouplingTable &table) {
    std::vector<Tensor3> tensors;
    for (const auto &species : table.species) {
        tensors.push_back(species.anisotropy);
    }
    return matrices(tensors);
}

Array<double> table_tensors(const CouplingTable &table) {
    std::vector<Tensor3> tensors;
    for (const auto &coupling : table.couplings) {
        tensors.push_back(coupling.tensor);
    }
    return matrices(tensors);
}

std::vector<double> table_biquadratic(const CouplingTable &table) {
    std::vector<double> values;
    for (const auto &coupling : table.couplings) {
        values.push_back(coupling.biquadratic);
    }
    return values;
}

std::map<std::string, double> table_moments(const CouplingTable &table) {
    std::map<std::string, double> moments;
    for (const auto &species : table.species) {
        moments[species.name] = species.moment;
    }
    return moments;
}

/// Index and mismatch of the coupling nearest to each pair.
py::tuple nearest(const CouplingTable &table, const Array<int> &species, const Array<int> &pairs,
                  const Array<double> &vectors) {
    check_shape(species, "species", {-1});
    check_shape(pairs, "pairs", {-1, 2});
    check_shape(vectors, "vectors", {pairs.shape(0), 3});
    Array<int> couplings(pairs.shape(0));
    Array<double> mismatch(pairs.shape(0));
    for (py::ssize_t p = 0; p < pairs.shape(0); ++p) {
        const Vec3 r = groups_of<double, 3>(vectors)[p];
        const auto match = table.nearest(species.at(pairs.at(p, 0)), species.at(pairs.at(p, 1)), r);
        couplings.mutable_at(p) = match.coupling;
        mismatch.mutable_at(p) = match.mismatch;
    }
    return py::make_tuple(couplings, mismatch);
}

std::string describe(const CouplingTable &table, std::size_t coupling) {
    return table.describe(table.couplings.at(coupling));
}

void define_table(py::module_ &module) {
    py::class_<CouplingTable>(module, "CouplingTable", "A checked table of couplings, in eV.")
        .def(py::init(&spinff::parse_coupling_table), py::arg("text"), py::arg("who"),
             "Reads the JSON text; `who` begins every message.")
        .def_readonly("tolerance", &CouplingTable::tolerance, "Largest mismatch of a bond, Å.")
        .def_property_readonly("moments", &table_moments, "Species: moment, µB.")
        .def_property_readonly("anisotropy", &table_anisotropy, "A of each species, (S,3,3) eV.")
        .def_property_readonly("tensors", &table_tensors, "J of each coupling, (C,3,3) eV.")
        .def_property_readonly("biquadratic", &table_biquadratic, "K of each coupling, (C,) eV.")
        .def("find_species", &CouplingTable::find_species, py::arg("name"),
             "Index of a species, -1 for an unknown name.")
        .def("cutoff", &CouplingTable::cutoff, py::arg("centre"), py::arg("neighbour"),
             "Longest bond between two species and twice the tolerance, Å.")
        .def("describe", &describe, py::arg("coupling"), "Words for a message.")
        .def("nearest", &nearest, py::arg("species"), py::arg("pairs"), py::arg("vectors"),
             "Index (P,), -1 for none, and mismatch (P,) in Å of the coupling nearest to each pair "
             "(P,2) of atoms with vectors (P,3) and species (N,).");
}

// === Hamiltonians ===

SpinHamiltonian make_hamiltonian(const Array<int> &species, const Array<double> &anisotropy,
                                 const Array<int> &pairs, const Array<int> &couplings,
                                 const Array<double> &tensors, const Array<double> &biquadratic) {
    check_shape(species, "species", {-1});
    check_shape(anisotropy, "anisotropy", {-1, 3, 3});
    check_shape(pairs, "pairs", {-1, 2});
    check_shape(couplings, "couplings", {pairs.shape(0)});
    check_shape(tensors, "tensors", {-1, 3, 3});
    check_shape(biquadratic, "biquadratic", {tensors.shape(0)});
    std::vector<spinff::BondConstants> constants;
    for (py::ssize_t k = 0; k < tensors.shape(0); ++k) {
        constants.push_back({groups_of<double, 9>(tensors)[k], biquadratic.at(k)});
    }
    return {span_of(species), copy_groups<9>(anisotropy), groups_of<int, 2>(pairs),
            span_of(couplings), std::move(constants)};
}

void set_field(SpinHamiltonian &hamiltonian, const Array<double> &field) {
    check_shape(field, "field", {static_cast<py::ssize_t>(hamiltonian.num_rows()), 3});
    hamiltonian.set_field(copy_groups<3>(field));
}

double energy(const SpinHamiltonian &hamiltonian, const Array<double> &directions) {
    check_rows(hamiltonian, directions);
    return hamiltonian.energy({directions.data(), 3});
}

Array<double> gradient(const SpinHamiltonian &hamiltonian, const Array<double> &directions) {
    check_rows(hamiltonian, directions);
    Array<double> result({directions.shape(0), py::ssize_t{3}});
    std::fill_n(result.mutable_data(), result.size(), 0.0);
    for (std::size_t spin = 0; spin < hamiltonian.num_spins(); ++spin) {
        const Vec3 g = hamiltonian.gradient(spin, {directions.data(), 3});
        std::copy(g.begin(), g.end(), result.mutable_data(hamiltonian.row(spin), 0));
    }
    return result;
}

py::tuple minimise(const SpinHamiltonian &hamiltonian, InPlace directions, double torque_tolerance,
                   std::size_t max_iterations) {
    check_rows(hamiltonian, directions);
    const auto minimum = spinff::minimise(hamiltonian, {torque_tolerance, max_iterations},
                                          {directions.mutable_data(), 3});
    return py::make_tuple(minimum.iterations, minimum.max_torque, minimum.energy_changes);
}

spinff::Move move_of(const std::string &name) {
    static const std::map<std::string, spinff::Move> moves = {
        {"random", spinff::Move::random},
        {"cone", spinff::Move::cone},
        {"heat_bath", spinff::Move::heat_bath}};
    const auto found = moves.find(name);
    if (found == moves.end()) {
        throw spinff::Error("Monte Carlo: unknown move, got '" + name +
                            "', expected 'heat_bath', 'cone' or 'random'; correct it");
    }
    return found->second;
}

/// Sweeps first, first + 1, ...; after every `every` of them the energy gained so far and the
/// order parameter.
py::tuple monte_carlo(const SpinHamiltonian &hamiltonian, InPlace directions,
                      const Array<double> &weights, const std::string &move, double cone_angle,
                      double kT, std::uint32_t seed, std::uint64_t first, std::uint64_t sweeps,
                      std::uint64_t every) {
    check_rows(hamiltonian, directions);
    check_shape(weights, "weights", {directions.shape(0)});
    if (every == 0) {
        throw spinff::Error("Monte Carlo: 'every' is wrong, got 0, expected 1 or more sweeps "
                            "between measurements; correct it");
    }
    const spinff::Rows<double> rows = {directions.mutable_data(), 3};
    hamiltonian.check_directions(rows);
    const spinff::MonteCarlo settings = {move_of(move), cone_angle, kT, seed};
    std::vector<double> energies;
    std::vector<Vec3> orders;
    std::size_t accepted = 0;
    double gained = 0.0;
    for (std::uint64_t sweep = 0; sweep < sweeps; ++sweep) {
        if (PyErr_CheckSignals() != 0) { // control-C
            throw py::error_already_set();
        }
        const auto outcome = spinff::monte_carlo_sweep(hamiltonian, settings, first + sweep, rows);
        accepted += outcome.accepted;
        gained += outcome.energy_change;
        if ((sweep + 1) % every == 0) {
            energies.push_back(gained);
            orders.push_back(spinff::order_parameter(span_of(weights), rows));
        }
    }
    return py::make_tuple(accepted, energies, orders);
}

void define_hamiltonian(py::module_ &module) {
    py::class_<SpinHamiltonian>(module, "SpinHamiltonian",
                                "Frozen couplings and a field; directions are (N,3).")
        .def(py::init(&make_hamiltonian), py::arg("species"), py::arg("anisotropy"),
             py::arg("pairs"), py::arg("couplings"), py::arg("tensors"), py::arg("biquadratic"),
             "Species (N,), -1 without a spin; A (S,3,3) eV of each; bonds (P,2), listed at both "
             "ends, with the index (P,) of their J (C,3,3) and K (C,), eV.")
        .def("set_field", &set_field, py::arg("field"), "h (N,3) in eV: E = -sum h_i e_i.")
        .def("energy", &energy, py::arg("directions"), "eV.")
        .def("gradient", &gradient, py::arg("directions"), "dE/de (N,3), eV.")
        .def("minimise", &minimise, py::arg("directions").noconvert(), py::arg("torque_tolerance"),
             py::arg("max_iterations"),
             "Turns the spins, in place, into a local minimum; iterations, largest torque (eV), "
             "change of the energy in each iteration (eV).")
        .def("monte_carlo", &monte_carlo, py::arg("directions").noconvert(), py::arg("weights"),
             py::arg("move"), py::arg("cone_angle"), py::arg("kT"), py::arg("seed"),
             py::arg("first"), py::arg("sweeps"), py::arg("every"),
             "Sweeps, in place; number of accepted moves, and after every so many sweeps the "
             "energy relative to the start (eV) and sum_i w_i e_i (3).");
}

// === observables ===

Vec3 order_parameter(const Array<double> &weights, const Array<double> &directions) {
    check_shape(directions, "directions", {-1, 3});
    check_shape(weights, "weights", {directions.shape(0)});
    return spinff::order_parameter(span_of(weights), {directions.data(), 3});
}

std::array<std::complex<double>, 3> fourier_component(const Array<double> &weights,
                                                      const Array<double> &positions, const Vec3 &q,
                                                      const Array<double> &directions) {
    check_shape(directions, "directions", {-1, 3});
    check_shape(positions, "positions", {directions.shape(0), 3});
    check_shape(weights, "weights", {directions.shape(0)});
    return spinff::fourier_component(span_of(weights), {positions.data(), 3}, q,
                                     {directions.data(), 3});
}

Array<double> solid_angles(const Array<int> &triangles, const Array<double> &directions) {
    check_shape(triangles, "triangles", {-1, 3});
    check_shape(directions, "directions", {-1, 3});
    const auto angles = spinff::solid_angles(groups_of<int, 3>(triangles), {directions.data(), 3},
                                             directions.shape(0));
    return Array<double>(angles.size(), angles.data());
}

double topological_charge(const Array<int> &triangles, const Array<double> &directions) {
    check_shape(triangles, "triangles", {-1, 3});
    check_shape(directions, "directions", {-1, 3});
    return spinff::topological_charge(groups_of<int, 3>(triangles), {directions.data(), 3},
                                      directions.shape(0));
}

void define_observables(py::module_ &module) {
    module.def("order_parameter", &order_parameter, py::arg("weights"), py::arg("directions"),
               "sum_i w_i e_i (3) of weights (N,) and directions (N,3).");
    module.def("fourier_component", &fourier_component, py::arg("weights"), py::arg("positions"),
               py::arg("q"), py::arg("directions"),
               "sum_i w_i exp(-i q r_i) e_i (3), positions (N,3) in Å and q (3) in 1/Å.");
    module.def("solid_angles", &solid_angles, py::arg("triangles"), py::arg("directions"),
               "Solid angle (T,) of the spins of each triangle (T,3), -2 pi to 2 pi.");
    module.def("topological_charge", &topological_charge, py::arg("triangles"),
               py::arg("directions"), "Sum of the solid angles over 4 pi.");
}

} // namespace

void define_spins(py::module_ &module) {
    define_table(module);
    define_hamiltonian(module);
    define_observables(module);
}
