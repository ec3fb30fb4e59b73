// SPDX-License-Identifier: MIT
#include "spinff/coupled_spins.hpp"

#include <algorithm>

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

bool is_a_number(const Coupling &coupling) {
    const double J = coupling.tensor[0];
    return coupling.biquadratic == 0.0 && coupling.tensor == Tensor3{J, 0, 0, 0, J, 0, 0, 0, J};
}

} // namespace

CoupledSpins::CoupledSpins(const CouplingTable &table) {
    for (const auto &species : table.species) {
        anisotropy.push_back(species.anisotropy);
    }
    for (const auto &coupling : table.couplings) {
        constants.push_back({coupling.tensor, coupling.biquadratic});
    }
    if (std::all_of(table.couplings.begin(), table.couplings.end(), is_a_number)) {
        for (const auto &coupling : table.couplings) {
            isotropic.push_back(coupling.tensor[0]);
        }
    }
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

std::array<double, CoupledSpins::num_terms>
CoupledSpins::energy(std::size_t atom, Rows<const double> directions) const {
    std::array<double, num_terms> energy = {};
    const Vec3 e = direction_of(directions, atoms[atom].row);
    for (const auto [neighbour, coupling] : bonds_of(atom)) {
        const Vec3 other = direction_of(directions, neighbour);
        const double cosine = dot(e, other);
        Vec3 field = {};
        add_product(field, 1.0, constants[coupling].tensor, other);
        energy[EXCHANGE] += 0.5 * dot(e, field);
        energy[BIQUADRATIC] += 0.5 * constants[coupling].biquadratic * cosine * cosine;
    }
    Vec3 field = {};
    add_product(field, 1.0, anisotropy[atoms[atom].species], e);
    energy[ANISOTROPY] = dot(e, field);
    return energy;
}

Vec3 CoupledSpins::gradient(std::size_t atom, Rows<const double> directions) const {
    Vec3 gradient = {};
    const Vec3 e = direction_of(directions, atoms[atom].row);
    add_product(gradient, 2.0, anisotropy[atoms[atom].species], e);
    if (!isotropic.empty()) { // 1 ns a bond instead of 5
        for (const auto [neighbour, coupling] : bonds_of(atom)) {
            const double J = isotropic[coupling];
            const double *other = directions[neighbour];
            for (int a = 0; a < 3; ++a) {
                gradient[a] += J * other[a];
            }
        }
        return gradient;
    }
    for (const auto [neighbour, coupling] : bonds_of(atom)) {
        const Vec3 other = direction_of(directions, neighbour);
        const double slope = 2.0 * constants[coupling].biquadratic * dot(e, other);
        add_product(gradient, 1.0, constants[coupling].tensor, other);
        for (int a = 0; a < 3; ++a) {
            gradient[a] += slope * other[a];
        }
    }
    return gradient;
}

std::size_t CoupledSpins::memory_usage() const {
    return atoms.capacity() * sizeof(Atom) + bonds.capacity() * sizeof(Bond) +
           constants.capacity() * sizeof(Constants);
}

} // namespace spinff
