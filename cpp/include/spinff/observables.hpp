/// \file observables.hpp
/// What is measured on spins: order parameters and the topological charge of a layer.
#pragma once

#include <array>
#include <complex>
#include <cstddef>
#include <span>
#include <vector>

#include "spinff/rows.hpp"
#include "spinff/sib.hpp" // Vec3

namespace spinff {

/// O = Σ_i w_i e_i, one weight for each row: w = 1/N is the magnetisation, w = ±1/N on the two
/// sublattices the Néel vector, w = 1/N_g on the atoms of a group and 0 elsewhere that of a group.
Vec3 order_parameter(std::span<const double> weights, Rows<const double> directions);

/// The same with the weights w_i exp(−i q·r_i), r_i in Å and q in 1/Å: the Fourier component of
/// the spins at q, whose square is the structure factor.
std::array<std::complex<double>, 3> fourier_component(std::span<const double> weights,
                                                      Rows<const double> positions, const Vec3 &q,
                                                      Rows<const double> directions);

/// Three atoms of a layer, anticlockwise for an observer who sees the layer's normal point at him.
using Triangle = std::array<int, 3>;

/// Solid angle Ω between −2π and 2π of each spherical triangle (e_1, e_2, e_3),
///
///     tan(Ω/2) = e_1·(e_2 × e_3) / (1 + e_1·e_2 + e_2·e_3 + e_3·e_1)
///
/// (A. van Oosterom, J. Strackee, IEEE Trans. Biomed. Eng. 30, 125 (1983)). Throws Error for a
/// triangle whose atoms are out of range or not distinct, whose spins are not unit vectors, or
/// whose spins lie on a great circle that they go round (such as two that are opposite): ±2π are
/// then the same.
std::vector<double> solid_angles(std::span<const Triangle> triangles, Rows<const double> directions,
                                 std::size_t num_atoms);

/// Topological charge Q = Σ Ω / 4π (B. Berg, M. Lüscher, Nucl. Phys. B 190, 412 (1981)): how often
/// the spins cover the sphere; an integer if the triangles close to a surface without edge. A
/// skyrmion with its core along −z in a layer magnetised along +z, normal +z, has Q = −1; time
/// reversal changes the sign. Throws as `solid_angles` does.
double topological_charge(std::span<const Triangle> triangles, Rows<const double> directions,
                          std::size_t num_atoms);

} // namespace spinff
