// SPDX-License-Identifier: MIT
//
// Single-ion anisotropy: atom i of the first n carries the symmetric 3×3 tensor A_i (eV),
// row-major, n = tensors.size() / 9:
//
//     E_A = Σ_i e_iᵀ A_i e_i
//
// (SpinGNN++: Yu et al., Phys. Rev. B 110, 104427, Sec. II).
#pragma once

#include <span>

#include "spinff/rows.hpp"

namespace spinff {

/// Adds the energy of every atom (eV) to its row.
void add_anisotropy_energy(std::span<const double> tensors, Rows<const double> directions,
                           Rows<double> energy);

/// Adds ∂E_A/∂e_i = (A_i + A_iᵀ) e_i (eV) to the row of every atom.
void add_anisotropy_gradient(std::span<const double> tensors, Rows<const double> directions,
                             Rows<double> gradient);

/// The weights of the backward pass: ∂E_A/∂A_i = e_i ⊗ e_i, 9 for each atom.
void anisotropy_weights(Rows<const double> directions, std::span<double> weights);

} // namespace spinff
