// SPDX-License-Identifier: MIT
//
// Classical ground states that are known, the torque at the end, and that the energy never rises.
#include "check.hpp"
#include "lattices.hpp"

#include "spinff/error.hpp"
#include "spinff/minimise.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

using namespace spinff;

namespace {

constexpr double tolerance = 1e-9;

/// Runs the minimiser and checks what holds for every system.
Minimum minimum_of(const SpinHamiltonian &hamiltonian, Spins &spins) {
    const double start = hamiltonian.energy(rows(spins));
    const Minimum minimum = minimise(hamiltonian, {tolerance, 5000}, rows(spins));
    double sum = 0.0;
    for (const double change : minimum.energy_changes) {
        CHECK(change < 0.0);
        sum += change;
    }
    CHECK(minimum.energy_changes.size() == minimum.iterations);
    CHECK_NEAR(hamiltonian.energy(rows(spins)), start + sum, 1e-10 * std::abs(start) + 1e-12);
    double largest = 0.0;
    for (std::size_t k = 0; k < hamiltonian.num_spins(); ++k) {
        const Vec3 e = spin(spins, k);
        const Vec3 torque = cross(e, hamiltonian.gradient(k, rows(spins)));
        largest = std::max(largest, std::sqrt(dot(torque, torque)));
        CHECK_NEAR(dot(e, e), 1.0, 1e-14);
    }
    CHECK(largest <= tolerance);
    CHECK_NEAR(largest, minimum.max_torque, 1e-13);
    return minimum;
}

/// All parallel, or antiparallel on two sublattices: −3 |J| a spin in simple cubic.
void test_cubic(double J) {
    const Lattice lattice = cubic(4, J);
    const SpinHamiltonian hamiltonian = lattice.hamiltonian();
    Spins spins = random_spins(lattice.size, 1);
    const Minimum minimum = minimum_of(hamiltonian, spins);
    CHECK(minimum.iterations < 200);
    CHECK_NEAR(hamiltonian.energy(rows(spins)), -3.0 * std::abs(J) * lattice.size, 1e-12);
    for (const auto &[i, j] : lattice.pairs) {
        CHECK_NEAR(dot(spin(spins, i), spin(spins, j)), J < 0 ? 1.0 : -1.0, 1e-12);
    }
}

/// Angle D/J between neighbours, about D.
void test_spiral() {
    const double J = 1.0, D = 0.8165;
    const int n = 40;
    const Lattice lattice = chain(n, exchange(-J, {D, 0, 0}), false);
    const SpinHamiltonian hamiltonian = lattice.hamiltonian();
    Spins spins = random_spins(n, 2);
    minimum_of(hamiltonian, spins);
    CHECK_NEAR(hamiltonian.energy(rows(spins)), -(n - 1) * std::hypot(J, D), 1e-9);
    for (int k = 0; k + 1 < n; ++k) {
        const Vec3 turn = cross(spin(spins, k), spin(spins, k + 1));
        CHECK_NEAR(std::atan2(-turn[0], dot(spin(spins, k), spin(spins, k + 1))), std::atan2(D, J),
                   1e-8);
        CHECK_NEAR(spins[3 * k], 0.0, 1e-8);
    }
}

/// Each spin finds the easy axis; a field beyond the anisotropy's turns the axis over.
void test_easy_axis() {
    const int n = 20;
    const Vec3 axis = direction({1.0, 2.0, -1.0});
    Lattice lattice{n};
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) {
            lattice.anisotropy[3 * a + b] = -0.7 * axis[a] * axis[b];
        }
    }
    SpinHamiltonian hamiltonian = lattice.hamiltonian();
    Spins spins = random_spins(n, 3);
    minimum_of(hamiltonian, spins);
    for (int k = 0; k < n; ++k) {
        CHECK_NEAR(std::abs(dot(spin(spins, k), axis)), 1.0, 1e-12);
    }
    hamiltonian.set_field(std::vector<Vec3>(n, Vec3{0.0, 0.0, 5.0}));
    minimum_of(hamiltonian, spins);
    for (int k = 0; k < n; ++k) {
        CHECK(spins[3 * k + 2] > 0.9);
    }
}

/// K > 0 makes neighbours perpendicular: a pair with J has cos = −J/2K.
void test_biquadratic() {
    Lattice lattice{2};
    lattice.add(0, 1, exchange(0.5), 1.0);
    const SpinHamiltonian hamiltonian = lattice.hamiltonian();
    Spins spins = random_spins(2, 4);
    minimum_of(hamiltonian, spins);
    CHECK_NEAR(dot(spin(spins, 0), spin(spins, 1)), -0.25, 1e-8);
}

/// Three antiferromagnetic spins in a triangle are at 120°.
void test_frustrated() {
    const SpinHamiltonian hamiltonian = chain(3, exchange(1.0), true).hamiltonian();
    Spins spins = random_spins(3, 5);
    minimum_of(hamiltonian, spins);
    for (int k = 0; k < 3; ++k) {
        CHECK_NEAR(dot(spin(spins, k), spin(spins, (k + 1) % 3)), -0.5, 1e-9);
    }
}

std::string message(const SpinHamiltonian &hamiltonian, const MinimiseOptions &options,
                    Spins &spins) {
    try {
        minimise(hamiltonian, options, rows(spins));
    } catch (const Error &error) {
        return error.what();
    }
    return "nothing";
}

void test_messages() {
    const SpinHamiltonian hamiltonian = cubic(3, -1.0).hamiltonian();
    Spins spins = random_spins(27, 7);
    const double start = hamiltonian.energy(rows(spins));
    const std::string late = message(hamiltonian, {1e-9, 3}, spins);
    CHECK(late.find("no minimum after 3 iterations, got a largest torque of ") !=
          std::string::npos);
    CHECK(hamiltonian.energy(rows(spins)) < start); // it went as far as it got
    CHECK(message(hamiltonian, {0.0, 3}, spins).find("tolerance is wrong, got 0 eV") !=
          std::string::npos);
    CHECK(message(hamiltonian, {1e-30, 1000}, spins).find("minimise: ") == 0); // and no endless run
    spins[0] = 2.0;
    CHECK(message(hamiltonian, {1e-9, 3}, spins).find("no unit vector") != std::string::npos);
}

/// In equilibrium nothing moves.
void test_no_iteration() {
    const SpinHamiltonian hamiltonian = cubic(3, -1.0).hamiltonian();
    Spins spins;
    for (int k = 0; k < 27; ++k) {
        spins.insert(spins.end(), {0.0, 0.6, 0.8});
    }
    const Spins before = spins;
    CHECK(minimise(hamiltonian, {}, rows(spins)).iterations == 0);
    CHECK(spins == before);
}

} // namespace

int main() {
    test_cubic(-1.0);
    test_cubic(1.0);
    test_spiral();
    test_easy_axis();
    test_biquadratic();
    test_frustrated();
    test_messages();
    test_no_iteration();
    return failures();
}
