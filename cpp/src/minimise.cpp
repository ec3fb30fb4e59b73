// SPDX-License-Identifier: MIT
#include "spinff/minimise.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>
#include <numeric>
#include <string>

#include "spinff/error.hpp"

namespace spinff {

namespace {

using Vector = std::vector<double>;

constexpr std::size_t history_length = 8; // Nocedal and Wright: 3 to 20
constexpr double armijo = 1.0e-4;
constexpr double largest_rotation = 0.5; // rad, of a spin in one step: beyond, no parabola
constexpr int largest_shortenings = 60;

double product(const Vector &a, const Vector &b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// a += scale b.
void add(Vector &a, double scale, const Vector &b) {
    for (std::size_t k = 0; k < a.size(); ++k) {
        a[k] += scale * b[k];
    }
}

Vec3 combination(double a, const Vec3 &x, double b, const Vec3 &y) {
    return {a * x[0] + b * y[0], a * x[1] + b * y[1], a * x[2] + b * y[2]};
}

/// Length of the longest of the pairs (a, b).
double longest(const Vector &x) {
    double square = 0.0;
    for (std::size_t k = 0; k < x.size(); k += 2) {
        square = std::max(square, x[k] * x[k] + x[k + 1] * x[k + 1]);
    }
    return std::sqrt(square);
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3g", value);
    return text;
}

/// Spin e with two unit vectors perpendicular to it and to each other.
struct Frame {
    Vec3 u, v, e;

    explicit Frame(const Vec3 &spin) : e(direction(spin)) {
        const int least = std::abs(e[0]) < 0.6 ? 0 : 1; // not both of a unit vector are larger
        Vec3 axis = {};
        axis[least] = 1.0;
        u = direction(cross(axis, e));
        v = cross(e, u);
    }

    /// e after that turn minus e before: the difference of the two would have lost the digits by
    /// which the energy falls close to a minimum.
    Vec3 chord(double a, double b) const {
        const double angle = std::hypot(a, b);
        const double half = std::sin(0.5 * angle);
        const double along = angle == 0.0 ? 1.0 : std::sin(angle) / angle;
        return combination(1.0, combination(along * a, u, along * b, v), -2.0 * half * half, e);
    }

    /// Turned so that e moves by the angle |(a, b)| towards a u + b v.
    Frame turned(double a, double b) const {
        const double angle = std::hypot(a, b);
        if (angle == 0.0) {
            return *this;
        }
        const Vec3 ahead = combination(a / angle, u, b / angle, v);
        const Vec3 aside = combination(-b / angle, u, a / angle, v); // the axis, e × ahead
        const double cosine = std::cos(angle);
        const double sine = std::sin(angle);
        Frame frame = *this;
        frame.e = direction(combination(cosine, e, sine, ahead));
        const Vec3 new_ahead = combination(-sine, e, cosine, ahead);
        const Vec3 new_u = combination(a / angle, new_ahead, -b / angle, aside);
        // Gram-Schmidt: rounding must not add up over thousands of steps
        frame.u = direction(combination(1.0, new_u, -dot(new_u, frame.e), frame.e));
        frame.v = cross(frame.e, frame.u);
        return frame;
    }
};

/// All spins with their frames, and the gradient there.
struct State {
    std::vector<Frame> frames;
    std::vector<Vec3> gradient; // ∂E/∂e, eV

    /// Components of the gradient in the frames: the torque, turned by a right angle.
    Vector tangent() const {
        Vector g;
        g.reserve(2 * frames.size());
        for (std::size_t k = 0; k < frames.size(); ++k) {
            g.push_back(dot(gradient[k], frames[k].u));
            g.push_back(dot(gradient[k], frames[k].v));
        }
        return g;
    }
};

/// Steps and changes of the gradient that stand for the inverse of the second derivative.
class History {
  public:
    void clear() { pairs.clear(); }
    bool empty() const { return pairs.empty(); }

    /// Keeps a pair if the energy curves upwards along the step.
    void add_pair(const Vector &step, const Vector &change) {
        constexpr double least_cosine = 1.0e-10;
        const double curvature = product(step, change);
        if (curvature > least_cosine * std::sqrt(product(step, step) * product(change, change))) {
            pairs.push_back({step, change, curvature});
        }
        if (pairs.size() > history_length) {
            pairs.pop_front();
        }
    }

    /// −H g by the two-loop recursion.
    Vector direction(const Vector &g) const {
        Vector d = g;
        Vector weights;
        for (auto pair = pairs.rbegin(); pair != pairs.rend(); ++pair) {
            weights.push_back(product(pair->step, d) / pair->curvature);
            add(d, -weights.back(), pair->change);
        }
        double scale = -1.0;
        if (!pairs.empty()) {
            const Pair &last = pairs.back();
            scale = -last.curvature / product(last.change, last.change);
        }
        std::transform(d.begin(), d.end(), d.begin(), [=](double x) { return scale * x; });
        for (const Pair &pair : pairs) {
            add(d, -weights.back() - product(pair.change, d) / pair.curvature, pair.step);
            weights.pop_back();
        }
        return d;
    }

  private:
    struct Pair {
        Vector step, change;
        double curvature;
    };
    std::deque<Pair> pairs;
};

class Minimiser {
  public:
    Minimiser(const SpinHamiltonian &hamiltonian, const MinimiseOptions &options,
              Rows<double> directions)
        : hamiltonian(hamiltonian), options(options), directions(directions),
          scratch(3 * hamiltonian.num_rows()) {
        for (std::size_t k = 0; k < hamiltonian.num_spins(); ++k) {
            const double *e = directions[hamiltonian.row(k)];
            state.frames.emplace_back(Vec3{e[0], e[1], e[2]});
        }
        state.gradient = gradient_at([&](std::size_t k) { return state.frames[k].e; });
    }

    Minimum run() {
        Vector g = state.tangent();
        while ((result.max_torque = longest(g)) > options.torque_tolerance) {
            if (result.iterations == options.max_iterations) {
                stop("no minimum after " + std::to_string(result.iterations) + " iterations",
                     "allow more iterations or a larger torque");
            }
            Vector step = descent(g);
            search(step, product(step, g));
            const Vector new_g = state.tangent();
            Vector change = new_g;
            add(change, -1.0, g);
            history.add_pair(step, change);
            g = new_g;
            ++result.iterations;
            write();
        }
        return std::move(result);
    }

  private:
    template <typename F>
    std::vector<Vec3> gradient_at(F spin) {
        const std::size_t count = hamiltonian.num_spins();
        for (std::size_t k = 0; k < count; ++k) {
            const Vec3 e = spin(k);
            std::copy(e.begin(), e.end(), &scratch[3 * hamiltonian.row(k)]);
        }
        std::vector<Vec3> gradient;
        gradient.reserve(count);
        for (std::size_t k = 0; k < count; ++k) {
            gradient.push_back(hamiltonian.gradient(k, {scratch.data(), 3}));
        }
        return gradient;
    }

    /// A direction downhill, no spin turning by more than the largest rotation.
    Vector descent(const Vector &g) {
        Vector d = history.direction(g);
        if (!(product(d, g) < 0.0)) { // rounding: forget what was learned
            history.clear();
            d = history.direction(g);
        }
        // Without a history there is no scale: the search for a shorter step finds it.
        const double angle = longest(d);
        if (history.empty() || angle > largest_rotation) {
            for (double &x : d) {
                x *= largest_rotation / angle;
            }
        }
        return d;
    }

    /// Shortens the step until the energy falls, and goes there (Nocedal and Wright, sec. 3.5).
    void search(Vector &step, double slope) {
        for (int attempt = 0; attempt < largest_shortenings; ++attempt) {
            State trial = turned(step);
            const double change = energy_change(step, trial);
            if (change <= armijo * slope) {
                state = std::move(trial);
                result.energy_changes.push_back(change);
                return;
            }
            // to the minimum of the parabola through E, its slope and the trial
            const double factor = std::clamp(-0.5 * slope / (change - slope), 0.1, 0.5);
            for (double &x : step) {
                x *= factor;
            }
            slope *= factor;
        }
        stop("the energy falls along no step", "allow a larger torque, which rounding can reach");
    }

    State turned(const Vector &step) {
        State trial;
        trial.frames.reserve(state.frames.size());
        for (std::size_t k = 0; k < state.frames.size(); ++k) {
            trial.frames.push_back(state.frames[k].turned(step[2 * k], step[2 * k + 1]));
        }
        trial.gradient = gradient_at([&](std::size_t k) { return trial.frames[k].e; });
        return trial;
    }

    /// E of the trial minus E here, from the gradients: see the header.
    double energy_change(const Vector &step, const State &trial) {
        std::vector<Vec3> middle;
        if (hamiltonian.has_biquadratic()) {
            middle = gradient_at([&](std::size_t k) {
                return combination(0.5, state.frames[k].e, 0.5, trial.frames[k].e);
            });
        }
        double change = 0.0;
        for (std::size_t k = 0; k < state.frames.size(); ++k) {
            const Vec3 moved = state.frames[k].chord(step[2 * k], step[2 * k + 1]);
            const Vec3 ends = combination(0.5, state.gradient[k], 0.5, trial.gradient[k]);
            change += middle.empty() ? dot(ends, moved)
                                     : (dot(ends, moved) + 2.0 * dot(middle[k], moved)) / 3.0;
        }
        return change;
    }

    void write() const {
        for (std::size_t k = 0; k < state.frames.size(); ++k) {
            const Vec3 &e = state.frames[k].e;
            std::copy(e.begin(), e.end(), directions[hamiltonian.row(k)]);
        }
    }

    [[noreturn]] void stop(const std::string &what, const std::string &advice) const {
        throw Error("minimise: " + what + ", got a largest torque of " + number(result.max_torque) +
                    " eV, expected at most " + number(options.torque_tolerance) + " eV; " + advice);
    }

    const SpinHamiltonian &hamiltonian;
    MinimiseOptions options;
    Rows<double> directions;
    Vector scratch; // directions of a trial, all rows
    State state;
    History history;
    Minimum result;
};

} // namespace

Minimum minimise(const SpinHamiltonian &hamiltonian, const MinimiseOptions &options,
                 Rows<double> directions) {
    if (!(options.torque_tolerance > 0.0)) {
        throw Error("minimise: the torque tolerance is wrong, got " +
                    number(options.torque_tolerance) +
                    " eV, expected a number above 0; correct "
                    "it");
    }
    hamiltonian.check_directions(directions);
    return Minimiser(hamiltonian, options, directions).run();
}

} // namespace spinff
