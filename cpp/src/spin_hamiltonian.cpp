// SPDX-License-Identifier: MIT
#include "spinff/spin_hamiltonian.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "spinff/error.hpp"

namespace spinff {

namespace {

/// J_ij and the transpose of J_ji may differ by this part of the largest constant: more than
/// CouplingTable lets pass.
constexpr double transpose_tolerance = 1.0e-5;

void check_index(const std::string &what, int got, std::size_t below) {
    if (got < 0 || static_cast<std::size_t>(got) >= below) {
        throw Error("SpinHamiltonian: " + what + " is out of range, got " + std::to_string(got) +
                    ", expected 0 or more and less than " + std::to_string(below) +
                    "; correct the list of bonds");
    }
}

void check_bonds(std::span<const int> species, std::size_t num_species,
                 std::span<const std::array<int, 2>> pairs, std::span<const int> couplings,
                 std::size_t num_constants) {
    for (std::size_t i = 0; i < species.size(); ++i) {
        if (species[i] != -1) {
            check_index("the species of atom " + std::to_string(i), species[i], num_species);
        }
    }
    for (std::size_t p = 0; p < pairs.size(); ++p) {
        const std::string bond = "bond " + std::to_string(p);
        check_index("the coupling of " + bond, couplings[p], num_constants);
        for (const int atom : pairs[p]) {
            check_index("an atom of " + bond, atom, species.size());
            if (species[atom] == -1) {
                throw Error("SpinHamiltonian: " + bond + " has an end without a spin, got atom " +
                            std::to_string(atom) +
                            ", expected a magnetic one; remove the bond or give the atom a "
                            "species");
            }
        }
    }
}

void check_finite(const std::string &what, std::span<const double> values) {
    for (const double value : values) {
        if (!std::isfinite(value)) {
            throw Error("SpinHamiltonian: " + what + " is not finite, got " +
                        std::to_string(value) + ", expected numbers in eV; correct it");
        }
    }
}

void check_finite(const std::vector<Tensor3> &anisotropy,
                  const std::vector<BondConstants> &constants) {
    for (std::size_t k = 0; k < anisotropy.size(); ++k) {
        check_finite("A of species " + std::to_string(k), anisotropy[k]);
    }
    for (std::size_t k = 0; k < constants.size(); ++k) {
        check_finite("J of coupling " + std::to_string(k), constants[k].tensor);
        check_finite("K of coupling " + std::to_string(k), {&constants[k].biquadratic, 1});
    }
}

void check_symmetric(const std::vector<Tensor3> &anisotropy) {
    for (std::size_t k = 0; k < anisotropy.size(); ++k) {
        const Tensor3 &A = anisotropy[k];
        double largest = 0.0;
        for (const double element : A) {
            largest = std::max(largest, std::abs(element));
        }
        const double off =
            std::max({std::abs(A[1] - A[3]), std::abs(A[2] - A[6]), std::abs(A[5] - A[7])});
        if (off > transpose_tolerance * largest) {
            throw Error("SpinHamiltonian: A of species " + std::to_string(k) +
                        " is not symmetric, got elements " + std::to_string(off) +
                        " eV apart, expected A equal to its transpose; use (A + A^T)/2");
        }
    }
}

/// The gradient of an atom is made of its own bonds: the sum of all bonds of two atoms must be the
/// transpose of the sum seen from the other one.
void check_both_ends(std::span<const std::array<int, 2>> pairs, std::span<const int> couplings,
                     const std::vector<BondConstants> &constants) {
    std::map<std::array<int, 2>, std::array<double, 10>> surplus;
    double largest = 0.0;
    for (std::size_t p = 0; p < pairs.size(); ++p) {
        const auto [i, j] = pairs[p];
        const BondConstants &bond = constants[couplings[p]];
        auto &sum = surplus[{std::min(i, j), std::max(i, j)}];
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                const double J = bond.tensor[3 * a + b];
                largest = std::max(largest, std::abs(J));
                sum[3 * a + b] += i <= j ? J : 0.0;
                sum[3 * b + a] -= i >= j ? J : 0.0;
            }
        }
        sum[9] += bond.biquadratic * ((i <= j) - (i >= j));
        largest = std::max(largest, std::abs(bond.biquadratic));
    }
    for (const auto &[atoms, sum] : surplus) {
        for (const double difference : sum) {
            if (std::abs(difference) > transpose_tolerance * largest) {
                throw Error("SpinHamiltonian: the bonds between atoms " + std::to_string(atoms[0]) +
                            " and " + std::to_string(atoms[1]) +
                            " are not the same from both ends, got constants " +
                            std::to_string(difference) +
                            " eV apart, expected J_ji equal to the transpose of J_ij and equal "
                            "K; list every bond in both directions");
            }
        }
    }
}

} // namespace

SpinHamiltonian::SpinHamiltonian(std::span<const int> species, std::vector<Tensor3> anisotropy,
                                 std::span<const std::array<int, 2>> pairs,
                                 std::span<const int> coupling_of_pair,
                                 std::vector<BondConstants> constants)
    : field(species.size()) {
    check_bonds(species, anisotropy.size(), pairs, coupling_of_pair, constants.size());
    check_finite(anisotropy, constants);
    check_symmetric(anisotropy);
    check_both_ends(pairs, coupling_of_pair, constants);
    couplings = CoupledSpins(std::move(anisotropy), std::move(constants));
    biquadratic = couplings.has_biquadratic();
    std::vector<std::size_t> order(pairs.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t p, std::size_t q) { return pairs[p][0] < pairs[q][0]; });
    auto next = order.begin();
    for (int row = 0; row < static_cast<int>(species.size()); ++row) {
        if (species[row] < 0) {
            continue;
        }
        couplings.add_atom(row, species[row]);
        for (; next != order.end() && pairs[*next][0] == row; ++next) {
            couplings.add_bond(pairs[*next][1], coupling_of_pair[*next]);
        }
    }
}

void SpinHamiltonian::set_field(std::vector<Vec3> h) {
    if (h.size() != num_rows()) {
        throw Error("SpinHamiltonian: the field has the wrong length, got " +
                    std::to_string(h.size()) + " rows, expected one for each atom, " +
                    std::to_string(num_rows()) + "; correct it");
    }
    for (const Vec3 &one : h) {
        check_finite("the field", one);
    }
    field = std::move(h);
}

void SpinHamiltonian::check_directions(Rows<const double> directions) const {
    constexpr double tolerance = 1.0e-6;
    for (std::size_t spin = 0; spin < num_spins(); ++spin) {
        const double *e = directions[row(spin)];
        const Vec3 vector = {e[0], e[1], e[2]};
        const double length = std::sqrt(dot(vector, vector));
        if (!(std::abs(length - 1.0) <= tolerance)) {
            throw Error("SpinHamiltonian: the direction of a spin is no unit vector, got length " +
                        std::to_string(length) + " on atom " + std::to_string(row(spin)) +
                        ", expected 1; normalise it");
        }
    }
}

double SpinHamiltonian::energy(Rows<const double> directions) const {
    double sum = 0.0;
    for (std::size_t spin = 0; spin < num_spins(); ++spin) {
        for (const double term : couplings.contract(spin, directions).energy()) {
            sum += term;
        }
        const double *e = directions[row(spin)];
        sum -= dot(field[row(spin)], {e[0], e[1], e[2]});
    }
    return sum;
}

Vec3 SpinHamiltonian::gradient(std::size_t spin, Rows<const double> directions) const {
    Vec3 gradient = couplings.contract(spin, directions).gradient();
    const Vec3 &h = field[row(spin)];
    for (int a = 0; a < 3; ++a) {
        gradient[a] -= h[a];
    }
    return gradient;
}

OneSpinEnergy SpinHamiltonian::one_spin_energy(std::size_t spin,
                                               Rows<const double> directions) const {
    OneSpinEnergy energy = couplings.one_spin_energy(spin, directions);
    const Vec3 &h = field[row(spin)];
    for (int a = 0; a < 3; ++a) {
        energy.linear[a] -= h[a];
    }
    return energy;
}

} // namespace spinff
