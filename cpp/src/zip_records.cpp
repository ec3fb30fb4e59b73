// SPDX-License-Identifier: MIT
//
// Layout: APPNOTE.TXT of PKWARE, sections 4.3.12 (directory) and 4.3.16 (its end).
#include "spinff/zip_records.hpp"

#include <algorithm>
#include <array>

namespace spinff {

namespace {

constexpr std::size_t end_size = 22;
constexpr std::size_t entry_size = 46;

/// `count` bytes at a place of the text, little endian.
std::uint32_t number(const std::string &text, std::size_t place, int count) {
    std::uint32_t value = 0;
    for (int byte = count - 1; byte >= 0; --byte) {
        value = value << 8 | static_cast<unsigned char>(text[place + byte]);
    }
    return value;
}

/// The file from its last `size` bytes on.
std::string tail(std::istream &file, std::streamoff size) {
    file.clear();
    file.seekg(0, std::ios::end);
    file.seekg(-std::min<std::streamoff>(size, file.tellg()), std::ios::end);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value & 1U) != 0 ? 0xEDB88320U ^ value >> 1 : value >> 1;
        }
        table[byte] = value;
    }
    return table;
}

} // namespace

std::optional<std::vector<ZipRecord>> zip_records(std::istream &file) {
    const std::string last = tail(file, 1024);
    const auto end = last.rfind("PK\x05\x06");
    if (end == std::string::npos || last.size() - end < end_size) {
        return std::nullopt;
    }
    file.clear();
    file.seekg(0, std::ios::end);
    const auto start = static_cast<std::streamoff>(number(last, end + 16, 4));
    const std::string directory = tail(file, static_cast<std::streamoff>(file.tellg()) - start);
    std::vector<ZipRecord> records;
    std::size_t place = 0;
    for (std::uint32_t left = number(last, end + 10, 2); left > 0; --left) {
        if (directory.size() < place + entry_size ||
            directory.compare(place, 4, "PK\x01\x02") != 0) {
            return std::nullopt;
        }
        const std::size_t name = number(directory, place + 28, 2);
        const std::size_t others =
            number(directory, place + 30, 2) + number(directory, place + 32, 2);
        if (directory.size() < place + entry_size + name + others) {
            return std::nullopt;
        }
        records.push_back(
            {directory.substr(place + entry_size, name), number(directory, place + 16, 4)});
        place += entry_size + name + others;
    }
    return records;
}

std::uint32_t crc32(std::span<const char> bytes) {
    static const std::array<std::uint32_t, 256> table = make_table();
    std::uint32_t value = 0xFFFFFFFFU;
    for (const char byte : bytes) {
        value = table[(value ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ value >> 8;
    }
    return value ^ 0xFFFFFFFFU;
}

} // namespace spinff
