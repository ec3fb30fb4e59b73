// SPDX-License-Identifier: MIT
//
// The exchange contraction (spinff/exchange.hpp) against plain sums and finite differences.
#include "check.hpp"

#include "spinff/exchange.hpp"

#include <numeric>
#include <random>
#include <vector>

using namespace spinff;

namespace {

constexpr int num_atoms = 5;

/// Random couplings of all directed pairs, and spins in rows of four as LAMMPS keeps them.
struct Sample {
    Sample() {
        std::mt19937 engine(7);
        std::normal_distribution<double> normal;
        for (int i = 0; i < num_atoms; ++i) {
            for (int j = 0; j < num_atoms; ++j) {
                if (i != j) {
                    pairs.push_back({i, j});
                }
            }
        }
        for (std::size_t k = 0; k < 9 * pairs.size(); ++k) {
            tensors.push_back(normal(engine));
        }
        for (std::size_t k = 0; k < pairs.size(); ++k) {
            biquadratic.push_back(normal(engine));
        }
        for (int k = 0; k < 4 * num_atoms; ++k) {
            spins.push_back(normal(engine));
        }
    }

    ExchangeView view() const { return {pairs, tensors, biquadratic}; }
    Rows<const double> rows() const { return {spins.data(), 4}; }

    double energy() const {
        std::vector<double> atoms(num_atoms, 0.0);
        add_exchange_energy(view(), rows(), {atoms.data(), 1}, {atoms.data(), 1});
        return std::accumulate(atoms.begin(), atoms.end(), 0.0);
    }

    std::vector<std::array<int, 2>> pairs;
    std::vector<double> tensors, biquadratic, spins;
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
    double bilinear = 0.0, biquadratic = 0.0;
    for (std::size_t p = 0; p < sample.pairs.size(); ++p) {
        const double *ei = &sample.spins[4 * sample.pairs[p][0]];
        const double *ej = &sample.spins[4 * sample.pairs[p][1]];
        double cosine = 0.0;
        for (int a = 0; a < 3; ++a) {
            cosine += ei[a] * ej[a];
            for (int b = 0; b < 3; ++b) {
                bilinear += 0.5 * ei[a] * sample.tensors[9 * p + 3 * a + b] * ej[b];
            }
        }
        biquadratic += 0.5 * sample.biquadratic[p] * cosine * cosine;
    }
    CHECK_NEAR(sample.energy(), bilinear + biquadratic, 1e-12);

    std::vector<double> table(2 * num_atoms, 1.0); // adds to what is there
    add_exchange_energy(sample.view(), sample.rows(), {&table[0], 2}, {&table[1], 2});
    for (int i = 0; i < num_atoms; ++i) {
        bilinear -= table[2 * i] - 1.0;
        biquadratic -= table[2 * i + 1] - 1.0;
    }
    CHECK_NEAR(bilinear, 0.0, 1e-12);
    CHECK_NEAR(biquadratic, 0.0, 1e-12);
}

void test_gradient_is_the_slope() {
    Sample sample;
    std::vector<double> gradient(3 * num_atoms, 1.0);
    add_exchange_gradient(sample.view(), sample.rows(), {gradient.data(), 3});
    for (int i = 0; i < num_atoms; ++i) {
        for (int a = 0; a < 3; ++a) {
            const double expected = 1.0 + slope(sample, sample.spins[4 * i + a]);
            CHECK_NEAR(gradient[3 * i + a], expected, 1e-8);
        }
    }
}

void test_weights_are_the_slopes() {
    Sample sample;
    std::vector<double> weights(sample.tensors.size());
    std::vector<double> biquadratic_weights(sample.biquadratic.size());
    exchange_weights(sample.pairs, sample.rows(), weights, biquadratic_weights);
    for (std::size_t k = 0; k < weights.size(); ++k) {
        CHECK_NEAR(weights[k], slope(sample, sample.tensors[k]), 1e-8);
    }
    for (std::size_t k = 0; k < biquadratic_weights.size(); ++k) {
        CHECK_NEAR(biquadratic_weights[k], slope(sample, sample.biquadratic[k]), 1e-8);
    }
}

void test_no_pairs() {
    double energy = 3.0;
    add_exchange_energy({}, {nullptr, 4}, {&energy, 1}, {&energy, 1});
    CHECK(energy == 3.0);
}

} // namespace

int main() {
    test_energy_is_the_plain_sum();
    test_gradient_is_the_slope();
    test_weights_are_the_slopes();
    test_no_pairs();
    return failures();
}
