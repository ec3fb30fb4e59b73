// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "spinff/coupling_table.hpp"
#include "spinff/rows.hpp"

namespace spinff {

/// The bonds of some atoms, each with its coupling of a table, and what the spins make of them:
///
///     E_i = ½ Σ_j [ e_iᵀ J_ij e_j + K_ij (e_i·e_j)² ] + e_iᵀ A_i e_i
///     ∂E/∂e_i = Σ_j [ J_ij + 2 K_ij (e_i·e_j) ] e_j + 2 A_i e_i
///
/// Every bond is listed at both of its ends, as i → j with J_ij and as j → i with J_ji = J_ijᵀ; the
/// gradient at i is then complete without the bonds of other atoms. (exchange.hpp, for the tensors
/// of a network, cannot assume the second equation.) Rows are atoms: `directions` has those of the
/// neighbours too.
class CoupledSpins {
  public:
    struct Bond {
        int neighbour; ///< row of j
        int coupling;  ///< index in CouplingTable::couplings
    };

    /// The energy of an atom in parts, eV.
    enum Term { EXCHANGE, ANISOTROPY, BIQUADRATIC };
    static constexpr std::size_t num_terms = 3;

    CoupledSpins() = default;
    explicit CoupledSpins(const CouplingTable &table);

    /// Forgets all atoms.
    void clear();
    /// The next atom, without bonds: its row and its species.
    void add_atom(int row, int species);
    /// One more bond of the atom added last.
    void add_bond(int neighbour, int coupling) { bonds.push_back({neighbour, coupling}); }

    std::size_t size() const { return atoms.size(); }
    int row(std::size_t atom) const { return atoms[atom].row; }
    std::span<const Bond> bonds_of(std::size_t atom) const;
    std::size_t num_bonds() const { return bonds.size(); }

    /// The energy E_i of one atom by Term, eV.
    std::array<double, num_terms> energy(std::size_t atom, Rows<const double> directions) const;

    /// ∂E/∂e_i of one atom, eV.
    Vec3 gradient(std::size_t atom, Rows<const double> directions) const;

    /// Memory of its arrays, bytes.
    std::size_t memory_usage() const;

  private:
    struct Atom {
        int row;
        int species;
        std::size_t first_bond;
    };
    /// What the inner loop reads of a Coupling.
    struct Constants {
        Tensor3 tensor;
        double biquadratic;
    };

    std::vector<Tensor3> anisotropy;  // of each species
    std::vector<Constants> constants; // of each coupling
    std::vector<double> isotropic;    // J of each coupling, if all are numbers without K
    std::vector<Atom> atoms;
    std::vector<Bond> bonds;
};

} // namespace spinff
