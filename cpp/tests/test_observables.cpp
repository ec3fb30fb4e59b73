// SPDX-License-Identifier: MIT
//
// Order parameters of known states, solid angles of known triangles, and what is refused.
#include "check.hpp"
#include "lattices.hpp"

#include "spinff/error.hpp"
#include "spinff/observables.hpp"

#include <cmath>
#include <numbers>
#include <string>

using namespace spinff;
using std::numbers::pi;

namespace {

void test_order_parameter() {
    const Spins spins = {0, 0.6, 0.8, 0, -0.6, -0.8, 1, 0, 0};
    const std::vector<double> weights = {0.5, -0.5, 0.25};
    const Vec3 order = order_parameter(weights, rows(spins));
    CHECK_NEAR(order[0], 0.25, 1e-15);
    CHECK_NEAR(order[1], 0.6, 1e-15);
    CHECK_NEAR(order[2], 0.8, 1e-15);
}

/// A spiral e_n = (cos qn, sin qn, 0) has (1/2)(x̂ − iŷ) at q and nothing at other q.
void test_fourier_component() {
    const int n = 12;
    Spins spins, positions;
    for (int k = 0; k < n; ++k) {
        const double angle = 2 * pi * k / n;
        spins.insert(spins.end(), {std::cos(angle), std::sin(angle), 0.0});
        positions.insert(positions.end(), {2.5 * k, 1.0, -3.0});
    }
    const std::vector<double> weights(n, 1.0 / n);
    const double q = 2 * pi / (2.5 * n);
    const auto at = fourier_component(weights, rows(positions), {q, 0, 0}, rows(spins));
    CHECK_NEAR(at[0].real(), 0.5, 1e-14);
    CHECK_NEAR(at[0].imag(), 0.0, 1e-14);
    CHECK_NEAR(at[1].real(), 0.0, 1e-14);
    CHECK_NEAR(at[1].imag(), -0.5, 1e-14);
    const auto off = fourier_component(weights, rows(positions), {2 * q, 0, 0}, rows(spins));
    CHECK_NEAR(std::abs(off[0]) + std::abs(off[1]), 0.0, 1e-14);
}

/// An octant is π/2; an odd permutation or time reversal changes the sign.
void test_solid_angles() {
    Spins spins = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, -1};
    const std::vector<Triangle> triangles = {{0, 1, 2}, {0, 2, 1}, {1, 2, 0}};
    const auto angles = solid_angles(triangles, rows(spins), 4);
    CHECK_NEAR(angles[0], pi / 2, 1e-14);
    CHECK_NEAR(angles[1], -pi / 2, 1e-14);
    CHECK_NEAR(angles[2], pi / 2, 1e-14);
    for (double &x : spins) {
        x = -x;
    }
    CHECK_NEAR(solid_angles(triangles, rows(spins), 4)[0], -pi / 2, 1e-14);
}

/// More than a half sphere: three spins below the equator, seen from the other side.
void test_large_solid_angle() {
    Spins spins;
    for (int k = 0; k < 3; ++k) {
        const double z = -0.1, r = std::sqrt(1 - z * z);
        spins.insert(spins.end(), {r * std::cos(2 * pi * k / 3), r * std::sin(2 * pi * k / 3), z});
    }
    const std::vector<Triangle> triangle = {{0, 1, 2}};
    const double angle = solid_angles(triangle, rows(spins), 3)[0];
    CHECK(angle < -pi && angle > -2 * pi); // the smaller of the two sides, clockwise
}

/// The faces of a cube cover the sphere once.
void test_closed_surface() {
    Spins spins;
    for (int k = 0; k < 8; ++k) {
        const Vec3 e = direction({k & 1 ? 1.0 : -1.0, k & 2 ? 1.3 : -1.0, k & 4 ? 1.0 : -0.7});
        spins.insert(spins.end(), e.begin(), e.end());
    }
    const std::vector<Triangle> triangles = {{0, 2, 3}, {0, 3, 1}, {4, 5, 7}, {4, 7, 6},
                                             {0, 1, 5}, {0, 5, 4}, {2, 6, 7}, {2, 7, 3},
                                             {0, 4, 6}, {0, 6, 2}, {1, 3, 7}, {1, 7, 5}};
    CHECK_NEAR(topological_charge(triangles, rows(spins), 8), 1.0, 1e-14);
    for (double &x : spins) {
        x = -x;
    }
    CHECK_NEAR(topological_charge(triangles, rows(spins), 8), -1.0, 1e-14);
}

void check_message(const Spins &spins, const Triangle &triangle, const std::string &part) {
    std::string text = "nothing";
    try {
        topological_charge(std::vector{triangle}, rows(spins), 3);
    } catch (const Error &error) {
        text = error.what();
    }
    if (text.find(part) == std::string::npos || text.find(", expected ") == std::string::npos) {
        report(__FILE__, __LINE__, "expected '" + part + "', got: " + text);
    }
}

void test_degenerate_triangles() {
    const double h = std::sqrt(0.75);
    const Spins coplanar = {1, 0, 0, -0.5, h, 0, -0.5, -h, 0};
    const Spins opposite = {0, 0, 1, 0, 0, -1, 1, 0, 0};
    const Spins none = {0, 0, 1, 0, 0, 0, 1, 0, 0};
    check_message(coplanar, {0, 1, 2}, "(atoms 0, 1, 2) go round a great circle, got (1.0000");
    check_message(opposite, {2, 0, 1}, "(atoms 2, 0, 1) go round a great circle");
    check_message(none, {0, 1, 2}, "has a spin of wrong length, got 0.000000 on atom 1");
    check_message(coplanar, {0, 1, 1}, "is degenerate, got an atom twice");
    check_message(coplanar, {0, 1, 3}, "names a missing atom");
    // on a great circle, but not round it: no area
    const Spins arc = {1, 0, 0, 0, 1, 0, h, 0.5, 0};
    CHECK(topological_charge(std::vector{Triangle{0, 1, 2}}, rows(arc), 3) == 0.0);
}

} // namespace

int main() {
    test_order_parameter();
    test_fourier_component();
    test_solid_angles();
    test_large_solid_angle();
    test_closed_surface();
    test_degenerate_triangles();
    return failures();
}
