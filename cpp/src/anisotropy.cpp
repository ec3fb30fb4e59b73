// SPDX-License-Identifier: MIT
#include "spinff/anisotropy.hpp"

namespace spinff {

void add_anisotropy_energy(std::span<const double> tensors, Rows<const double> directions,
                           Rows<double> energy) {
    for (std::size_t i = 0; 9 * i < tensors.size(); ++i) {
        const double *A = &tensors[9 * i];
        const double *e = directions[i];
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                *energy[i] += e[a] * A[3 * a + b] * e[b];
            }
        }
    }
}

void add_anisotropy_gradient(std::span<const double> tensors, Rows<const double> directions,
                             Rows<double> gradient) {
    for (std::size_t i = 0; 9 * i < tensors.size(); ++i) {
        const double *A = &tensors[9 * i];
        const double *e = directions[i];
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                gradient[i][a] += (A[3 * a + b] + A[3 * b + a]) * e[b];
            }
        }
    }
}

void anisotropy_weights(Rows<const double> directions, std::span<double> weights) {
    for (std::size_t i = 0; 9 * i < weights.size(); ++i) {
        const double *e = directions[i];
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                weights[9 * i + 3 * a + b] = e[a] * e[b];
            }
        }
    }
}

} // namespace spinff
