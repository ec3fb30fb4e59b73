// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

namespace spinff {

/// Every failure of the core: one sentence «who: what is wrong, got …, expected …; what to do».
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

} // namespace spinff
