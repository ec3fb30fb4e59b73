// SPDX-License-Identifier: MIT
//
// Energy, gradient and the energy of one spin against each other, on bonds of every kind, those of
// an atom with its own image among them; and what is refused.
#include "check.hpp"
#include "lattices.hpp"

#include "spinff/error.hpp"

#include <cmath>
#include <limits>
#include <string>

using namespace spinff;

namespace {

constexpr int size = 4;
const Tensor3 symmetric = {0.4, 0.1, -0.2, 0.1, -0.3, 0.05, -0.2, 0.05, 0.7};

Tensor3 random_tensor(std::mt19937 &engine) {
    std::normal_distribution<double> normal;
    Tensor3 tensor;
    for (double &element : tensor) {
        element = normal(engine);
    }
    return tensor;
}

/// Four spins: full tensors with K on every pair, on two bonds of the same pair, and to an image.
SpinHamiltonian everything() {
    std::mt19937 engine(5);
    Lattice lattice{size, symmetric};
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j < i; ++j) {
            lattice.add(i, j, random_tensor(engine), 0.3 * i - 0.2 * j);
        }
    }
    lattice.add(0, 3, random_tensor(engine), 0.4);
    lattice.add(1, 1, random_tensor(engine), 0.8);
    SpinHamiltonian hamiltonian = lattice.hamiltonian();
    hamiltonian.set_field({{0.1, 0.2, 0.3}, {-0.3, 0.1, 0.0}, {0.0, 0.0, 0.0}, {0.5, -0.2, 0.1}});
    return hamiltonian;
}

/// Isotropic couplings take a short cut.
SpinHamiltonian isotropic() {
    Lattice lattice{size, symmetric};
    lattice.add(0, 1, exchange(0.7));
    lattice.add(0, 2, exchange(-0.2));
    lattice.add(2, 2, exchange(1.5));
    return lattice.hamiltonian();
}

void test_gradient(const SpinHamiltonian &hamiltonian) {
    const Spins spins = random_spins(size, 3);
    constexpr double step = 1e-5;
    for (int i = 0; i < size; ++i) {
        const Vec3 gradient = hamiltonian.gradient(i, rows(spins));
        for (int a = 0; a < 3; ++a) {
            Spins up = spins, down = spins;
            up[3 * i + a] += step;
            down[3 * i + a] -= step;
            const double slope =
                (hamiltonian.energy(rows(up)) - hamiltonian.energy(rows(down))) / (2 * step);
            // K of a bond to itself is constant on the sphere; its slope is along the spin
            CHECK_NEAR(gradient[a], slope, 1e-8);
        }
    }
}

void test_one_spin_energy(const SpinHamiltonian &hamiltonian, bool linear) {
    const Spins spins = random_spins(size, 4);
    for (int i = 0; i < size; ++i) {
        const OneSpinEnergy one = hamiltonian.one_spin_energy(i, rows(spins));
        CHECK(one.is_linear == linear);
        for (unsigned seed = 10; seed < 13; ++seed) {
            Spins turned = spins;
            const Spins other = random_spins(1, seed);
            std::copy(other.begin(), other.end(), turned.begin() + 3 * i);
            const Vec3 from = spin(spins, i), to = spin(turned, i);
            const double change = dot(one.linear, to) - dot(one.linear, from) +
                                  one.quadratic_part(to) - one.quadratic_part(from);
            CHECK_NEAR(change, hamiltonian.energy(rows(turned)) - hamiltonian.energy(rows(spins)),
                       1e-12);
        }
    }
}

/// Atoms without a spin keep their rows.
void test_rows() {
    const std::vector<std::array<int, 2>> pairs = {{1, 3}, {3, 1}};
    const SpinHamiltonian hamiltonian(std::vector{-1, 0, -1, 0}, {Tensor3{}}, pairs,
                                      std::vector{0, 0}, {{exchange(2.0), 0.0}});
    CHECK(hamiltonian.num_rows() == 4 && hamiltonian.num_spins() == 2);
    CHECK(hamiltonian.row(0) == 1 && hamiltonian.row(1) == 3);
    CHECK(!hamiltonian.has_biquadratic() && everything().has_biquadratic());
    const Spins spins = {9, 9, 9, 0, 0, 1, 9, 9, 9, 0, 0.6, 0.8};
    hamiltonian.check_directions(rows(spins));
    CHECK_NEAR(hamiltonian.energy(rows(spins)), 1.6, 1e-15);
}

struct Parts {
    std::vector<int> species = {0, 0};
    std::vector<Tensor3> anisotropy = {symmetric};
    std::vector<std::array<int, 2>> pairs = {{0, 1}, {1, 0}};
    std::vector<int> couplings = {0, 1};
    std::vector<BondConstants> constants = {{exchange(1.0, {0, 0, 1}), 0.0},
                                            {exchange(1.0, {0, 0, -1}), 0.0}};
};

template <typename F>
void check_message(F change, const std::string &part) {
    Parts parts;
    change(parts);
    std::string text = "nothing";
    try {
        const SpinHamiltonian h(parts.species, parts.anisotropy, parts.pairs, parts.couplings,
                                parts.constants);
    } catch (const Error &error) {
        text = error.what();
    }
    if (text.find(part) == std::string::npos || text.find(", got ") == std::string::npos ||
        text.find(", expected ") == std::string::npos || text.find("; ") == std::string::npos) {
        report(__FILE__, __LINE__, "expected '" + part + "', got: " + text);
    }
}

void test_messages() {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    check_message([](Parts &p) { p.species[1] = 1; }, "the species of atom 1 is out of range");
    check_message([](Parts &p) { p.species[1] = -1; }, "bond 0 has an end without a spin");
    check_message([](Parts &p) { p.pairs[1][0] = 2; }, "an atom of bond 1 is out of range, got 2");
    check_message([](Parts &p) { p.couplings[0] = -1; }, "the coupling of bond 0 is out of range");
    check_message([](Parts &p) { p.anisotropy[0][1] = 1; }, "A of species 0 is not symmetric");
    check_message([=](Parts &p) { p.anisotropy[0][4] = nan; }, "A of species 0 is not finite");
    check_message([=](Parts &p) { p.constants[1].tensor[2] = nan; }, "J of coupling 1 is not");
    check_message([=](Parts &p) { p.constants[0].biquadratic = nan; }, "K of coupling 0 is not");
    check_message([](Parts &p) { p.couplings[1] = 0; }, "atoms 0 and 1 are not the same from both");
    check_message([](Parts &p) { p.pairs[1] = {0, 1}; }, "not the same from both ends");
    check_message([](Parts &p) { p.constants[1].biquadratic = 1; }, "not the same from both ends");
    check_message(
        [](Parts &p) {
            p.pairs = {{1, 1}, {1, 1}};
            p.couplings = {0, 0};
        },
        "the bonds between atoms 1 and 1 are not the same");
}

void test_directions_are_checked() {
    SpinHamiltonian hamiltonian = isotropic();
    Spins spins = random_spins(size, 8);
    spins[4] *= 1.1;
    bool thrown = false;
    try {
        hamiltonian.check_directions(rows(spins));
    } catch (const Error &error) {
        thrown = std::string(error.what()).find("on atom 1, expected 1") != std::string::npos;
    }
    CHECK(thrown);
}

} // namespace

int main() {
    test_gradient(everything());
    test_gradient(isotropic());
    test_one_spin_energy(everything(), false);
    Lattice heisenberg = chain(size, exchange(0.7, {0.1, 0.2, 0.3}), true);
    test_one_spin_energy(heisenberg.hamiltonian(), true);
    test_one_spin_energy(isotropic(), false);
    heisenberg = chain(size, exchange(0.7), true);
    test_one_spin_energy(heisenberg.hamiltonian(), true);
    test_rows();
    test_messages();
    test_directions_are_checked();
    return failures();
}
