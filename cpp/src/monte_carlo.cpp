// SPDX-License-Identifier: MIT
#include "spinff/monte_carlo.hpp"

#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "spinff/error.hpp"
#include "spinff/philox.hpp"

namespace spinff {

namespace {

/// Apart from the stages of spin dynamics (0, 1, ...), whose step numbers may be the same.
constexpr std::uint32_t philox_stage = 0x4d43;

/// The unit vector at an angle with this cosine to `axis` (unit), turned about it by `azimuth`.
Vec3 at_angle(const Vec3 &axis, double cosine, double azimuth) {
    // the Cartesian direction furthest from the axis makes a well-conditioned frame
    const int least = std::abs(axis[0]) < std::abs(axis[1])
                          ? (std::abs(axis[0]) < std::abs(axis[2]) ? 0 : 2)
                          : (std::abs(axis[1]) < std::abs(axis[2]) ? 1 : 2);
    Vec3 other = {};
    other[least] = 1.0;
    const Vec3 u = direction(cross(axis, other));
    const Vec3 v = cross(axis, u);
    const double sine = std::sqrt(std::fmax(0.0, 1.0 - cosine * cosine));
    const double along_u = sine * std::cos(azimuth);
    const double along_v = sine * std::sin(azimuth);
    Vec3 e;
    for (int a = 0; a < 3; ++a) {
        e[a] = cosine * axis[a] + along_u * u[a] + along_v * v[a];
    }
    return direction(e); // rounding must not add up over many sweeps
}

/// Cosine with density proportional to exp(x c) on [−1, 1], by inversion; u uniform in (0, 1).
double heat_bath_cosine(double x, double u) {
    return std::fmax(-1.0, 1.0 + std::log1p((1.0 - u) * std::expm1(-2.0 * x)) / x);
}

Vec3 propose(const MonteCarlo &settings, const Vec3 &e, const Vec3 &linear, double u0, double u1) {
    const double azimuth = 2.0 * std::numbers::pi * u1;
    if (settings.move == Move::cone) {
        return at_angle(e, 1.0 - u0 * (1.0 - std::cos(settings.cone_angle)), azimuth);
    }
    const double size = std::sqrt(dot(linear, linear));
    const double x = size / settings.kT;
    constexpr double uniform_below = 1.0e-12; // where e^x is 1 to the accuracy of u
    if (settings.move == Move::heat_bath && x > uniform_below) {
        const Vec3 axis = {-linear[0] / size, -linear[1] / size, -linear[2] / size};
        return at_angle(axis, heat_bath_cosine(x, u0), azimuth);
    }
    return at_angle({0.0, 0.0, 1.0}, 2.0 * u0 - 1.0, azimuth);
}

void check_range(bool right, const std::string &what, double got, const std::string &expected) {
    if (!right) {
        throw Error("Monte Carlo: " + what + " is out of range, got " + std::to_string(got) +
                    ", expected " + expected + "; correct it");
    }
}

} // namespace

void MonteCarlo::check() const {
    check_range(std::isfinite(kT) && kT > 0.0, "kT (eV)", kT, "a number above 0");
    check_range(move != Move::cone || (cone_angle > 0.0 && cone_angle <= std::numbers::pi),
                "the angle of the cone (rad)", cone_angle, "more than 0 and at most pi");
}

Sweep monte_carlo_sweep(const SpinHamiltonian &hamiltonian, const MonteCarlo &settings,
                        std::uint64_t sweep, Rows<double> directions) {
    settings.check();
    Sweep result;
    for (std::size_t spin = 0; spin < hamiltonian.num_spins(); ++spin) {
        const std::size_t row = hamiltonian.row(spin);
        double *to = directions[row];
        const Vec3 e = {to[0], to[1], to[2]};
        const OneSpinEnergy energy = hamiltonian.one_spin_energy(spin, directions);
        const std::array<double, 4> u = uniform4(settings.seed, row, sweep, philox_stage);
        const Vec3 trial = propose(settings, e, energy.linear, u[0], u[1]);
        const double linear = dot(energy.linear, trial) - dot(energy.linear, e);
        const double quadratic =
            energy.is_linear ? 0.0 : energy.quadratic_part(trial) - energy.quadratic_part(e);
        const double decisive = settings.move == Move::heat_bath ? quadratic : linear + quadratic;
        if (decisive > 0.0 && u[2] >= std::exp(-decisive / settings.kT)) {
            continue;
        }
        for (int a = 0; a < 3; ++a) {
            to[a] = trial[a];
        }
        ++result.accepted;
        result.energy_change += linear + quadratic;
    }
    return result;
}

} // namespace spinff
