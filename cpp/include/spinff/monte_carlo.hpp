/// \file monte_carlo.hpp
/// Monte Carlo with moves of single spins: N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953);
/// W. K. Hastings, Biometrika 57, 97 (1970).
///
/// A sweep visits the spins in turn. Each is offered a new direction e' and takes it with
/// probability
///
///     random, cone   min{1, exp[−(E(e') − E(e))/kT]}
///     heat bath      min{1, exp[−(e'ᵀQe' − eᵀQe)/kT]}
///
/// where E(e) = b·e + eᵀQe is the energy of that spin in the field of the others
/// (coupled_spins.hpp). The heat bath draws e' from exp(−b·e'/kT), so that what is left to decide
/// is the quadratic part; without anisotropy and biquadratic terms every move is taken
/// (Y. Miyatake et al., J. Phys. C 19, 2539 (1986)). Each move leaves exp(−E/kT) as it is (detailed
/// balance), and so does a sweep.
///
/// The random numbers of a move are a function of (seed, atom, sweep): see philox.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spinff/rows.hpp"
#include "spinff/spin_hamiltonian.hpp"

namespace spinff {

/// Where a new direction comes from.
enum class Move {
    random,   ///< anywhere on the sphere
    cone,     ///< uniform in a cone about the present direction
    heat_bath ///< the thermal distribution in the field b of the other spins
};

/// What a run of sweeps needs to know.
struct MonteCarlo {
    Move move = Move::heat_bath;
    double cone_angle = 0.0; ///< half opening of the cone, rad, above 0 and at most π
    double kT = 0.0;         ///< eV, above 0
    std::uint32_t seed = 0;

    /// Throws Error for a value out of its range.
    void check() const;
};

/// Outcome of one sweep.
struct Sweep {
    std::size_t accepted = 0;   ///< number of spins that moved
    double energy_change = 0.0; ///< eV, the sum over the moves
};

/// One sweep, number `sweep` of the run: every spin in the order of its row. `directions` are unit
/// vectors and stay so.
Sweep monte_carlo_sweep(const SpinHamiltonian &hamiltonian, const MonteCarlo &settings,
                        std::uint64_t sweep, Rows<double> directions);

} // namespace spinff
