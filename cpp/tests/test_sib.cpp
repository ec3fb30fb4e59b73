// The semi-implicit scheme (spinff/sib.hpp) and its noise (spinff/philox.hpp).
#include "spinff/philox.hpp"
#include "spinff/sib.hpp"
#include "spinff/units.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

using namespace spinff;

namespace {

int failures = 0;

void check(bool ok, const char *what, double got, double expected) {
    std::printf("%s  %s: got %.10g, expected %.10g\n", ok ? "ok  " : "FAIL", what, got, expected);
    failures += ok ? 0 : 1;
}

void check_close(const char *what, double got, double expected, double tolerance) {
    check(std::abs(got - expected) <= tolerance, what, got, expected);
}

void check_below(const char *what, double got, double limit) {
    check(got < limit, what, got, limit);
}

void check_above(const char *what, double got, double limit) {
    check(got > limit, what, got, limit);
}

double distance(const Vec3 &a, const Vec3 &b) {
    return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/// One SIB step of a single spin in a constant field without noise.
Vec3 constant_field_step(const Vec3 &s, const Vec3 &omega, double alpha, double dt) {
    const Vec3 no_noise = {0, 0, 0};
    const Vec3 trial = sib_advance(s, s, omega, 1.0, no_noise, alpha, dt);
    return sib_advance(s, midpoint(s, trial), omega, 1.0, no_noise, alpha, dt);
}

// === Philox ===

// Known answers of Philox4x32-10 from the authors' library Random123 (file kat_vectors).
void test_philox_known_answers() {
    struct Known {
        PhiloxCounter counter;
        PhiloxKey key;
        PhiloxCounter words;
    };
    const std::vector<Known> known = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
    for (const Known &k : known) {
        check(philox4x32(k.counter, k.key) == k.words, "philox4x32 known answer",
              philox4x32(k.counter, k.key)[0], k.words[0]);
    }
}

void test_gaussian_moments() {
    constexpr int count = 400000;
    Vec3 mean{}, square{}, fourth{};
    double mixed = 0.0, next_step = 0.0;
    for (int n = 0; n < count; ++n) {
        const Vec3 x = gaussian3(11, n % 1000, n / 1000, 0);
        const Vec3 y = gaussian3(11, n % 1000, n / 1000 + 1, 0);
        for (int k = 0; k < 3; ++k) {
            mean[k] += x[k] / count;
            square[k] += x[k] * x[k] / count;
            fourth[k] += std::pow(x[k], 4) / count;
        }
        mixed += x[0] * x[1] / count;
        next_step += x[0] * y[0] / count;
    }
    const double error = 4.0 / std::sqrt(count);
    for (int k = 0; k < 3; ++k) {
        check_close("normal numbers: mean", mean[k], 0.0, error);
        check_close("normal numbers: variance", square[k], 1.0, 1.5 * error);
        check_close("normal numbers: fourth moment", fourth[k], 3.0, 10.0 * error);
    }
    check_close("normal numbers: components independent", mixed, 0.0, error);
    check_close("normal numbers: steps independent", next_step, 0.0, error);
}

void test_gaussian_depends_on_every_argument() {
    const Vec3 reference = gaussian3(1, 2, 3, 0);
    check_close("same arguments, same numbers", distance(reference, gaussian3(1, 2, 3, 0)), 0, 0);
    check_above("another seed", distance(reference, gaussian3(2, 2, 3, 0)), 1e-3);
    check_above("another atom", distance(reference, gaussian3(1, 3, 3, 0)), 1e-3);
    check_above("another step", distance(reference, gaussian3(1, 2, 4, 0)), 1e-3);
    check_above("another stage", distance(reference, gaussian3(1, 2, 3, 1)), 1e-3);
    check_above("a step beyond 2^32", distance(reference, gaussian3(1, 2, 3 + (1ull << 32), 0)),
                1e-3);
}

// === rotation ===

void test_rotation_solves_the_implicit_equation() {
    const Vec3 s = direction({0.3, -0.8, 0.5});
    const Vec3 F = {1.7, 0.4, -2.2};
    const Vec3 s_new = sib_rotate(s, F);
    const Vec3 turned = cross(F, midpoint(s, s_new));
    const Vec3 expected = {s[0] + turned[0], s[1] + turned[1], s[2] + turned[2]};
    check_below("s' = s + F x (s + s')/2", distance(s_new, expected), 1e-15);
    check_close("|s'|", dot(s_new, s_new), 1.0, 1e-15);
    // A Cayley rotation about F turns by 2 atan(|F|/2).
    const Vec3 quarter = sib_rotate({1, 0, 0}, {0, 0, 2.0 * std::tan(std::numbers::pi / 4)});
    check_below("rotation angle", distance(quarter, {0, 1, 0}), 1e-15);
}

void test_length_is_kept() {
    Vec3 s = direction({1, 2, 3});
    double worst = 0.0;
    for (int n = 0; n < 200000; ++n) {
        const Vec3 noise = gaussian3(5, 1, n, 0);
        const Vec3 trial = sib_advance(s, s, {1, 0, 2}, 1.0, noise, 0.5, 0.3);
        s = sib_advance(s, midpoint(s, trial), {1, 0, 2}, 1.0, noise, 0.5, 0.3);
        worst = std::max(worst, std::abs(std::sqrt(dot(s, s)) - 1.0));
    }
    check_below("| |s| - 1 | over 2e5 noisy steps", worst, 1e-12);
}

// === units ===

void test_rates() {
    const double gamma = units::g_e * units::mu_B / units::hbar;
    for (const double moment : {0.5, 1.0, 3.0}) {
        const Vec3 fm = zeeman_field(moment, {0, 0, 10});
        const double rate = rate_factor(SpinConvention::physical, units::g_e, moment);
        check_close("Larmor rate of any moment is gamma B", rate * fm[2], 10 * gamma, 1e-14);
        check_close("Zeeman energy", zeeman_energy(moment, {0, 0, 1}, {0, 0, 10}),
                    -10 * moment * units::mu_B, 1e-18);
    }
    check_close("LAMMPS convention", rate_factor(SpinConvention::lammps, units::g_e, 3.0), 1, 0);
    // gamma_e / 2 pi = 28.0249514242 GHz/T (CODATA 2018)
    check_close("electron gyromagnetic ratio, GHz/T", 1e3 * gamma / (2 * std::numbers::pi),
                28.0249514242, 1e-8);
}

void test_noise_amplitude() {
    const double alpha = 0.3, T = 20, g = 2.1, moment = 3, dt = 0.01;
    const double expected = std::sqrt(2 * alpha * units::k_B * T * g / (units::hbar * moment * dt));
    check_close("noise amplitude",
                noise_amplitude(alpha, T, rate_factor(SpinConvention::physical, g, moment), dt),
                expected, 1e-12 * expected);
}

// === heat ===

/// In a constant field E = -hbar fm . s changes by the heat alone, and not at all without a bath.
void test_heat_is_the_change_of_energy() {
    const Vec3 s = direction({0.4, -0.7, 0.2});
    const Vec3 fm = {3.0, -1.0, 8.0};
    const Vec3 noise = {9.0, 4.0, -6.0};
    for (const double alpha : {0.0, 0.3}) {
        const Vec3 eta = alpha > 0.0 ? noise : Vec3{0, 0, 0};
        const Vec3 trial = sib_advance(s, s, fm, 0.8, eta, alpha, 0.05);
        const Vec3 end = sib_advance(s, midpoint(s, trial), fm, 0.8, eta, alpha, 0.05);
        const Vec3 moved = bath_displacement(s, end, fm, 0.8, alpha, 0.05);
        const double energy = -units::hbar * (dot(fm, end) - dot(fm, s));
        check_close("heat taken up", heat_taken_up(fm, moved), energy, 1e-17);
        if (alpha == 0.0) {
            check_below("moved without a bath", distance(moved, {0, 0, 0}), 1e-15);
        } else {
            check_above("energy of the bath", std::abs(energy), 1e-5);
        }
    }
}

// === order of the deterministic part ===

/// Error after t = 5 of a damped spin from +x against its closed solution
/// s_z = tanh(alpha w t / (1 + alpha^2)), azimuth w t / (1 + alpha^2).
double damped_spin_error(double dt) {
    const double alpha = 0.2, w = 1.7588, t = 5.0;
    Vec3 s = {1, 0, 0};
    const int steps = static_cast<int>(std::lround(t / dt));
    for (int n = 0; n < steps; ++n) {
        s = constant_field_step(s, {0, 0, w}, alpha, dt);
    }
    const double tau = w * t / (1 + alpha * alpha);
    const double s_z = std::tanh(alpha * tau);
    const double s_xy = std::sqrt(1 - s_z * s_z);
    return distance(s, {s_xy * std::cos(tau), s_xy * std::sin(tau), s_z});
}

void test_damped_spin() {
    const double coarse = damped_spin_error(0.01), fine = damped_spin_error(0.005);
    check_below("damped spin against tanh", fine, 1e-4);
    check_close("damped spin: order", std::log2(coarse / fine), 2.0, 0.05);
}

// === pathwise convergence ===

constexpr int n_spins = 4;
using Spins = std::vector<Vec3>;

/// Exchange between all spins, an easy axis and a field: fm = -(1/hbar) dE/ds in rad/ps.
Spins model_fields(const Spins &s) {
    Spins fm(n_spins, {0.3, 0.0, 1.0});
    for (int i = 0; i < n_spins; ++i) {
        fm[i][2] += 1.5 * s[i][2];
        for (int j = 0; j < n_spins; ++j) {
            for (int k = 0; k < 3 && j != i; ++k) {
                fm[i][k] += 0.8 * s[j][k];
            }
        }
    }
    return fm;
}

Spins stochastic_step(const Spins &start, const Spins &eta_predictor, const Spins &eta,
                      double alpha, double dt) {
    Spins middle(n_spins), unit(n_spins), end(n_spins);
    const Spins fm = model_fields(start);
    for (int i = 0; i < n_spins; ++i) {
        middle[i] = midpoint(
            start[i], sib_advance(start[i], start[i], fm[i], 1.0, eta_predictor[i], alpha, dt));
        unit[i] = direction(middle[i]);
    }
    const Spins fm_middle = model_fields(unit);
    for (int i = 0; i < n_spins; ++i) {
        end[i] = sib_advance(start[i], middle[i], fm_middle[i], 1.0, eta[i], alpha, dt);
    }
    return end;
}

enum class Noise { isotropic, along_z };
enum class Predictor { same_noise, fresh_noise };

/// Spins at t = 1 along one Brownian path; a step is `coarsening` increments of the finest path.
/// `fresh_noise` gives the predictor numbers of its own: the mistake this test must see.
Spins end_of_path(int path, int coarsening, Noise kind, Predictor predictor) {
    constexpr int finest = 1024;
    constexpr double alpha = 1.0, dt_finest = 1.0 / finest, temperature = 5.0;
    const double dt = coarsening * dt_finest;
    const double amplitude = noise_amplitude(alpha, temperature, 1.0, dt_finest);
    Spins s(n_spins);
    for (int i = 0; i < n_spins; ++i) {
        s[i] = direction({1.0, 0.4 * i, -0.2 * i});
    }
    const auto path_noise = [&](int first, std::uint32_t stage) {
        Spins eta(n_spins, {0, 0, 0});
        for (int i = 0; i < n_spins; ++i) {
            for (int n = first; n < first + coarsening; ++n) {
                const Vec3 x = gaussian3(path, i, n, stage);
                for (int k = kind == Noise::along_z ? 2 : 0; k < 3; ++k) {
                    eta[i][k] += amplitude * x[k] / coarsening; // sum of increments over dt
                }
            }
        }
        return eta;
    };
    for (int first = 0; first < finest; first += coarsening) {
        const Spins eta = path_noise(first, 0);
        const bool same = predictor == Predictor::same_noise;
        s = stochastic_step(s, same ? eta : path_noise(first, 1), eta, alpha, dt);
    }
    return s;
}

/// Root mean square distance, over spins and paths, from the finest solution of the same paths.
double pathwise_error(int coarsening, Noise kind, Predictor predictor) {
    constexpr int paths = 100;
    double sum = 0.0;
    for (int path = 0; path < paths; ++path) {
        const Spins exact = end_of_path(path, 1, kind, Predictor::same_noise);
        const Spins s = end_of_path(path, coarsening, kind, predictor);
        for (int i = 0; i < n_spins; ++i) {
            sum += std::pow(distance(s[i], exact[i]), 2) / (paths * n_spins);
        }
    }
    return std::sqrt(sum);
}

double pathwise_order(Noise kind, Predictor predictor) {
    return std::log2(pathwise_error(32, kind, predictor) / pathwise_error(8, kind, predictor)) / 2;
}

// Strong order 1 when the noises commute (one axis), 1/2 when they do not: what a scheme without
// Levy areas can have. The control solves another equation: its error stays.
void test_pathwise_convergence() {
    check_close("pathwise order, one axis", pathwise_order(Noise::along_z, Predictor::same_noise),
                1.0, 0.15);
    check_close("pathwise order, isotropic",
                pathwise_order(Noise::isotropic, Predictor::same_noise), 0.5, 0.15);
    check_below("control: order, one axis, fresh noise",
                pathwise_order(Noise::along_z, Predictor::fresh_noise), 0.25);
}

} // namespace

int main() {
    test_philox_known_answers();
    test_gaussian_moments();
    test_gaussian_depends_on_every_argument();
    test_rotation_solves_the_implicit_equation();
    test_length_is_kept();
    test_rates();
    test_noise_amplitude();
    test_heat_is_the_change_of_energy();
    test_damped_spin();
    test_pathwise_convergence();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
