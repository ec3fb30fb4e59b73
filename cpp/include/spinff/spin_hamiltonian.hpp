// SPDX-License-Identifier: MIT
//
// Frozen couplings and a magnetic field, as a function of all spins:
//
//     E = ½ Σ_{i≠j} [ e_iᵀ J_ij e_j + K_ij (e_i·e_j)² ] + Σ_i e_iᵀ A_i e_i − Σ_i h_i·e_i
//
// with h_i = |m_i| B in eV (docs/conventions.md). Monte Carlo (monte_carlo.hpp) and the minimiser
// (minimise.hpp) work on it.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "spinff/coupled_spins.hpp"
#include "spinff/rows.hpp"

namespace spinff {

/// Spins of one simulation cell. Row i of `directions` is atom i; the row of an atom without a spin
/// plays no part. Spins are those rows that have a species, counted from 0 in the order of the
/// rows.
class SpinHamiltonian {
  public:
    /// \param species     of each row, an index into `anisotropy`; -1: no spin
    /// \param anisotropy  A of each species, eV, symmetric
    /// \param pairs       bonds i → j, each listed at both ends; i = j is an image of the atom
    /// \param couplings   of each pair, an index into `constants`
    /// \param constants   J_ij and K_ij, eV
    ///
    /// Throws Error for an index that is out of range, a bond to an atom without a spin, a constant
    /// that is not finite, A that is not symmetric, and bonds that break J_ji = J_ijᵀ, K_ji = K_ij.
    SpinHamiltonian(std::span<const int> species, std::vector<Tensor3> anisotropy,
                    std::span<const std::array<int, 2>> pairs, std::span<const int> couplings,
                    std::vector<BondConstants> constants);

    std::size_t num_rows() const { return field.size(); }
    std::size_t num_spins() const { return couplings.size(); }
    /// Row of a spin.
    std::size_t row(std::size_t spin) const { return couplings.row(spin); }

    /// h of each row, eV; 0 at first. Throws Error for a wrong number of rows or for NaN.
    void set_field(std::vector<Vec3> h);

    /// Throws Error unless the spins are unit vectors to one part in 10⁶.
    void check_directions(Rows<const double> directions) const;

    /// E, eV.
    double energy(Rows<const double> directions) const;

    /// ∂E/∂e of one spin, eV.
    Vec3 gradient(std::size_t spin, Rows<const double> directions) const;

    /// E as a function of one spin.
    OneSpinEnergy one_spin_energy(std::size_t spin, Rows<const double> directions) const;

    /// Whether E is of fourth order in the spins (a K), not of second.
    bool has_biquadratic() const { return biquadratic; }

  private:
    CoupledSpins couplings;
    std::vector<Vec3> field;
    bool biquadratic;
};

} // namespace spinff
