/// \file philox.hpp
/// Counter-based random numbers: the value is a pure function of (seed, atom, step, stage), so a
/// stochastic trajectory does not depend on how atoms are spread over MPI ranks, nor on the order
/// in which they are visited, and a restarted run goes on with the numbers it would have had.
///
/// Philox4x32-10: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as
/// easy as 1, 2, 3", SC'11 (2011), doi:10.1145/2063384.2063405, section 3.3.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace spinff {

/// Counter and output of Philox4x32: four 32-bit words.
using PhiloxCounter = std::array<std::uint32_t, 4>;
/// Key of Philox4x32: two 32-bit words.
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Ten rounds of Philox4x32 applied to `counter` under `key` (a bijection of the counter).
constexpr PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
    constexpr int rounds = 10;
    constexpr std::uint64_t multiplier_0 = 0xD2511F53; // table 2 of the paper
    constexpr std::uint64_t multiplier_1 = 0xCD9E8D57;
    constexpr std::uint32_t weyl_0 = 0x9E3779B9; // golden ratio
    constexpr std::uint32_t weyl_1 = 0xBB67AE85; // sqrt(3) - 1
    for (int round = 0; round < rounds; ++round) {
        const std::uint64_t product_0 = multiplier_0 * counter[0];
        const std::uint64_t product_1 = multiplier_1 * counter[2];
        counter = {static_cast<std::uint32_t>(product_1 >> 32) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(product_1),
                   static_cast<std::uint32_t>(product_0 >> 32) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(product_0)};
        key = {key[0] + weyl_0, key[1] + weyl_1};
    }
    return counter;
}

/// Four independent numbers, uniform between 0 and 1 without its ends: (word + 1/2) / 2^32.
/// Arguments as of `gaussian3`.
inline std::array<double, 4> uniform4(std::uint32_t seed, std::uint64_t tag, std::uint64_t step,
                                      std::uint32_t stage) {
    const PhiloxCounter words =
        philox4x32({static_cast<std::uint32_t>(tag), static_cast<std::uint32_t>(tag >> 32),
                    static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)},
                   {seed, stage});
    return {(words[0] + 0.5) * 0x1p-32, (words[1] + 0.5) * 0x1p-32, (words[2] + 0.5) * 0x1p-32,
            (words[3] + 0.5) * 0x1p-32};
}

/// Three independent standard normal numbers (mean 0, variance 1, dimensionless).
///
/// \param seed   the run's seed
/// \param tag    the atom's ID
/// \param step   the time step
/// \param stage  distinguishes several draws of one atom in one step
///
/// Box-Muller on `uniform4`, whose numbers are never 0 or 1, so |value| <= sqrt(2 ln 2^33) = 6.8.
inline std::array<double, 3> gaussian3(std::uint32_t seed, std::uint64_t tag, std::uint64_t step,
                                       std::uint32_t stage) {
    const std::array<double, 4> u = uniform4(seed, tag, step, stage);
    const double radius_0 = std::sqrt(-2.0 * std::log(u[0]));
    const double radius_1 = std::sqrt(-2.0 * std::log(u[2]));
    const double angle_0 = 2.0 * std::numbers::pi * u[1];
    const double angle_1 = 2.0 * std::numbers::pi * u[3];
    return {radius_0 * std::cos(angle_0), radius_0 * std::sin(angle_0),
            radius_1 * std::cos(angle_1)};
}

} // namespace spinff
