// SPDX-License-Identifier: MIT
#include "spinff/model.hpp"

namespace spinff {

std::vector<double> isolated_energies(Model &model) {
    // One lone atom of each type, and beside them a pair, so that the graph is not empty.
    const auto n = static_cast<std::int64_t>(model.header().num_types());
    std::vector<std::int64_t> types(n + 2, 0);
    for (std::int64_t type = 0; type < n; ++type) {
        types[type] = type;
    }
    const double distance = 0.5 * model.header().cutoffs[0][0];
    const std::vector<double> vectors = {distance, 0.0, 0.0, -distance, 0.0, 0.0};
    const std::vector<std::int64_t> index = {n, n + 1, n + 1, n};
    std::vector<std::int64_t> magnetic;
    if (model.header().magnetic[0]) {
        magnetic = {0, 1};
    }
    Couplings result;
    model.couplings({vectors, index, types, magnetic, types.size()}, result);
    result.atom_energy.resize(n);
    return result.atom_energy;
}

} // namespace spinff
