// SPDX-License-Identifier: MIT
#pragma once

/// Physical constants in LAMMPS `units metal` (eV, Å, ps) with moments in µB.
/// Source: CODATA 2018 (E. Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021)); ħ and k_B are
/// exact in the SI of 2019.
namespace spinff::units {

/// Reduced Planck constant, eV·ps.
inline constexpr double hbar = 6.582119569509067e-4;
/// Boltzmann constant, eV/K.
inline constexpr double k_B = 8.617333262145179e-5;
/// Bohr magneton, eV/T.
inline constexpr double mu_B = 5.7883818060e-5;
/// Magnitude of the electron's g factor.
inline constexpr double g_e = 2.00231930436256;

} // namespace spinff::units
