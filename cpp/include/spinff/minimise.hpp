/// \file minimise.hpp
/// A local minimum of the spin energy under |e_i| = 1, on frozen couplings.
///
/// Limited-memory BFGS (J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed., algorithm 7.4)
/// on the product of spheres, with rotations as steps as in A. V. Ivanov, V. M. Uzdin, H. Jónsson,
/// Comput. Phys. Commun. 260, 107749 (2021).
///
/// Each spin carries a frame (u_i, v_i, e_i). A step x_i = (a, b) turns the frame by |x_i| about
/// an axis perpendicular to e_i, so that e_i moves along the great circle of a u_i + b v_i (the
/// exponential map). Frames that turn this way transport tangent vectors parallel to themselves:
/// their components (a, b) stay what they are, and the two-loop recursion runs on the 2N
/// components of gradients and steps as in flat space.
///
/// Steps are shortened until the energy falls by Armijo's condition (c = 10⁻⁴). Close to a minimum
/// the fall is lost in the rounding of E; it is therefore taken from the gradients,
/// ΔE = [G(e) + 4 G(½(e+e')) + G(e')]·(e' − e)/6, exact for the polynomial E (Simpson's rule; the
/// middle drops out where E is of second order, and ½ [G(e) + G(e')]·(e' − e) remains).
#pragma once

#include <cstddef>
#include <vector>

#include "spinff/rows.hpp"
#include "spinff/spin_hamiltonian.hpp"

namespace spinff {

/// When the minimiser stops.
struct MinimiseOptions {
    double torque_tolerance = 1.0e-8;    ///< eV, above 0
    std::size_t max_iterations = 10'000; ///< then it is an error
};

/// What it found.
struct Minimum {
    std::size_t iterations = 0;
    double max_torque = 0.0;            ///< max_i |e_i × ∂E/∂e_i|, eV
    std::vector<double> energy_changes; ///< of each iteration, eV, none above 0
};

/// Turns the spins into a local minimum, downhill from where they are. Throws Error if the torque
/// does not get below the tolerance; the spins are then where it stopped, lower than at the start.
/// Throws Error for a tolerance that is not above 0 and for spins that are no unit vectors.
///
/// A state without torque is returned as it is, minimum or not: begin with random or slightly
/// disordered spins, not with all of them along a hard axis.
Minimum minimise(const SpinHamiltonian &hamiltonian, const MinimiseOptions &options,
                 Rows<double> directions);

} // namespace spinff
