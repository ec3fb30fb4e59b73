// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace spinff {

/// What the directory of a zip archive says of one record.
struct ZipRecord {
    std::string name;
    std::uint32_t checksum = 0; ///< CRC-32 of its contents
};

/// The directory at the end of an archive; nothing if it is damaged.
std::optional<std::vector<ZipRecord>> zip_records(std::istream &file);

/// CRC-32 as zip archives have it.
std::uint32_t crc32(std::span<const char> bytes);

} // namespace spinff
