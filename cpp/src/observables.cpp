// SPDX-License-Identifier: MIT
#include "spinff/observables.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <numeric>
#include <string>

#include "spinff/error.hpp"

namespace spinff {

namespace {

std::string describe(std::size_t k, const Triangle &t) {
    return "triangle " + std::to_string(k) + " (atoms " + std::to_string(t[0]) + ", " +
           std::to_string(t[1]) + ", " + std::to_string(t[2]) + ")";
}

void check_atoms(std::size_t k, const Triangle &triangle, std::size_t num_atoms) {
    const auto [least, most] = std::minmax_element(triangle.begin(), triangle.end());
    if (*least < 0 || static_cast<std::size_t>(*most) >= num_atoms) {
        throw Error("topological charge: " + describe(k, triangle) +
                    " names a missing atom, expected 0 or more and less than " +
                    std::to_string(num_atoms) + "; make the triangles of these atoms");
    }
    if (triangle[0] == triangle[1] || triangle[1] == triangle[2] || triangle[2] == triangle[0]) {
        throw Error("topological charge: " + describe(k, triangle) +
                    " is degenerate, got an atom twice, expected three atoms; repeat a cell that "
                    "is so small");
    }
}

Vec3 unit_vector(std::size_t k, const Triangle &triangle, int corner,
                 Rows<const double> directions) {
    constexpr double tolerance = 1.0e-6;
    const double *e = directions[triangle[corner]];
    const Vec3 spin = {e[0], e[1], e[2]};
    const double length = std::sqrt(dot(spin, spin));
    if (!(std::abs(length - 1.0) <= tolerance)) {
        throw Error("topological charge: " + describe(k, triangle) +
                    " has a spin of wrong length, got " + std::to_string(length) + " on atom " +
                    std::to_string(triangle[corner]) +
                    ", expected 1; normalise it, or leave atoms without a moment out of the "
                    "triangles");
    }
    return spin;
}

double solid_angle(std::size_t k, const Triangle &triangle, const std::array<Vec3, 3> &e) {
    const double volume = dot(e[0], cross(e[1], e[2]));
    const double denominator = 1.0 + dot(e[0], e[1]) + dot(e[1], e[2]) + dot(e[2], e[0]);
    constexpr double rounding = 1.0e-12;
    if (std::abs(volume) < rounding && denominator < rounding) {
        char values[160];
        std::snprintf(values, sizeof(values),
                      "(%.4f %.4f %.4f), (%.4f %.4f %.4f), (%.4f %.4f %.4f)", e[0][0], e[0][1],
                      e[0][2], e[1][0], e[1][1], e[1][2], e[2][0], e[2][1], e[2][2]);
        throw Error("topological charge: the spins of " + describe(k, triangle) +
                    " go round a great circle, got " + values +
                    ", expected an area whose sign is defined; the charge of such a texture does "
                    "not exist, or disturb the spins slightly");
    }
    return 2.0 * std::atan2(volume, denominator);
}

} // namespace

Vec3 order_parameter(std::span<const double> weights, Rows<const double> directions) {
    Vec3 sum = {};
    for (std::size_t i = 0; i < weights.size(); ++i) {
        for (int a = 0; a < 3; ++a) {
            sum[a] += weights[i] * directions[i][a];
        }
    }
    return sum;
}

std::array<std::complex<double>, 3> fourier_component(std::span<const double> weights,
                                                      Rows<const double> positions, const Vec3 &q,
                                                      Rows<const double> directions) {
    std::array<std::complex<double>, 3> sum = {};
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const double *r = positions[i];
        const auto weight = weights[i] * std::polar(1.0, -dot(q, {r[0], r[1], r[2]}));
        for (int a = 0; a < 3; ++a) {
            sum[a] += weight * directions[i][a];
        }
    }
    return sum;
}

std::vector<double> solid_angles(std::span<const Triangle> triangles, Rows<const double> directions,
                                 std::size_t num_atoms) {
    std::vector<double> angles;
    angles.reserve(triangles.size());
    for (std::size_t k = 0; k < triangles.size(); ++k) {
        const Triangle &triangle = triangles[k];
        check_atoms(k, triangle, num_atoms);
        angles.push_back(solid_angle(k, triangle,
                                     {unit_vector(k, triangle, 0, directions),
                                      unit_vector(k, triangle, 1, directions),
                                      unit_vector(k, triangle, 2, directions)}));
    }
    return angles;
}

double topological_charge(std::span<const Triangle> triangles, Rows<const double> directions,
                          std::size_t num_atoms) {
    const std::vector<double> angles = solid_angles(triangles, directions, num_atoms);
    return std::accumulate(angles.begin(), angles.end(), 0.0) / (4.0 * std::numbers::pi);
}

} // namespace spinff
