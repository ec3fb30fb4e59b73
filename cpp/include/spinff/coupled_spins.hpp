// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "spinff/coupling_table.hpp"
#include "spinff/rows.hpp"

namespace spinff {

/// The constants of a bond i → j.
struct BondConstants {
    Tensor3 tensor{};         ///< J_ij, eV: rows belong to e_i, columns to e_j
    double biquadratic = 0.0; ///< K_ij, eV
};

/// The energy that changes when one spin e turns and all others stay, up to a constant:
///
///     E(e) = b·e + eᵀ Q e,    b_i = Σ_j J_ij e_j,    Q_i = A_i + Σ_j K_ij e_j ⊗ e_j      (eV)
///
/// (a bond counts in full, as its other half stands at its other end). A bond of an atom with
/// its own periodic image turns as a whole: its J is part of Q, its K a constant.
struct OneSpinEnergy {
    Vec3 linear{};         ///< b, eV
    Tensor3 quadratic{};   ///< Q, eV
    bool is_linear = true; ///< Q = 0

    /// eᵀ Q e, eV.
    double quadratic_part(const Vec3 &e) const;
};

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
        int coupling;  ///< index in CouplingTable::couplings, or of the constants given
    };

    /// The energy of an atom in parts, eV.
    enum Term { EXCHANGE, ANISOTROPY, BIQUADRATIC };
    static constexpr std::size_t num_terms = 3;

    CoupledSpins() = default;
    explicit CoupledSpins(const CouplingTable &table);
    /// Constants without a table: A of each species (eV) and those of each coupling.
    CoupledSpins(std::vector<Tensor3> anisotropy, std::vector<BondConstants> constants);

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

    /// The sums over the bonds of one atom, from which both energy and gradient follow, eV.
    struct Contraction {
        Vec3 direction{};   ///< e_i
        Vec3 exchange{};    ///< Σ_j J_ij e_j
        Vec3 biquadratic{}; ///< Σ_j K_ij (e_i·e_j) e_j
        Vec3 anisotropy{};  ///< A_i e_i

        /// E_i by Term.
        std::array<double, num_terms> energy() const {
            return {0.5 * dot(direction, exchange), dot(direction, anisotropy),
                    0.5 * dot(direction, biquadratic)};
        }
        /// ∂E/∂e_i.
        Vec3 gradient() const {
            Vec3 gradient;
            for (int a = 0; a < 3; ++a) {
                gradient[a] = exchange[a] + 2.0 * (biquadratic[a] + anisotropy[a]);
            }
            return gradient;
        }
    };
    Contraction contract(std::size_t atom, Rows<const double> directions) const;

    /// Adds scale ∂E/∂e_i of all atoms to their rows of `sums`.
    void add_gradients(double scale, Rows<const double> directions, Rows<double> sums) const;

    /// How the energy depends on the spin of one atom alone.
    OneSpinEnergy one_spin_energy(std::size_t atom, Rows<const double> directions) const;

    /// Whether a coupling has a K, so that the energy is of fourth order in the spins.
    bool has_biquadratic() const;

    /// Memory of its arrays, bytes.
    std::size_t memory_usage() const;

  private:
    struct Atom {
        int row;
        int species;
        std::size_t first_bond;
    };
    std::vector<Tensor3> anisotropy;      // of each species
    std::vector<BondConstants> constants; // of each coupling
    std::vector<double> isotropic;        // J of each coupling, if all are numbers without K
    std::vector<Atom> atoms;
    std::vector<Bond> bonds;
};

} // namespace spinff
