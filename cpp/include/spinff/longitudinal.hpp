// SPDX-License-Identifier: MIT
//
/// \file longitudinal.hpp
/// The length m = |m| of a moment as a variable of its own: the part along the moment of the
/// generalised Langevin spin dynamics of P.-W. Ma, S. L. Dudarev, Phys. Rev. B 86, 054416 (2012).
///
///     dm = [-L dE/dm + 2 L k_B T / m] dt + sqrt(2 L k_B T) dW          m in Bohr magnetons
///
/// with a mobility L > 0 in mu_B^2/(eV ps). At a fixed direction its stationary distribution is
///
///     exp(-E/k_B T) m^2 dm,
///
/// which with the exp(-E/k_B T) dOmega of the directions (spinff/sib.hpp) is exp(-E/k_B T) d^3m:
/// that of a moment as a vector in three dimensions. The drift 2 L k_B T / m is the m^2 of this
/// measure; without it lengths would follow exp(-E/k_B T) dm.
///
/// The equation is that of the length of a vector X which is driven along itself and kicked from
/// all sides,  dX = -L dE/dm X/|X| dt + sqrt(2 L k_B T) dW  in three dimensions. So a step moves
/// such a vector, from (m, 0, 0), and takes its length: never negative, without the singular drift,
/// and without an error where E does not depend on m. (X is no moment; directions are those of
/// spinff/sib.hpp.) It is the midpoint scheme, which has the two field evaluations of the SIB step:
///
///     half way   X_h = (m_n, 0, 0) + h/2 v(m_n) + w_1,           m_h = |X_h|
///     end        X   = (m_n, 0, 0) + h v(m_h) X_h/m_h + w_1 + w_2,    m_{n+1} = |X|
///
/// v = -L dE/dm. w_1 and w_2 are independent, the kicks of the two halves of the step of length h:
/// second order in h for trajectories without noise and for averages with it.
#pragma once

#include <algorithm>
#include <cmath>

#include "spinff/sib.hpp"
#include "spinff/units.hpp"

namespace spinff {

/// Shorter than any length that matters. A length that decays to the 0 of underflow would mean:
/// not magnetic here.
constexpr double vanishing_length = 1.0e-100; // Bohr magnetons

/// Length of a moment that follows from where the auxiliary vector is, in its unit.
inline double length_at(const Vec3 &place) {
    return std::max(std::hypot(place[0], place[1], place[2]), vanishing_length);
}

/// dE/d|m| (eV/mu_B) from the field fm = -(1/hbar) dE/de (rad/ps) of an energy that depends on the
/// moment as a vector: there dE/de = |m| dE/dm, which has a part along m. `s` is the unit vector,
/// `length` |m| in Bohr magnetons.
inline double length_gradient(const Vec3 &s, const Vec3 &fm, double length) {
    return -units::hbar * dot(s, fm) / length;
}

/// The field without its part along the unit vector `s`, which moves the length and turns no
/// direction. Far from the length of lowest energy that part is the largest one, and a step of the
/// direction with it would turn the noise about the moment: the free moments of
/// tests/test_longitudinal.py in 300 T at 600 K had an <m_z> 18 % too small.
inline Vec3 across(const Vec3 &s, const Vec3 &fm) {
    const double along = dot(s, fm);
    return {fm[0] - along * s[0], fm[1] - along * s[1], fm[2] - along * s[2]};
}

/// Standard deviation (mu_B) of each component of the kicks of half a step:
///
///     <w_1^2> = <w_2^2> = L k_B T h
///
/// for a mobility L (mu_B^2/(eV ps)), a temperature (K) and a whole step h = `dt` (ps).
inline double length_kick_amplitude(double mobility, double temperature, double dt) {
    return std::sqrt(mobility * units::k_B * temperature * dt);
}

/// X_h: where the auxiliary vector is half way. `velocity` is v at the length at the start,
/// mu_B/ps.
inline Vec3 length_half_way(double start, double velocity, const Vec3 &kick, double dt) {
    return {start + 0.5 * dt * velocity + kick[0], kick[1], kick[2]};
}

/// X: where it is at the end. `velocity` is v at the length of `half_way`, `kicks` w_1 + w_2.
inline Vec3 length_end(double start, const Vec3 &half_way, double velocity, const Vec3 &kicks,
                       double dt) {
    const double scale = dt * velocity / length_at(half_way);
    return {start + scale * half_way[0] + kicks[0], scale * half_way[1] + kicks[1],
            scale * half_way[2] + kicks[2]};
}

} // namespace spinff
