// SPDX-License-Identifier: MIT
//
// A table of the spin Hamiltonian's constants, without a network:
//
//     E = ½ Σ_{i≠j} [ e_iᵀ J_ij e_j + K_ij (e_i·e_j)² ] + Σ_i e_iᵀ A_i e_i
//
// J_ij and K_ij belong to a bond of the reference lattice, A_i to a species. docs/
// pair_spin_couplings.md describes the file, docs/conventions.md the signs.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "spinff/sib.hpp" // Vec3

namespace spinff {

/// A 3×3 tensor, row-major.
using Tensor3 = std::array<double, 9>;

/// One species of a table. Sublattices with couplings of their own are species of their own.
struct CoupledSpecies {
    std::string name;
    double moment = 0.0;  ///< |m|, µB; 0: not magnetic
    Tensor3 anisotropy{}; ///< A, eV, symmetric
};

/// The coupling of the bonds i → j between two species that have one vector, or one length.
struct Coupling {
    int centre = 0, neighbour = 0; ///< species of i and of j
    std::optional<Vec3> vector;    ///< r_ij, Å; without one any bond of that length is meant
    double length = 0.0;           ///< |r_ij|, Å
    Tensor3 tensor{};              ///< J_ij, eV: rows belong to e_i, columns to e_j
    double biquadratic = 0.0;      ///< K_ij, eV
    std::size_t entry = 0;         ///< its place in the file, from 1

    /// How far a bond is from this one, Å: |r − r_ij|, or | |r| − |r_ij| |.
    double mismatch(const Vec3 &r) const;
};

/// The coupling nearest to a bond.
struct CouplingMatch {
    int coupling = -1;     ///< index in CouplingTable::couplings; −1: the two species have none
    double mismatch = 0.0; ///< Å
};

/// A checked table: every bond in both directions with J_ji = J_ijᵀ, and no two couplings of the
/// same species within twice the tolerance of each other, so that at most one matches a bond.
struct CouplingTable {
    std::vector<CoupledSpecies> species;
    std::vector<Coupling> couplings; ///< by centre, neighbour and length
    double tolerance = 0.0;          ///< Å: the largest mismatch of a bond

    /// Index of a species, −1 for an unknown name.
    int find_species(const std::string &name) const;

    /// Longest bond between two species and twice the tolerance, Å; 0 if they have none. Further
    /// away nothing can be mistaken for a bond.
    double cutoff(int centre, int neighbour) const;

    CouplingMatch nearest(int centre, int neighbour, const Vec3 &r) const;

    /// Words for a message: "coupling 3 (Fe-Fe, distance 2.4825)".
    std::string describe(const Coupling &coupling) const;
};

/// Reads and checks a table. `who` begins every message (style and file name, as a rule).
/// Throws Error with one sentence about the first thing that is wrong.
CouplingTable parse_coupling_table(const std::string &json, const std::string &who);

} // namespace spinff
