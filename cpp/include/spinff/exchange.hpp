// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "spinff/rows.hpp"

namespace spinff {

/// Couplings of one geometry: directed pair p = (i, j) carries the 3×3 tensor J̃_ij (eV),
/// row-major, rows belonging to the components of e_i and columns to those of e_j, and K̃_ij (eV):
///
///     E_J = ½ Σ_{directed pairs} e_iᵀ J̃_ij e_j,    E_K = ½ Σ_{directed pairs} K̃_ij (e_i·e_j)²
///
/// (SpinGNN++: Yu et al., Phys. Rev. B 110, 104427, Sec. II).
struct ExchangeView {
    std::span<const std::array<int, 2>> pairs;
    std::span<const double> tensors;     ///< J̃, 9 per pair
    std::span<const double> biquadratic; ///< K̃, 1 per pair

    std::size_t size() const { return pairs.size(); }
};

/// Adds the two energies of every directed pair (eV) to the rows of its centre i. Both may go to
/// the same place.
void add_exchange_energy(const ExchangeView &exchange, Rows<const double> directions,
                         Rows<double> bilinear_energy, Rows<double> biquadratic_energy);

/// Adds ∂(E_J + E_K)/∂e (eV) to both ends of every pair.
void add_exchange_gradient(const ExchangeView &exchange, Rows<const double> directions,
                           Rows<double> gradient);

/// The weights of the backward pass: ∂E_J/∂J̃_ij = ½ e_i ⊗ e_j (9 per pair) and
/// ∂E_K/∂K̃_ij = ½ (e_i·e_j)² (1 per pair).
void exchange_weights(std::span<const std::array<int, 2>> pairs, Rows<const double> directions,
                      std::span<double> tensor_weights, std::span<double> biquadratic_weights);

} // namespace spinff
