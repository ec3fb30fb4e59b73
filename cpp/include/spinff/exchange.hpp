// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace spinff {

/// Rows of an array with three leading columns: row i starts at `data + i * stride`.
/// LAMMPS' `sp` has stride 4 (direction and moment), `fm` and NumPy arrays have stride 3.
template <typename T>
struct Rows {
    T *data;
    std::size_t stride;

    T *operator[](std::size_t i) const { return data + i * stride; }
};

/// Couplings of one geometry: directed pair p = (i, j) carries the 3×3 tensor J̃_ij (eV),
/// row-major, rows belonging to the components of e_i and columns to those of e_j, and K̃_ij (eV):
///
///     E_S = ½ Σ_{directed pairs} [ e_iᵀ J̃_ij e_j + K̃_ij (e_i·e_j)² ]
///
/// (SpinGNN++: Yu et al., Phys. Rev. B 110, 104427, Sec. II).
struct ExchangeView {
    std::span<const std::array<int, 2>> pairs;
    std::span<const double> tensors;     ///< J̃, 9 per pair
    std::span<const double> biquadratic; ///< K̃, 1 per pair

    std::size_t size() const { return pairs.size(); }
};

/// Adds the energy of every directed pair (eV) to `atom_energy[i]` of its centre i and returns the
/// sum E_S.
double add_exchange_energy(const ExchangeView &exchange, Rows<const double> directions,
                           double *atom_energy);

/// Adds `scale` · ∂E_S/∂e (eV times the unit of `scale`) to both ends of every pair.
void add_exchange_gradient(const ExchangeView &exchange, Rows<const double> directions,
                           double scale, Rows<double> gradient);

/// The weights of the backward pass: ∂E_S/∂J̃_ij = ½ e_i ⊗ e_j (9 per pair) and
/// ∂E_S/∂K̃_ij = ½ (e_i·e_j)² (1 per pair).
void exchange_weights(std::span<const std::array<int, 2>> pairs, Rows<const double> directions,
                      std::span<double> tensor_weights, std::span<double> biquadratic_weights);

} // namespace spinff
