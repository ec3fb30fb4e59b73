// SPDX-License-Identifier: MIT
#pragma once

#include "spinff/spin_hamiltonian.hpp"

#include <array>
#include <cmath>
#include <random>
#include <vector>

/// Hamiltonians whose physics is known, for the tests of the minimiser and of Monte Carlo.

using Spins = std::vector<double>;

inline spinff::Rows<double> rows(Spins &spins) {
    return {spins.data(), 3};
}

inline spinff::Rows<const double> rows(const Spins &spins) {
    return {spins.data(), 3};
}

inline spinff::Vec3 spin(const Spins &spins, std::size_t k) {
    return {spins[3 * k], spins[3 * k + 1], spins[3 * k + 2]};
}

inline spinff::Tensor3 transpose(const spinff::Tensor3 &T) {
    return {T[0], T[3], T[6], T[1], T[4], T[7], T[2], T[5], T[8]};
}

/// J on the diagonal and D·(e_i × e_j).
inline spinff::Tensor3 exchange(double J, const spinff::Vec3 &D = {}) {
    return {J, D[2], -D[1], -D[2], J, D[0], D[1], -D[0], J};
}

/// n spins on the bonds i → j given once.
struct Lattice {
    int size;
    spinff::Tensor3 anisotropy{};
    std::vector<std::array<int, 2>> pairs{};
    std::vector<int> couplings{};
    std::vector<spinff::BondConstants> constants{};

    void add(int i, int j, const spinff::Tensor3 &J, double K = 0.0) {
        pairs.push_back({i, j});
        constants.push_back({J, K});
        pairs.push_back({j, i});
        constants.push_back({transpose(J), K});
        couplings.push_back(static_cast<int>(couplings.size()));
        couplings.push_back(static_cast<int>(couplings.size()));
    }

    spinff::SpinHamiltonian hamiltonian() const {
        return {std::vector<int>(size, 0), {anisotropy}, pairs, couplings, constants};
    }
};

/// A chain of n spins, a ring if it is closed.
inline Lattice chain(int n, const spinff::Tensor3 &J, bool closed) {
    Lattice lattice{n};
    for (int i = 0; i + 1 < n + closed; ++i) {
        lattice.add(i, (i + 1) % n, J);
    }
    return lattice;
}

/// A simple cubic crystal of n³ spins.
inline Lattice cubic(int n, double J) {
    Lattice lattice{n * n * n};
    for (int i = 0; i < lattice.size; ++i) {
        const int x = i % n, y = i / n % n, z = i / (n * n);
        lattice.add(i, (x + 1) % n + n * y + n * n * z, exchange(J));
        lattice.add(i, x + n * ((y + 1) % n) + n * n * z, exchange(J));
        lattice.add(i, x + n * y + n * n * ((z + 1) % n), exchange(J));
    }
    return lattice;
}

inline Spins random_spins(int n, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    Spins spins;
    for (int i = 0; i < n; ++i) {
        const auto e = spinff::direction({normal(engine), normal(engine), normal(engine)});
        for (const double component : e) {
            spins.push_back(component);
        }
    }
    return spins;
}
