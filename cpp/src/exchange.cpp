// SPDX-License-Identifier: MIT
#include "spinff/exchange.hpp"

namespace spinff {

namespace {

double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

} // namespace

void add_exchange_energy(const ExchangeView &exchange, Rows<const double> directions,
                         Rows<double> bilinear_energy, Rows<double> biquadratic_energy) {
    for (std::size_t p = 0; p < exchange.size(); ++p) {
        const auto [i, j] = exchange.pairs[p];
        const double *J = &exchange.tensors[9 * p];
        const double *ei = directions[i];
        const double *ej = directions[j];
        const double cosine = dot(ei, ej);
        double bilinear = 0.0;
        for (int a = 0; a < 3; ++a) {
            bilinear += ei[a] * dot(J + 3 * a, ej);
        }
        *bilinear_energy[i] += 0.5 * bilinear;
        *biquadratic_energy[i] += 0.5 * exchange.biquadratic[p] * cosine * cosine;
    }
}

void add_exchange_gradient(const ExchangeView &exchange, Rows<const double> directions,
                           Rows<double> gradient) {
    for (std::size_t p = 0; p < exchange.size(); ++p) {
        const auto [i, j] = exchange.pairs[p];
        const double *J = &exchange.tensors[9 * p];
        const double *ei = directions[i];
        const double *ej = directions[j];
        double *gi = gradient[i];
        double *gj = gradient[j];
        const double slope = exchange.biquadratic[p] * dot(ei, ej);
        for (int a = 0; a < 3; ++a) {
            gi[a] += 0.5 * dot(J + 3 * a, ej) + slope * ej[a];
            gj[a] += 0.5 * (J[a] * ei[0] + J[3 + a] * ei[1] + J[6 + a] * ei[2]) + slope * ei[a];
        }
    }
}

void exchange_weights(std::span<const std::array<int, 2>> pairs, Rows<const double> directions,
                      std::span<double> tensor_weights, std::span<double> biquadratic_weights) {
    for (std::size_t p = 0; p < pairs.size(); ++p) {
        const auto [i, j] = pairs[p];
        const double *ei = directions[i];
        const double *ej = directions[j];
        for (int a = 0; a < 3; ++a) {
            for (int b = 0; b < 3; ++b) {
                tensor_weights[9 * p + 3 * a + b] = 0.5 * ei[a] * ej[b];
            }
        }
        const double cosine = dot(ei, ej);
        biquadratic_weights[p] = 0.5 * cosine * cosine;
    }
}

} // namespace spinff
