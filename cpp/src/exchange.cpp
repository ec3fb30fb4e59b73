// SPDX-License-Identifier: MIT
#include "spinff/exchange.hpp"

namespace spinff {

double add_exchange_energy(const ExchangeView &exchange, Rows<const double> directions,
                           double *atom_energy) {
    double total = 0.0;
    for (std::size_t p = 0; p < exchange.size(); ++p) {
        const auto [i, j] = exchange.pairs[p];
        const double *J = &exchange.tensors[9 * p];
        const double *ei = directions[i];
        const double *ej = directions[j];
        double energy = 0.0;
        for (int a = 0; a < 3; ++a) {
            energy += ei[a] * (J[3 * a] * ej[0] + J[3 * a + 1] * ej[1] + J[3 * a + 2] * ej[2]);
        }
        energy *= 0.5;
        atom_energy[i] += energy;
        total += energy;
    }
    return total;
}

void add_exchange_gradient(const ExchangeView &exchange, Rows<const double> directions,
                           double scale, Rows<double> gradient) {
    const double half = 0.5 * scale;
    for (std::size_t p = 0; p < exchange.size(); ++p) {
        const auto [i, j] = exchange.pairs[p];
        const double *J = &exchange.tensors[9 * p];
        const double *ei = directions[i];
        const double *ej = directions[j];
        double *gi = gradient[i];
        double *gj = gradient[j];
        for (int a = 0; a < 3; ++a) {
            gi[a] += half * (J[3 * a] * ej[0] + J[3 * a + 1] * ej[1] + J[3 * a + 2] * ej[2]);
            gj[a] += half * (J[a] * ei[0] + J[3 + a] * ei[1] + J[6 + a] * ei[2]);
        }
    }
}

void exchange_weights(std::span<const std::array<int, 2>> pairs, Rows<const double> directions,
                      std::span<double> weights) {
    for (std::size_t p = 0; p < pairs.size(); ++p) {
        const auto [i, j] = pairs[p];
        const double *ei = directions[i];
        const double *ej = directions[j];
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                weights[9 * p + 3 * a + b] = 0.5 * ei[a] * ej[b];
            }
        }
    }
}

} // namespace spinff
