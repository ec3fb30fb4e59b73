// SPDX-License-Identifier: MIT
//
// 10,000 damaged model headers and 10,000 damaged coupling tables: what is read is a usable header
// or table, or one sentence; never a crash, a hang, a large allocation or another exception. The
// damage is the same in every run.
#include "check.hpp"
#include "good_files.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "spinff/coupling_table.hpp"
#include "spinff/error.hpp"
#include "spinff/header.hpp"

using namespace spinff;

namespace {

constexpr int num_mutants = 10'000;
const std::string who = "file 'x'";

// === damage ===

class Damage {
  public:
    explicit Damage(std::uint64_t seed) : random(seed) {}

    /// A copy with one wrong value in right syntax, as a rule, or one to four faults of any kind.
    std::string operator()(std::string text) {
        if (below(2) == 0) {
            replace_value(text, one_of(below(2) == 0 ? numbers : values));
            return text;
        }
        for (std::size_t n = 1 + below(4); n > 0; --n) {
            kinds[below(kinds.size())](text);
        }
        return text;
    }

  private:
    /// Not a distribution of the standard library: those differ between libraries.
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random() % limit; }

    std::size_t place(const std::string &text) { return below(text.size() + 1); }

    const std::string &one_of(const std::vector<std::string> &choices) {
        return choices[below(choices.size())];
    }

    /// Start and length of a value: what stands behind a colon, a comma or a bracket.
    std::pair<std::size_t, std::size_t> value(const std::string &text) {
        const auto before = text.find_first_of(":,[", place(text));
        if (before == std::string::npos) {
            return {place(text), 0};
        }
        const auto end = text.find_first_of(",]}", before + 1);
        return {before + 1, std::min(end, text.size()) - before - 1};
    }

    void replace_value(std::string &text, const std::string &replacement) {
        const auto [start, length] = value(text);
        text.replace(start, length, replacement);
    }

    std::string nested() {
        static const std::vector<std::string> openings = {"[", "{\"a\":", "[[],", "{\"a\":["};
        static const std::vector<std::size_t> depths = {3, 15, 16, 17, 40, 1000, 20000};
        const std::string &opening = one_of(openings);
        std::string text;
        std::string end;
        for (std::size_t n = depths[below(depths.size())]; n > 0; --n) {
            text += opening;
            for (auto c = opening.rbegin(); c != opening.rend(); ++c) {
                end += *c == '[' ? "]" : *c == '{' ? "}" : "";
            }
        }
        return below(3) == 0 ? text : text + "1" + end; // not always closed
    }

    using Kind = std::function<void(std::string &)>;
    std::mt19937_64 random;
    const std::vector<std::string> numbers = {
        "1e308",  "-1e308", "1e999", "-1e999",   "1e-400",
        "4e-324", "-0",     "NaN",   "Infinity", "123456789012345678901234567890",
        "0x10",   "1e",     "1.",    "01",       "18446744073709551615",
        "100.1",  "1e150",  "2",     "-7",       std::string(5000, '9')};
    const std::vector<std::string> values = {
        "null", "true",        "{}",          "[]",      "\"\"",    "[1]",   "{\"Ni\": 1}",
        "[[]]", "[[1, \"\"]]", "{\"Cr\": 3}", "\"meV\"", "[0,0,0]", "\"Cr\""};
    const std::vector<std::string> bytes = {
        "\xff",         "\xc0\x80",        "\xed\xa0\x80", "\xe2\x82", std::string(1, '\0'),
        "\xef\xbb\xbf", "\xf4\x90\x80\x80"};
    const std::vector<std::string> escapes = {"\\u0000", "\\ud800", "\\n", "\\u001b[2J",    "\\x",
                                              "\\",      "\"",      "µ",   "\\udbff\\udfff"};
    const std::vector<Kind> kinds = {
        [this](auto &t) { // one bit
            if (!t.empty()) {
                t[below(t.size())] ^= static_cast<char>(1U << below(8));
            }
        },
        [this](auto &t) { t.erase(place(t), 1 + below(30)); },
        [this](auto &t) { t.insert(place(t), 1, static_cast<char>(below(256))); },
        [this](auto &t) { t.resize(place(t)); },
        [this](auto &t) {
            const std::string chunk = t.substr(place(t), 1 + below(200));
            t.insert(place(t), chunk);
        },
        [this](auto &t) { replace_value(t, one_of(numbers)); },
        [this](auto &t) { replace_value(t, one_of(values)); },
        [this](auto &t) { replace_value(t, nested()); },
        [this](auto &t) { t.insert(place(t), one_of(bytes)); },
        [this](auto &t) { t.insert(place(t), one_of(escapes)); },
        [this](auto &t) { t.insert(place(t), std::string(below(5000), "[{\"\\ 9x"[below(7)])); },
    };
};

// === what may come out ===

bool is_utf8(const std::string &text) {
    std::size_t following = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (following > 0 ? (byte & 0xC0) != 0x80 : (byte & 0xC0) == 0x80) {
            return false;
        }
        following = following > 0  ? following - 1
                    : byte >= 0xF0 ? 3
                    : byte >= 0xE0 ? 2
                                   : byte >= 0xC0;
    }
    return following == 0;
}

/// «who: what, got …, expected …; what to do», on one line of reasonable length.
bool is_sentence(const std::string &text) {
    const auto got = text.find(", got ");
    const auto expected = text.find(", expected ", got);
    return text.rfind(who + ": ", 0) == 0 && got != std::string::npos &&
           expected != std::string::npos && text.find("; ", expected) != std::string::npos &&
           text.size() < 1500 && is_utf8(text) &&
           std::none_of(
               text.begin(), text.end(),
               [](char c) { return static_cast<unsigned char>(c) < ' '; });
}

bool is_usable(const ModelHeader &header) {
    const std::size_t n = header.num_types();
    bool right = n > 0 && header.cutoffs.size() == n && header.moments.size() == n &&
                 header.magnetic.size() == n && !header.terms.empty();
    for (std::size_t i = 0; right && i < n; ++i) {
        right = header.cutoffs[i].size() == n && std::isfinite(header.moments[i]) &&
                (header.moments[i] > 0.0) == header.magnetic[i];
        for (const double cutoff : header.cutoffs[i]) {
            right = right && cutoff > 0.0 && cutoff <= header.r_max && header.r_max <= 100.0;
        }
    }
    return right;
}

bool is_usable(const CouplingTable &table) {
    const auto exists = [&](int species) {
        return species >= 0 && species < static_cast<int>(table.species.size());
    };
    return table.tolerance > 0.0 &&
           std::all_of(table.couplings.begin(), table.couplings.end(), [&](const Coupling &c) {
               return exists(c.centre) && exists(c.neighbour) && c.length > 0.0 &&
                      c.length <= 100.0 && std::isfinite(c.biquadratic) &&
                      std::all_of(c.tensor.begin(), c.tensor.end(),
                                  [](double element) { return std::isfinite(element); });
           });
}

struct Counts {
    int read = 0, refused = 0;
};

/// Reads one text and judges what happens; `name` finds the case again.
template <typename Parse>
void try_text(const std::string &text, const std::string &name, Parse parse, Counts &counts) {
    try {
        if (!is_usable(parse(text, who))) {
            report(__FILE__, __LINE__, name + " is read but of no use: " + text);
        }
        ++counts.read;
    } catch (const Error &error) {
        if (!is_sentence(error.what())) {
            report(__FILE__, __LINE__, name + " gives no sentence: " + error.what());
        }
        ++counts.refused;
    } catch (const std::exception &exception) {
        report(__FILE__, __LINE__, name + " gives another exception: " + exception.what());
    }
}

template <typename Parse>
void test_damaged(const std::string &kind, const std::string &good, Parse parse) {
    Counts mutants;
    Damage damage(2026);
    for (int n = 0; n < num_mutants; ++n) {
        try_text(damage(good), "damaged " + kind + " " + std::to_string(n), parse, mutants);
    }
    CHECK(mutants.read + mutants.refused == num_mutants);
    CHECK(mutants.read > 0 && mutants.refused > num_mutants / 2); // real damage, not noise
    std::cout << kind << ": " << num_mutants << " damaged, " << mutants.refused
              << " refused with a sentence, " << mutants.read << " still right\n";

    Counts cut;
    for (std::size_t size = 0; size < good.size(); ++size) {
        try_text(good.substr(0, size), kind + " cut at " + std::to_string(size), parse, cut);
    }
    CHECK(cut.read == 0);
    std::cout << kind << ": cut at each of " << good.size() << " bytes, all refused\n";
}

void test_sentence_about_depth() {
    Counts counts;
    const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
    try_text(deep, "a million brackets", parse_header, counts);
    try_text(deep, "a million brackets", parse_coupling_table, counts);
    CHECK(counts.refused == 2);
    try {
        parse_header("{\"format\": " + deep + "}", who);
    } catch (const Error &error) {
        CHECK(std::string(error.what()).find("inside each other more than 16 times") !=
              std::string::npos);
    }
}

/// An allocation out of proportion ends in bad_alloc, which `try_text` reports. AddressSanitizer
/// needs the address space for itself and has a limit of its own (see the Makefile).
void limit_memory() {
#ifndef __SANITIZE_ADDRESS__
    const rlimit limit = {512U << 20, 512U << 20};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
#endif
}

} // namespace

int main() {
    limit_memory();
    test_damaged("header", good_header, parse_header);
    test_damaged("table", good_table, parse_coupling_table);
    test_sentence_about_depth();
    return failures() > 0;
}
