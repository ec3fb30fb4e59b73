// SPDX-License-Identifier: MIT
//
// The directory of a zip archive, whole and damaged, and the checksum in it.
#include "check.hpp"

#include <sstream>

#include "spinff/zip_records.hpp"

using namespace spinff;

namespace {

std::string little_endian(std::uint32_t value, int count) {
    std::string bytes;
    for (int byte = 0; byte < count; ++byte) {
        bytes += static_cast<char>(value >> 8 * byte);
    }
    return bytes;
}

std::string entry(const std::string &name, std::uint32_t checksum) {
    return "PK\x01\x02" + std::string(12, '\0') + little_endian(checksum, 4) +
           std::string(8, '\0') + little_endian(static_cast<std::uint32_t>(name.size()), 2) +
           std::string(16, '\0') + name;
}

/// Contents that nobody reads, two entries, and the end.
std::string archive() {
    const std::string contents = "contents of the records";
    const std::string directory = entry("a/one", 0x12345678) + entry("a/two", 0xFFFFFFFF);
    return contents + directory + "PK\x05\x06" + std::string(6, '\0') + little_endian(2, 2) +
           little_endian(static_cast<std::uint32_t>(directory.size()), 4) +
           little_endian(static_cast<std::uint32_t>(contents.size()), 4) + std::string(2, '\0');
}

std::optional<std::vector<ZipRecord>> read(const std::string &bytes) {
    std::istringstream file(bytes);
    return zip_records(file);
}

void test_directory() {
    const auto records = read(archive());
    CHECK(records && records->size() == 2);
    CHECK(records->front().name == "a/one" && records->front().checksum == 0x12345678);
    CHECK(records->back().name == "a/two" && records->back().checksum == 0xFFFFFFFF);
}

void test_damage() {
    const std::string whole = archive();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK(!read(whole.substr(0, size)));
    }
    for (std::size_t place = 0; place < whole.size(); ++place) {
        for (const int bit : {0, 3, 7}) {
            std::string changed = whole;
            changed[place] ^= static_cast<char>(1U << bit);
            const auto records = read(changed); // whatever it says, within the file
            CHECK(!records || records->size() <= 2);
        }
    }
}

void test_checksum() {
    CHECK(crc32({}) == 0);
    const std::string check = "123456789"; // the check value of this CRC in every list
    CHECK(crc32(check) == 0xCBF43926);
}

} // namespace

int main() {
    test_directory();
    test_damage();
    test_checksum();
    return failures() > 0;
}
