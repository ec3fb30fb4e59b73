// SPDX-License-Identifier: MIT
//
// The single-ion anisotropy (spinff/anisotropy.hpp) against plain sums and finite differences.
#include "check.hpp"

#include "spinff/anisotropy.hpp"

#include <numeric>
#include <random>
#include <vector>

using namespace spinff;

namespace {

constexpr int num_atoms = 4;

/// Random tensors, not symmetric on purpose, and spins in rows of four.
struct Sample {
    Sample() {
        std::mt19937 engine(5);
        std::normal_distribution<double> normal;
        for (int k = 0; k < 9 * num_atoms; ++k) {
            tensors.push_back(normal(engine));
        }
        for (int k = 0; k < 4 * num_atoms; ++k) {
            spins.push_back(normal(engine));
        }
    }

    Rows<const double> rows() const { return {spins.data(), 4}; }

    double energy() const {
        std::vector<double> atoms(num_atoms, 0.0);
        add_anisotropy_energy(tensors, rows(), {atoms.data(), 1});
        return std::accumulate(atoms.begin(), atoms.end(), 0.0);
    }

    std::vector<double> tensors, spins;
};

/// d energy / d value by central differences.
double slope(const Sample &sample, double &value) {
    const double step = 1e-5;
    const double before = value;
    value = before + step;
    const double up = sample.energy();
    value = before - step;
    const double down = sample.energy();
    value = before;
    return (up - down) / (2.0 * step);
}

void test_energy_is_the_plain_sum() {
    const Sample sample;
    std::vector<double> table(3 * num_atoms, 1.0); // adds to what is there
    add_anisotropy_energy(sample.tensors, sample.rows(), {&table[1], 3});
    for (int i = 0; i < num_atoms; ++i) {
        double expected = 1.0;
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                expected += sample.spins[4 * i + a] * sample.tensors[9 * i + 3 * a + b] *
                            sample.spins[4 * i + b];
            }
        }
        CHECK_NEAR(table[3 * i + 1], expected, 1e-12);
        CHECK(table[3 * i] == 1.0 && table[3 * i + 2] == 1.0);
    }
}

void test_gradient_is_the_slope() {
    Sample sample;
    std::vector<double> gradient(3 * num_atoms, 1.0);
    add_anisotropy_gradient(sample.tensors, sample.rows(), {gradient.data(), 3});
    for (int i = 0; i < num_atoms; ++i) {
        for (int a = 0; a < 3; ++a) {
            CHECK_NEAR(gradient[3 * i + a], 1.0 + slope(sample, sample.spins[4 * i + a]), 1e-8);
        }
    }
}

void test_weights_are_the_slopes() {
    Sample sample;
    std::vector<double> weights(sample.tensors.size());
    anisotropy_weights(sample.rows(), weights);
    for (std::size_t k = 0; k < weights.size(); ++k) {
        CHECK_NEAR(weights[k], slope(sample, sample.tensors[k]), 1e-8);
    }
}

void test_no_atoms() {
    double energy = 3.0;
    add_anisotropy_energy({}, {nullptr, 4}, {&energy, 1});
    add_anisotropy_gradient({}, {nullptr, 4}, {&energy, 1});
    CHECK(energy == 3.0);
}

} // namespace

int main() {
    test_energy_is_the_plain_sum();
    test_gradient_is_the_slope();
    test_weights_are_the_slopes();
    test_no_atoms();
    return failures();
}
