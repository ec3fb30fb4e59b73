// SPDX-License-Identifier: MIT
#include "spinff/coupled_spins.hpp"

#include <algorithm>
#include <utility>

namespace spinff {

namespace {

Vec3 direction_of(Rows<const double> directions, int row) {
    const double *e = directions[row];
    return {e[0], e[1], e[2]};
}

/// sum += scale T e.
void add_product(Vec3 &sum, double scale, const Tensor3 &T, const Vec3 &e) {
    for (int a = 0; a < 3; ++a) {
        sum[a] += scale * (T[3 * a] * e[0] + T[3 * a + 1] * e[1] + T[3 * a + 2] * e[2]);
    }
}

void add_scaled(Vec3 &sum, double scale, const Vec3 &v) {
    for (int a = 0; a < 3; ++a) {
        sum[a] += scale * v[a];
    }
}

bool is_a_number(const BondConstants &constants) {
    const double J = constants.tensor[0];
    return constants.biquadratic == 0.0 && constants.tensor == Tensor3{J, 0, 0, 0, J, 0, 0, 0, J};
}

void add_to(Tensor3 &sum, double scale, const Tensor3 &T) {
    for (std::size_t k = 0; k < T.size(); ++k) {
        sum[k] += scale * T[k];
    }
}

/// A bond with another spin, J_ij e_j and K_ij e_j ⊗ e_j.
void add_bond_energy(OneSpinEnergy &energy, const BondConstants &constants, const Vec3 &other) {
    add_product(energy.linear, 1.0, constants.tensor, other);
    if (constants.biquadratic != 0.0) {
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                energy.quadratic[3 * a + b] += constants.biquadratic * other[a] * other[b];
            }
        }
        energy.is_linear = false;
    }
}

std::vector<Tensor3> anisotropies(const CouplingTable &table) {
    std::vector<Tensor3> result;
    for (const auto &species : table.species) {
        result.push_back(species.anisotropy);
    }
    return result;
}

std::vector<BondConstants> bond_constants(const CouplingTable &table) {
    std::vector<BondConstants> result;
    for (const auto &coupling : table.couplings) {
        result.push_back({coupling.tensor, coupling.biquadratic});
    }
    return result;
}

} // namespace

double OneSpinEnergy::quadratic_part(const Vec3 &e) const {
    Vec3 product = {};
    add_product(product, 1.0, quadratic, e);
    return dot(e, product);
}

CoupledSpins::CoupledSpins(const CouplingTable &table)
    : CoupledSpins(anisotropies(table), bond_constants(table)) {}

CoupledSpins::CoupledSpins(std::vector<Tensor3> anisotropy_of_species,
                           std::vector<BondConstants> constants_of_coupling)
    : anisotropy(std::move(anisotropy_of_species)), constants(std::move(constants_of_coupling)) {
    if (std::all_of(constants.begin(), constants.end(), is_a_number)) {
        for (const auto &coupling : constants) {
            isotropic.push_back(coupling.tensor[0]);
        }
    }
}

bool CoupledSpins::has_biquadratic() const {
    return std::any_of(constants.begin(), constants.end(),
                       [](const BondConstants &c) { return c.biquadratic != 0.0; });
}

void CoupledSpins::clear() {
    atoms.clear();
    bonds.clear();
}

void CoupledSpins::add_atom(int row, int species) {
    atoms.push_back({row, species, bonds.size()});
}

std::span<const CoupledSpins::Bond> CoupledSpins::bonds_of(std::size_t atom) const {
    const std::size_t first = atoms[atom].first_bond;
    const std::size_t last = atom + 1 < atoms.size() ? atoms[atom + 1].first_bond : bonds.size();
    return {bonds.data() + first, last - first};
}

CoupledSpins::Contraction CoupledSpins::contract(std::size_t atom,
                                                 Rows<const double> directions) const {
    Contraction sums;
    sums.direction = direction_of(directions, atoms[atom].row);
    add_product(sums.anisotropy, 1.0, anisotropy[atoms[atom].species], sums.direction);
    if (!isotropic.empty()) { // 1 ns a bond instead of 5
        for (const auto [neighbour, coupling] : bonds_of(atom)) {
            add_scaled(sums.exchange, isotropic[coupling], direction_of(directions, neighbour));
        }
        return sums;
    }
    for (const auto [neighbour, coupling] : bonds_of(atom)) {
        const Vec3 other = direction_of(directions, neighbour);
        add_product(sums.exchange, 1.0, constants[coupling].tensor, other);
        add_scaled(sums.biquadratic, constants[coupling].biquadratic * dot(sums.direction, other),
                   other);
    }
    return sums;
}

void CoupledSpins::add_gradients(double scale, Rows<const double> directions,
                                 Rows<double> sums) const {
    for (std::size_t atom = 0; atom < atoms.size(); ++atom) {
        const Vec3 gradient = contract(atom, directions).gradient();
        double *sum = sums[atoms[atom].row];
        for (int a = 0; a < 3; ++a) {
            sum[a] += scale * gradient[a];
        }
    }
}

OneSpinEnergy CoupledSpins::one_spin_energy(std::size_t atom, Rows<const double> directions) const {
    const auto &[row, species, first_bond] = atoms[atom];
    OneSpinEnergy energy;
    energy.quadratic = anisotropy[species];
    energy.is_linear = energy.quadratic == Tensor3{};
    for (const auto [neighbour, coupling] : bonds_of(atom)) {
        const double *other = directions[neighbour];
        if (!isotropic.empty()) { // to itself: a constant
            const double J = neighbour == row ? 0.0 : isotropic[coupling];
            for (int a = 0; a < 3; ++a) {
                energy.linear[a] += J * other[a];
            }
        } else if (neighbour == row) { // listed in both directions: half for each
            add_to(energy.quadratic, 0.5, constants[coupling].tensor);
            energy.is_linear = false;
        } else {
            add_bond_energy(energy, constants[coupling], {other[0], other[1], other[2]});
        }
    }
    return energy;
}

std::size_t CoupledSpins::memory_usage() const {
    return atoms.capacity() * sizeof(Atom) + bonds.capacity() * sizeof(Bond) +
           constants.capacity() * sizeof(BondConstants);
}

} // namespace spinff
