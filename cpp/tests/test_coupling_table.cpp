// SPDX-License-Identifier: MIT
//
// The reader of coupling tables and the search for the coupling of a bond.
#include "check.hpp"
#include "good_files.hpp"

#include "spinff/coupling_table.hpp"
#include "spinff/error.hpp"

#include <cmath>
#include <string>

using namespace spinff;

namespace {

std::string with(const std::string &old, const std::string &replacement) {
    std::string text = good_table;
    const auto place = text.find(old);
    CHECK(place != std::string::npos);
    return text.replace(place, old.size(), replacement);
}

/// What is thrown for a table in which the first `old` is replaced.
std::string message(const std::string &old, const std::string &replacement) {
    try {
        parse_coupling_table(with(old, replacement), "t");
    } catch (const Error &error) {
        return error.what();
    }
    return "nothing";
}

void check_message(const std::string &old, const std::string &replacement,
                   const std::string &part) {
    const std::string text = message(old, replacement);
    if (text.find(part) == std::string::npos) {
        report(__FILE__, __LINE__, "'" + replacement + "' gives: " + text);
    }
    CHECK(text.rfind("t: ", 0) == 0 && text.find(", got ") != std::string::npos &&
          text.find(", expected ") != std::string::npos && text.find("; ") != std::string::npos);
}

void test_species() {
    const auto table = parse_coupling_table(good_table, "t");
    CHECK(table.species.size() == 3 && table.tolerance == 0.1);
    CHECK(table.find_species("Fe") == -1);
    const auto &cr = table.species[table.find_species("Cr")];
    CHECK(cr.name == "Cr" && cr.moment == 3.0);
    CHECK_NEAR(cr.anisotropy[8], -2e-3, 1e-18); // eV
    CHECK_NEAR(cr.anisotropy[5], 0.5e-3, 1e-18);
    CHECK(table.species[table.find_species("I")].moment == 0.0);
}

/// Every bond is there in both directions, with the transpose.
void test_both_directions() {
    const auto table = parse_coupling_table(good_table, "t");
    CHECK(table.couplings.size() == 4 + 2 + 1);
    const int cr = table.find_species("Cr");
    const int mn = table.find_species("Mn");
    const auto coupling = [&](int i, int j, const Vec3 &r) {
        const auto match = table.nearest(i, j, r);
        CHECK(match.coupling >= 0);
        CHECK_NEAR(match.mismatch, 0.0, 1e-12);
        return table.couplings[match.coupling];
    };
    const auto along = coupling(cr, cr, {3, 0, 0});
    const auto back = coupling(cr, cr, {-3, 0, 0});
    const auto to_mn = coupling(cr, mn, {0, 0, 4});
    const auto to_cr = coupling(mn, cr, {0, 4, 0});
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) {
            CHECK_NEAR(along.tensor[3 * a + b], 1e-3 * (3 * a + b + 1), 1e-18);
            CHECK(back.tensor[3 * b + a] == along.tensor[3 * a + b]);
            CHECK(to_cr.tensor[3 * b + a] == to_mn.tensor[3 * a + b]);
        }
    }
    const auto isotropic = coupling(cr, cr, {0, -3, 0});
    CHECK(isotropic.tensor == (Tensor3{-5e-3, 0, 0, 0, -5e-3, 0, 0, 0, -5e-3}));
    CHECK_NEAR(isotropic.biquadratic, 0.25e-3, 1e-18);
    CHECK(coupling(mn, mn, {4.2, 0, 0}).tensor == Tensor3{});
    CHECK(table.describe(back) == "coupling 1 (Cr-Cr, vector -3 -0 -0)");
    CHECK(table.describe(to_cr) == "coupling 3 (Mn-Cr, distance 4)");
}

void test_cutoffs_and_mismatch() {
    const auto table = parse_coupling_table(good_table, "t");
    const int cr = table.find_species("Cr");
    const int mn = table.find_species("Mn");
    const int iodine = table.find_species("I");
    CHECK_NEAR(table.cutoff(cr, cr), 3.2, 1e-12);
    CHECK_NEAR(table.cutoff(mn, cr), 4.2, 1e-12);
    CHECK(table.cutoff(cr, iodine) == 0.0);
    CHECK(table.nearest(cr, iodine, {3, 0, 0}).coupling == -1);
    CHECK_NEAR(table.nearest(cr, cr, {3, 0.15, 0}).mismatch, 0.15, 1e-12);
    CHECK_NEAR(table.nearest(cr, mn, {0, 0, 3.7}).mismatch, 0.3, 1e-12);
    // of two couplings of one length the one in the bond's direction, and not its neighbour in size
    CHECK_NEAR(table.nearest(cr, cr, {0.1, 3.1, 0}).mismatch, std::sqrt(0.02), 1e-12);
}

void test_given_directions_are_checked() {
    const std::string first = R"({"species": ["Cr", "Cr"], "vector": [3, 0, 0])";
    const auto back = [&](const std::string &rest) {
        return R"({"species": ["Cr", "Cr"], "vector": [-3, 0, 0.01], )" + rest + "}, " + first;
    };
    const std::string transposed = R"("J": [[1, 4, 7], [2, 5, 8], [3, 6, 9]])";
    const auto table = parse_coupling_table(with(first, back(transposed)), "t");
    CHECK(table.couplings.size() == 7); // as many as with one direction given
    check_message(first, back(R"("J": [[1, 2, 3], [4, 5, 6], [7, 8, 9]])"),
                  "coupling 1 (Cr-Cr, vector -3 0 0.01) and coupling 2 (Cr-Cr, vector 3 0 0) are "
                  "the two directions of one bond");
    check_message(first, back(transposed + R"(, "K": 1)"), "got different constants");
    check_message(R"("distance": 4.2, "K": 2)",
                  R"("distance": 4.2, "J": [[1,2,0],[0,1,0],[0,0,1]])",
                  "coupling 4 (Mn-Mn, distance 4.2) has a J that is not symmetric");
}

void test_header_sentences() {
    check_message("{", "[", "the file is not JSON");
    check_message("\"comment\"", "\"coment\"", "the file has an unknown key, got 'coment'");
    check_message("\"comment\": \"made up\",\n  \"convention\"", "\"comment\"",
                  "'convention' is missing in the file");
    check_message("half sum over i != j, J", "J", "'convention' is wrong, got \"J > 0");
    check_message("meV", "Ry", "'energy' is wrong, got \"Ry\", expected \"eV\" or \"meV\"");
    check_message(R"("energy": "meV", )", "", "'energy' is missing in 'units'");
    check_message("angstrom", "nm", "'length' is wrong, got \"nm\"");
    check_message("spinff-couplings", "tb2j", "'format' is wrong, got \"tb2j\"");
    check_message("\"format_version\": 1", "\"format_version\": 2", "'format_version' is wrong");
    check_message("0.1", "0", "'tolerance' (angstrom) is wrong, got 0, expected a number above 0");
}

void test_species_sentences() {
    check_message(R"("moment": 3)", R"("moment": "3")",
                  "'moment' of species 'Cr' is wrong, got \"3\"");
    check_message(R"("moment": 3)", R"("moment": -3)", "'moment' of species 'Cr' is wrong, got -3");
    check_message(R"("moment": 3,)", R"("moments": 3,)", "has an unknown key, got 'moments'");
    check_message("[0, 0, 0.5]", "[0, 0.1, 0.6]", "'A' of species 'Cr' is not symmetric");
    check_message("[0, 0, 0.5]", "[0, 0.5]", "'A' of species 'Cr' is wrong, got [0,0.5]");
    check_message(R"("moment": 3)", R"("moment": 0)", "'A' of species 'Cr' is given for a species");
}

void test_coupling_sentences() {
    check_message(R"(["Cr", "Cr"])", R"(["Cr", "Fe"])",
                  "coupling 1 has an unknown species, got 'Fe', expected one of: Cr, I, Mn");
    check_message(R"(["Cr", "Cr"])", R"(["Cr", "I"])", "coupling 1 couples a species that is not");
    check_message(R"(["Cr", "Cr"])", R"("Cr")", "'species' of coupling 1 is wrong");
    check_message(R"("J": -5)", R"("J": "x")",
                  "'J' of coupling 2 is wrong, got \"x\", expected a number");
    check_message(R"("J": -5)", R"("J": [[1, 2], [3, 4]])", "expected three rows of three numbers");
    check_message(R"("J": -5, "K")", R"("D")", "coupling 2 has an unknown key, got 'D'");
    check_message(R"(, "K": 2)", "", "coupling 4 has no constant");
    check_message(R"("distance": 4.2)", R"("distance": -4.2)", "coupling 4 is too short");
    check_message(R"("distance": 4.2)", R"("distance": 4.2, "vector": [0, 0, 4.2])",
                  "coupling 4 needs one of 'distance' and 'vector', got both");
    check_message("[3, 0, 0]", "[3, 0]", "'vector' of coupling 1 is wrong");
    check_message(R"("vector": [0, 3, 0])", R"("distance": 3.15)",
                  "would match the same bond, got 0.15");
    check_message("[0, 3, 0]", "[3, 0.1, 0]", "would match the same bond, got 0.1 angstrom");
}

} // namespace

int main() {
    test_species();
    test_both_directions();
    test_cutoffs_and_mismatch();
    test_given_directions_are_checked();
    test_header_sentences();
    test_species_sentences();
    test_coupling_sentences();
    return failures();
}
