// SPDX-License-Identifier: MIT
//
// The reader of the model header. tests/test_header.py runs it, through Python, on every wrong
// field; here is what a C++ caller gets.
#include "check.hpp"
#include "good_files.hpp"

#include "spinff/error.hpp"
#include "spinff/header.hpp"

using namespace spinff;

namespace {

/// The message for a header in which the first `old` is replaced.
std::string message(const std::string &old, const std::string &replacement) {
    std::string text = good_header;
    text.replace(text.find(old), old.size(), replacement);
    try {
        parse_header(text, "model 'x'");
    } catch (const Error &error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

void test_values() {
    const ModelHeader header = parse_header(good_header, "model 'x'");
    CHECK(header.num_types() == 2);
    CHECK(!header.magnetic[0] && header.magnetic[1]);
    CHECK(header.moments[0] == 0.0 && header.moments[1] == 1.278);
    CHECK(header.cutoffs[1][0] == 4.5 && header.cutoffs[0][1] == 4.0);
    CHECK(header.dtype == "float32" && header.terms.size() == 3);
    CHECK(header.strictly_local && has_couplings(header));
}

void test_sentences() {
    const std::string newer = message("\"format_version\": 2", "\"format_version\": 7");
    CHECK(contains(newer, "model 'x': the file has a newer format, got format version 7"));
    CHECK(contains(newer, "expected 2; update spinff"));
    const std::string older = message("\"format_version\": 2", "\"format_version\": 1");
    CHECK(contains(older, "model 'x': the file has an older format, got format version 1"));
    CHECK(contains(older, "expected 2; deploy the checkpoint again with this spinff"));
    const std::string missing = message("\"dtype\"", "\"dtypo\"");
    CHECK(contains(missing, "model 'x': header field 'dtype' is missing, got none, expected"));
    const std::string wrong = message("\"fixed\"", "\"free\"");
    CHECK(contains(wrong, "header field 'moment_mode' is wrong, got 'free', expected one of"));
    const std::string terms = message("[\"lattice\", ", "[");
    CHECK(contains(terms, "header field 'terms' is wrong"));
    CHECK(contains(terms, "expected a list that begins with lattice"));
    CHECK(contains(message("5.0", "-5.0"), "'r_max' is wrong, got -5.0, expected a positive"));
    CHECK(contains(message("{", "["), "the header is not a JSON object"));
}

} // namespace

int main() {
    test_values();
    test_sentences();
    return failures();
}
