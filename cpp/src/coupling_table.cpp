// SPDX-License-Identifier: MIT
#include "spinff/coupling_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <tuple>

#include "json.hpp"
#include "spinff/error.hpp"

namespace spinff {

namespace {

const std::string convention = "half sum over i != j, J > 0 antiferromagnetic";

/// J_ij and the transpose of J_ji, where both are given, may differ by this part of the largest
/// element: printed tables are rounded.
constexpr double transpose_tolerance = 1.0e-6;

/// Å. The longest bond is LAMMPS' cutoff, and ghost atoms without end would fill the memory.
constexpr double longest_bond = 100.0;

double length_of(const Vec3 &v) {
    return std::sqrt(dot(v, v));
}

Vec3 difference(const Vec3 &a, const Vec3 &b) {
    return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6g", value);
    return text;
}

Tensor3 transpose(const Tensor3 &T) {
    return {T[0], T[3], T[6], T[1], T[4], T[7], T[2], T[5], T[8]};
}

double largest(const Tensor3 &T) {
    return std::abs(*std::max_element(
        T.begin(), T.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }));
}

bool equal(const Tensor3 &a, const Tensor3 &b) {
    Tensor3 d;
    std::transform(a.begin(), a.end(), b.begin(), d.begin(), std::minus<>());
    return largest(d) <= transpose_tolerance * std::max(largest(a), largest(b));
}

/// The same bond seen from its other end.
Coupling reversed(const Coupling &coupling) {
    Coupling other = coupling;
    std::swap(other.centre, other.neighbour);
    other.tensor = transpose(coupling.tensor);
    if (coupling.vector) {
        const Vec3 &v = *coupling.vector;
        other.vector = Vec3{-v[0], -v[1], -v[2]};
    }
    return other;
}

auto order(const Coupling &coupling) {
    return std::tuple(coupling.centre, coupling.neighbour, coupling.length);
}

/// Reads the file field by field; every failure names the place and the value.
class TableReader {
  public:
    TableReader(std::string who) : who(std::move(who)) {}

    CouplingTable read(const std::string &text) {
        std::string why;
        const json object = parse_json(text, why);
        if (object.is_discarded()) {
            fail("the file is not JSON", why, "one JSON object", "correct the syntax");
        }
        check_keys(object, "the file",
                   {"format", "format_version", "convention", "units", "tolerance", "species",
                    "couplings"},
                   {"comment"});
        check_equal(object, "format", "spinff-couplings");
        check_equal(object, "format_version", 1);
        check_equal(object, "convention", convention);
        read_units(object.at("units"));
        table.tolerance = positive(object.at("tolerance"), "'tolerance' (angstrom)");
        read_species(object.at("species"));
        read_couplings(object.at("couplings"));
        complete();
        std::stable_sort(table.couplings.begin(), table.couplings.end(),
                         [](const Coupling &a, const Coupling &b) { return order(a) < order(b); });
        check_distinct();
        return std::move(table);
    }

  private:
    [[noreturn]] void fail(const std::string &what, const std::string &got,
                           const std::string &expected, const std::string &advice) const {
        throw Error(who + ": " + what + ", got " + got + ", expected " + expected + "; " + advice);
    }

    void check_keys(const json &object, const std::string &place,
                    const std::vector<std::string> &required,
                    const std::vector<std::string> &optional) const {
        std::vector<std::string> known = required;
        known.insert(known.end(), optional.begin(), optional.end());
        if (!object.is_object()) {
            fail(place + " is wrong", shown(object), "an object with the keys " + shown_list(known),
                 "correct it");
        }
        for (const auto &item : object.items()) {
            if (std::find(known.begin(), known.end(), item.key()) == known.end()) {
                fail(place + " has an unknown key", shown_text(item.key()),
                     "one of: " + shown_list(known), "correct or remove it");
            }
        }
        for (const auto &key : required) {
            if (!object.contains(key)) {
                fail("'" + key + "' is missing in " + place, "none",
                     "the keys " + shown_list(required), "add it");
            }
        }
    }

    void check_equal(const json &object, const std::string &key, const json &expected) const {
        if (object.at(key) != expected) {
            fail("'" + key + "' is wrong", shown(object.at(key)), shown(expected),
                 key == "convention" ? "convert the values to it" : "correct it");
        }
    }

    double finite(const json &value, const std::string &what) const {
        if (!value.is_number() || !std::isfinite(value.get<double>())) {
            fail(what + " is wrong", shown(value), "a number", "correct it");
        }
        return value.get<double>();
    }

    double positive(const json &value, const std::string &what) const {
        if (finite(value, what) <= 0.0) {
            fail(what + " is wrong", shown(value), "a number above 0", "correct it");
        }
        return value.get<double>();
    }

    /// `count` numbers in a list.
    void numbers(const json &value, const std::string &what, const std::string &expected,
                 std::size_t count, double *to) const {
        if (!value.is_array() || value.size() != count) {
            fail(what + " is wrong", shown(value), expected, "correct it");
        }
        for (const json &item : value) {
            *to++ = finite(item, what);
        }
    }

    Tensor3 matrix(const json &value, const std::string &what) const {
        const std::string expected = "three rows of three numbers";
        Tensor3 tensor;
        if (!value.is_array() || value.size() != 3) {
            fail(what + " is wrong", shown(value), expected, "correct it");
        }
        for (int a = 0; a < 3; ++a) {
            numbers(value[a], what, expected, 3, &tensor[3 * a]);
        }
        for (double &element : tensor) {
            element *= unit;
        }
        return tensor;
    }

    void read_units(const json &units) {
        check_keys(units, "'units'", {"energy", "length", "moment"}, {});
        check_equal(units, "length", "angstrom");
        check_equal(units, "moment", "bohr_magneton");
        const json &energy = units.at("energy");
        if (energy != "eV" && energy != "meV") {
            fail("'energy' is wrong", shown(energy), R"("eV" or "meV")", "convert the values");
        }
        unit = energy == "meV" ? 1.0e-3 : 1.0;
    }

    void read_species(const json &object) {
        if (!object.is_object() || object.empty()) {
            fail("'species' is wrong", shown(object), "an object with one entry for each species",
                 "correct it");
        }
        for (const auto &item : object.items()) {
            if (!is_plain_text(item.key())) {
                fail("a name in 'species' is wrong", shown_text(item.key()),
                     "a name without control characters, not empty", "correct it");
            }
            const std::string place = "species " + shown_text(item.key());
            check_keys(item.value(), place, {"moment"}, {"A"});
            CoupledSpecies species;
            species.name = item.key();
            species.moment = finite(item.value().at("moment"), "'moment' of " + place);
            if (species.moment < 0.0) {
                fail("'moment' of " + place + " is wrong", number(species.moment),
                     "0 or a length in Bohr magnetons", "correct it");
            }
            if (item.value().contains("A")) {
                read_anisotropy(item.value().at("A"), species);
            }
            table.species.push_back(species);
        }
    }

    void read_anisotropy(const json &value, CoupledSpecies &species) const {
        const std::string what = "'A' of species '" + species.name + "'";
        species.anisotropy = matrix(value, what);
        if (!equal(species.anisotropy, transpose(species.anisotropy))) {
            fail(what + " is not symmetric", shown(value), "A equal to its transpose",
                 "correct it");
        }
        if (species.moment == 0.0) {
            fail(what + " is given for a species that is not magnetic", "moment 0",
                 "a moment above 0", "remove one of them");
        }
    }

    void read_couplings(const json &list) {
        if (!list.is_array()) {
            fail("'couplings' is wrong", shown(list), "a list", "correct it");
        }
        for (const json &item : list) {
            table.couplings.push_back(read_coupling(item, table.couplings.size() + 1));
        }
    }

    Coupling read_coupling(const json &item, std::size_t entry) const {
        const std::string place = "coupling " + std::to_string(entry);
        check_keys(item, place, {"species"}, {"distance", "vector", "J", "K"});
        Coupling coupling;
        coupling.entry = entry;
        read_ends(item.at("species"), place, coupling);
        read_bond(item, place, coupling);
        if (!item.contains("J") && !item.contains("K")) {
            fail(place + " has no constant", "neither 'J' nor 'K'", "at least one of them",
                 "add it or remove the coupling");
        }
        if (item.contains("J")) {
            const json &J = item.at("J");
            const double isotropic = J.is_array() ? 0.0 : unit * finite(J, "'J' of " + place);
            coupling.tensor = J.is_array()
                                  ? matrix(J, "'J' of " + place)
                                  : Tensor3{isotropic, 0, 0, 0, isotropic, 0, 0, 0, isotropic};
        }
        if (item.contains("K")) {
            coupling.biquadratic = unit * finite(item.at("K"), "'K' of " + place);
        }
        return coupling;
    }

    void read_ends(const json &names, const std::string &place, Coupling &coupling) const {
        if (!names.is_array() || names.size() != 2 || !names[0].is_string() ||
            !names[1].is_string()) {
            fail("'species' of " + place + " is wrong", shown(names), "two names", "correct it");
        }
        for (int end : {0, 1}) {
            const std::string name = names[end];
            const int index = table.find_species(name);
            std::vector<std::string> known;
            for (const auto &species : table.species) {
                known.push_back(species.name);
            }
            if (index < 0) {
                fail(place + " has an unknown species", shown_text(name),
                     "one of: " + shown_list(known), "correct it or add it to 'species'");
            }
            if (table.species[index].moment == 0.0) {
                fail(place + " couples a species that is not magnetic",
                     "moment 0 of '" + name + "'", "a moment above 0", "correct one of them");
            }
            (end == 0 ? coupling.centre : coupling.neighbour) = index;
        }
    }

    void read_bond(const json &item, const std::string &place, Coupling &coupling) const {
        if (item.contains("distance") == item.contains("vector")) {
            fail(place + " needs one of 'distance' and 'vector'",
                 item.contains("vector") ? "both" : "neither", "one of them", "correct it");
        }
        if (item.contains("vector")) {
            Vec3 &vector = coupling.vector.emplace();
            numbers(item.at("vector"), "'vector' of " + place, "three numbers", 3, vector.data());
            coupling.length = length_of(vector);
        } else {
            coupling.length = finite(item.at("distance"), "'distance' of " + place);
        }
        if (!(coupling.length <= longest_bond)) {
            fail(place + " is too long", number(coupling.length) + " angstrom",
                 "at most " + number(longest_bond) + " angstrom", "correct it");
        }
        if (coupling.length <= 2.0 * table.tolerance) {
            fail(place + " is too short", number(coupling.length) + " angstrom",
                 "more than twice the tolerance of " + number(table.tolerance) + " angstrom",
                 "correct it or lower 'tolerance'");
        }
    }

    /// Adds the other direction of every bond, or checks it where the file gives it.
    void complete() {
        const std::vector<Coupling> given = table.couplings;
        for (const Coupling &coupling : given) {
            const Coupling other = reversed(coupling);
            const auto same = std::find_if(given.begin(), given.end(), [&](const Coupling &c) {
                return c.centre == other.centre && c.neighbour == other.neighbour &&
                       c.vector.has_value() == other.vector.has_value() &&
                       (c.vector ? c.mismatch(*other.vector) : std::abs(c.length - other.length)) <=
                           table.tolerance;
            });
            if (same == given.end()) {
                table.couplings.push_back(other);
            } else {
                check_transposed(coupling, *same);
            }
        }
    }

    void check_transposed(const Coupling &coupling, const Coupling &other) const {
        const double K = coupling.biquadratic;
        if (equal(coupling.tensor, transpose(other.tensor)) &&
            std::abs(K - other.biquadratic) <= transpose_tolerance * std::abs(K)) {
            return;
        }
        if (coupling.entry == other.entry) { // a length alone, between equal species
            fail(table.describe(coupling) + " has a J that is not symmetric",
                 "a bond whose two ends cannot be told apart", "J equal to its transpose",
                 "give the coupling by 'vector'");
        }
        fail(table.describe(coupling) + " and " + table.describe(other) +
                 " are the two directions of one bond",
             "different constants", "J_ji equal to the transpose of J_ij, and equal K",
             "correct or average them, or give one direction only");
    }

    /// At most one coupling matches a bond, and nothing that does is near another.
    void check_distinct() const {
        for (auto a = table.couplings.begin(); a != table.couplings.end(); ++a) {
            for (auto b = a + 1; b != table.couplings.end(); ++b) {
                const double apart = b->length - a->length; // never more than the true distance
                if (std::tie(a->centre, a->neighbour) != std::tie(b->centre, b->neighbour) ||
                    apart > 2.0 * table.tolerance) {
                    break;
                }
                const double distance = a->vector && b->vector ? a->mismatch(*b->vector) : apart;
                if (distance <= 2.0 * table.tolerance) {
                    fail(table.describe(*a) + " and " + table.describe(*b) +
                             " would match the same bond",
                         number(distance) + " angstrom between them",
                         "more than twice the tolerance of " + number(table.tolerance) +
                             " angstrom",
                         "keep one of them or lower 'tolerance'");
                }
            }
        }
    }

    std::string who;
    double unit = 1.0; // eV
    CouplingTable table;
};

} // namespace

double Coupling::mismatch(const Vec3 &r) const {
    return vector ? length_of(difference(r, *vector)) : std::abs(length_of(r) - length);
}

int CouplingTable::find_species(const std::string &name) const {
    const auto found = std::find_if(species.begin(), species.end(),
                                    [&](const CoupledSpecies &s) { return s.name == name; });
    return found == species.end() ? -1 : static_cast<int>(found - species.begin());
}

double CouplingTable::cutoff(int centre, int neighbour) const {
    double longest = 0.0;
    for (const auto &coupling : couplings) {
        if (coupling.centre == centre && coupling.neighbour == neighbour) {
            longest = std::max(longest, coupling.length + 2.0 * tolerance);
        }
    }
    return longest;
}

CouplingMatch CouplingTable::nearest(int centre, int neighbour, const Vec3 &r) const {
    CouplingMatch best;
    const double length = length_of(r);
    const auto start = std::lower_bound(
        couplings.begin(), couplings.end(), std::tuple(centre, neighbour, length),
        [](const Coupling &coupling, const auto &bond) { return order(coupling) < bond; });
    // From the bond's own length to both sides; a mismatch is never less than that of the lengths.
    const auto useful = [&](const Coupling &c) {
        return c.centre == centre && c.neighbour == neighbour &&
               (best.coupling < 0 || std::abs(c.length - length) < best.mismatch);
    };
    const auto consider = [&](const Coupling &c) {
        const double mismatch = c.mismatch(r);
        if (best.coupling < 0 || mismatch < best.mismatch) {
            best = {static_cast<int>(&c - couplings.data()), mismatch};
        }
    };
    for (auto c = start; c != couplings.end() && useful(*c); ++c) {
        consider(*c);
    }
    for (auto c = start; c != couplings.begin() && useful(*std::prev(c)); --c) {
        consider(*std::prev(c));
    }
    return best;
}

std::string CouplingTable::describe(const Coupling &coupling) const {
    std::string bond = ", distance " + number(coupling.length);
    if (coupling.vector) {
        const Vec3 &v = *coupling.vector;
        bond = ", vector " + number(v[0]) + " " + number(v[1]) + " " + number(v[2]);
    }
    return "coupling " + std::to_string(coupling.entry) + " (" + species[coupling.centre].name +
           "-" + species[coupling.neighbour].name + bond + ")";
}

CouplingTable parse_coupling_table(const std::string &text, const std::string &who) {
    return TableReader(who).read(text);
}

} // namespace spinff
