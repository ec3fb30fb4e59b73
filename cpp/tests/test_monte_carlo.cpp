// SPDX-License-Identifier: MIT
//
// Thermal averages of every move against exact results, within three standard errors (of blocks);
// energies of a sweep; determinism.
#include "check.hpp"
#include "lattices.hpp"

#include "spinff/error.hpp"
#include "spinff/monte_carlo.hpp"

#include <cmath>
#include <functional>
#include <string>

using namespace spinff;

namespace {

constexpr double sigmas = 3.0;
const std::vector<MonteCarlo> moves = {
    {Move::random, 0.0, 1.0, 17}, {Move::cone, 1.2, 1.0, 18}, {Move::heat_bath, 0.0, 1.0, 19}};

struct Average {
    double mean, error;
};

/// Average of an observable over sweeps after a fifth of them, with its standard error.
Average average(const SpinHamiltonian &hamiltonian, const MonteCarlo &settings, int sweeps,
                const std::function<double(const Spins &)> &observable) {
    constexpr int blocks = 20;
    Spins spins = random_spins(static_cast<int>(hamiltonian.num_rows()), 1);
    std::vector<double> means(blocks, 0.0);
    const int start = sweeps / 5;
    const int length = sweeps / blocks;
    for (int sweep = 0; sweep < start + blocks * length; ++sweep) {
        monte_carlo_sweep(hamiltonian, settings, sweep, rows(spins));
        if (sweep >= start) {
            means[(sweep - start) / length] += observable(spins) / length;
        }
    }
    double mean = 0.0, square = 0.0;
    for (const double m : means) {
        mean += m / blocks;
        square += m * m / blocks;
    }
    return {mean, std::sqrt((square - mean * mean) / (blocks - 1))};
}

/// Within three standard errors, which themselves must be small.
void check_average(const Average &got, double exact, double largest_error,
                   const std::string &what) {
    if (!(std::abs(got.mean - exact) <= sigmas * got.error && got.error <= largest_error)) {
        report(__FILE__, __LINE__,
               what + ": got " + std::to_string(got.mean) + " +- " + std::to_string(got.error) +
                   ", expected " + std::to_string(exact));
    }
}

double langevin(double x) {
    return 1.0 / std::tanh(x) - 1.0 / x;
}

/// ⟨f(c)⟩ with weight exp(−E(c)) on −1 < c < 1, midpoint rule.
double quadrature(const std::function<double(double)> &f,
                  const std::function<double(double)> &energy) {
    constexpr int points = 20000;
    double sum = 0.0, norm = 0.0;
    for (int k = 0; k < points; ++k) {
        const double c = -1.0 + (k + 0.5) * 2.0 / points;
        const double weight = std::exp(-energy(c));
        sum += weight * f(c);
        norm += weight;
    }
    return sum / norm;
}

/// Langevin function of free spins, in a field along no axis.
void test_free_spins(const MonteCarlo &settings) {
    const int n = 500;
    for (const double x : {0.3, 2.0, 20.0}) {
        SpinHamiltonian hamiltonian = Lattice{n}.hamiltonian();
        const Vec3 axis = direction({1.0, -2.0, 0.5});
        hamiltonian.set_field(std::vector<Vec3>(n, Vec3{x * axis[0], x * axis[1], x * axis[2]}));
        const auto got = average(hamiltonian, settings, 1000, [&](const Spins &spins) {
            double sum = 0.0;
            for (int k = 0; k < n; ++k) {
                sum += dot(spin(spins, k), axis) / n;
            }
            return sum;
        });
        check_average(got, langevin(x), 0.003, "Langevin " + std::to_string(x));
    }
}

/// E = −D cos²θ, easy axis and easy plane; the heat bath decides by the quadratic part alone.
void test_uniaxial(const MonteCarlo &settings) {
    const int n = 500;
    for (const double D : {2.0, -5.0}) {
        const Lattice lattice{n, {0, 0, 0, 0, -D, 0, 0, 0, 0}};
        const auto got = average(lattice.hamiltonian(), settings, 1000, [&](const Spins &spins) {
            double sum = 0.0;
            for (int k = 0; k < n; ++k) {
                sum += spins[3 * k + 1] * spins[3 * k + 1] / n;
            }
            return sum;
        });
        const auto square = [](double c) { return c * c; };
        const double exact = quadrature(square, [=](double c) { return -D * c * c; });
        check_average(got, exact, 0.003, "uniaxial " + std::to_string(D));
    }
}

/// Pairs with E = J c + K c², c the cosine between them: linear and quadratic part together.
void test_biquadratic_pairs(const MonteCarlo &settings) {
    const int n = 500;
    const double J = 1.0, K = -2.5;
    Lattice lattice{n};
    for (int k = 0; k < n; k += 2) {
        lattice.add(k, k + 1, exchange(J), K);
    }
    const auto energy = [=](double c) { return J * c + K * c * c; };
    const auto got = average(lattice.hamiltonian(), settings, 2000, [&](const Spins &spins) {
        double sum = 0.0;
        for (int k = 0; k < n; k += 2) {
            sum += dot(spin(spins, k), spin(spins, k + 1)) / (n / 2);
        }
        return sum;
    });
    check_average(got, quadrature([](double c) { return c; }, energy), 0.01, "pairs");
}

/// Energy of a bond in the Heisenberg chain, −(coth 1/t − t) at t = kT/J (M. E. Fisher, Am. J.
/// Phys. 32, 343 (1964)); that of a ring differs by (coth 1/t − t)⁶³.
void test_chain(MonteCarlo settings) {
    const int n = 64;
    const SpinHamiltonian hamiltonian = chain(n, exchange(-1.0), true).hamiltonian();
    for (const double t : {0.5, 1.0, 2.0}) {
        settings.kT = t;
        const auto got = average(hamiltonian, settings, 20000, [&](const Spins &spins) {
            return hamiltonian.energy(rows(spins)) / n;
        });
        check_average(got, -langevin(1.0 / t), 0.003, "chain " + std::to_string(t));
    }
}

/// The energy of a chain with a Dzyaloshinskii–Moriya vector does not depend on the axis that the
/// vector is along: the elements of the full tensors are all used, and as what they are.
void test_the_axis_does_not_matter(MonteCarlo settings) {
    settings.kT = 0.7;
    const int n = 64;
    std::vector<Average> energies;
    for (const Vec3 &D : {Vec3{0, 0, 0.8}, Vec3{0.8, 0, 0}}) {
        const SpinHamiltonian hamiltonian = chain(n, exchange(-1.0, D), true).hamiltonian();
        energies.push_back(average(hamiltonian, settings, 10000, [&](const Spins &spins) {
            return hamiltonian.energy(rows(spins)) / n;
        }));
    }
    const double error = std::hypot(energies[0].error, energies[1].error);
    check_average({energies[0].mean, error}, energies[1].mean, 0.005, "axis of D");
}

void test_energy_change_and_unit_length(const MonteCarlo &settings) {
    Lattice lattice = cubic(4, 0.6);
    lattice.anisotropy = {0, 0, 0, 0, 0.5, 0, 0, 0, -0.4};
    lattice.add(0, 9, exchange(0.2, {0.3, 0.1, 0.0}), 0.4);
    const SpinHamiltonian hamiltonian = lattice.hamiltonian();
    Spins spins = random_spins(lattice.size, 2);
    double energy = hamiltonian.energy(rows(spins));
    std::size_t accepted = 0;
    for (int sweep = 0; sweep < 200; ++sweep) {
        const Sweep outcome = monte_carlo_sweep(hamiltonian, settings, sweep, rows(spins));
        energy += outcome.energy_change;
        accepted += outcome.accepted;
    }
    CHECK_NEAR(energy, hamiltonian.energy(rows(spins)), 1e-10);
    CHECK(accepted > 0 && accepted < 200u * lattice.size);
    for (int k = 0; k < lattice.size; ++k) {
        CHECK_NEAR(dot(spin(spins, k), spin(spins, k)), 1.0, 1e-14);
    }
}

/// Seed and sweep decide; without a quadratic part the heat bath takes every move.
void test_determinism() {
    const SpinHamiltonian hamiltonian = cubic(3, -1.0).hamiltonian();
    const auto run = [&](std::uint32_t seed, std::uint64_t first) {
        Spins spins = random_spins(27, 6);
        const MonteCarlo settings = {Move::heat_bath, 0.0, 1.0, seed};
        for (std::uint64_t sweep = first; sweep < first + 3; ++sweep) {
            CHECK(monte_carlo_sweep(hamiltonian, settings, sweep, rows(spins)).accepted == 27);
        }
        return spins;
    };
    CHECK(run(1, 0) == run(1, 0));
    CHECK(run(1, 0) != run(2, 0));
    CHECK(run(1, 0) != run(1, 1));
    CHECK(run(1, 0) != run(1, std::uint64_t{1} << 32));
}

void test_messages() {
    const auto message = [](const MonteCarlo &settings) -> std::string {
        try {
            settings.check();
        } catch (const Error &error) {
            return error.what();
        }
        return "nothing";
    };
    CHECK(message({Move::random, 0.0, 0.0, 1}).find("kT (eV) is out of range, got 0") !=
          std::string::npos);
    CHECK(message({Move::cone, 4.0, 1.0, 1}).find("cone (rad) is out of range, got 4") !=
          std::string::npos);
    CHECK(message({Move::heat_bath, 4.0, 1.0, 1}) == "nothing");
}

} // namespace

int main() {
    for (const MonteCarlo &settings : moves) {
        test_free_spins(settings);
        test_uniaxial(settings);
        test_biquadratic_pairs(settings);
        test_chain(settings);
        test_energy_change_and_unit_length(settings);
    }
    test_the_axis_does_not_matter(moves[2]);
    test_determinism();
    test_messages();
    return failures();
}
