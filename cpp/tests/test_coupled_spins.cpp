// SPDX-License-Identifier: MIT
//
// The contraction of a table's couplings against the one that serves networks (exchange.hpp,
// anisotropy.hpp), which is tested against plain sums.
#include "check.hpp"

#include "spinff/anisotropy.hpp"
#include "spinff/coupled_spins.hpp"
#include "spinff/exchange.hpp"

#include <random>
#include <vector>

using namespace spinff;

namespace {

constexpr int num_atoms = 5;
using Kind = void (*)(Coupling &, std::mt19937 &);

/// Every ordered pair of five atoms with a coupling of its own, J_ji = J_ijᵀ; rows of four.
struct Sample {
    explicit Sample(Kind kind) {
        std::mt19937 engine(11);
        std::normal_distribution<double> normal;
        for (int k = 0; k < 4 * num_atoms; ++k) {
            directions.push_back(normal(engine));
        }
        table.species.push_back({"a", 1.0, {}});
        table.species.push_back({"b", 1.0, {1, 2, 3, 2, -4, 5, 3, 5, 6}});
        int index[num_atoms][num_atoms];
        for (int i = 0; i < num_atoms; ++i) {
            for (int j = 0; j < i; ++j) {
                Coupling coupling;
                kind(coupling, engine);
                index[i][j] = static_cast<int>(table.couplings.size());
                table.couplings.push_back(coupling);
                for (int a = 0; a < 3; ++a) {
                    for (int b = 0; b < a; ++b) {
                        std::swap(coupling.tensor[3 * a + b], coupling.tensor[3 * b + a]);
                    }
                }
                index[j][i] = static_cast<int>(table.couplings.size());
                table.couplings.push_back(coupling);
            }
        }
        spins = CoupledSpins(table);
        for (int i = 0; i < num_atoms; ++i) {
            spins.add_atom(i, i % 2);
            const auto &A = table.species[i % 2].anisotropy;
            anisotropy.insert(anisotropy.end(), A.begin(), A.end());
            for (int j = 0; j < num_atoms; ++j) {
                if (i != j) {
                    spins.add_bond(j, index[i][j]);
                    const auto &c = table.couplings[index[i][j]];
                    pairs.push_back({i, j});
                    tensors.insert(tensors.end(), c.tensor.begin(), c.tensor.end());
                    biquadratic.push_back(c.biquadratic);
                }
            }
        }
    }

    Rows<const double> rows() const { return {directions.data(), 4}; }

    CouplingTable table;
    CoupledSpins spins;
    std::vector<double> directions, anisotropy, tensors, biquadratic;
    std::vector<std::array<int, 2>> pairs;
};

void anything(Coupling &coupling, std::mt19937 &engine) {
    std::normal_distribution<double> normal;
    for (double &element : coupling.tensor) {
        element = normal(engine);
    }
    coupling.biquadratic = normal(engine);
}

void number(Coupling &coupling, std::mt19937 &engine) {
    std::normal_distribution<double> normal;
    const double J = normal(engine);
    coupling.tensor = {J, 0, 0, 0, J, 0, 0, 0, J};
}

void test_agrees_with_the_general_contraction(Kind kind) {
    const Sample sample(kind);
    const ExchangeView view = {sample.pairs, sample.tensors, sample.biquadratic};
    std::vector<double> energy(3 * num_atoms, 0.0), gradient(3 * num_atoms, 0.0);
    add_exchange_energy(view, sample.rows(), {&energy[CoupledSpins::EXCHANGE], 3},
                        {&energy[CoupledSpins::BIQUADRATIC], 3});
    add_anisotropy_energy(sample.anisotropy, sample.rows(), {&energy[CoupledSpins::ANISOTROPY], 3});
    add_exchange_gradient(view, sample.rows(), {gradient.data(), 3});
    add_anisotropy_gradient(sample.anisotropy, sample.rows(), {gradient.data(), 3});
    CHECK(sample.spins.size() == num_atoms);
    CHECK(sample.spins.num_bonds() == sample.pairs.size());
    std::vector<double> sums(3 * num_atoms, 1.0);
    sample.spins.add_gradients(-2.0, sample.rows(), {sums.data(), 3});
    for (int i = 0; i < num_atoms; ++i) {
        const auto contraction = sample.spins.contract(i, sample.rows());
        const auto terms = contraction.energy();
        const auto slope = contraction.gradient();
        for (int k = 0; k < 3; ++k) {
            CHECK_NEAR(terms[k], energy[3 * i + k], 1e-12);
            CHECK_NEAR(slope[k], gradient[3 * i + k], 1e-12);
            CHECK_NEAR(sums[3 * i + k], 1.0 - 2.0 * gradient[3 * i + k], 1e-12);
        }
    }
}

/// Rows need not be in order, and a matched list can be thrown away.
void test_rows_and_clear() {
    Sample sample(anything);
    sample.spins.clear();
    CHECK(sample.spins.size() == 0 && sample.spins.num_bonds() == 0);
    sample.spins.add_atom(3, 0);
    sample.spins.add_bond(1, 2);
    sample.spins.add_bond(4, 5);
    sample.spins.add_atom(0, 1);
    CHECK(sample.spins.row(0) == 3 && sample.spins.row(1) == 0);
    CHECK(sample.spins.bonds_of(0).size() == 2 && sample.spins.bonds_of(1).empty());
    CHECK(sample.spins.bonds_of(0)[1].neighbour == 4);
    CHECK(sample.spins.bonds_of(0)[1].coupling == 5);
    CHECK(sample.spins.contract(1, sample.rows()).energy()[CoupledSpins::EXCHANGE] == 0.0);
}

} // namespace

int main() {
    test_agrees_with_the_general_contraction(anything);
    test_agrees_with_the_general_contraction(number);
    test_rows_and_clear();
    return failures();
}
