// SPDX-License-Identifier: MIT
#include "spinff/header.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "json.hpp"
#include "spinff/error.hpp"

namespace spinff {

namespace {

/// Å. No network sees further; and LAMMPS would fill the memory with ghost atoms.
constexpr double longest_cutoff = 100.0;

/// Reads one header field by field; every failure names the file, the field and the value.
class HeaderReader {
  public:
    HeaderReader(json object, std::string who) : object(std::move(object)), who(std::move(who)) {}

    [[noreturn]] void fail(const std::string &field, const std::string &got,
                           const std::string &expected) const {
        throw Error(who + ": header field '" + field + "' is wrong, got " + got + ", expected " +
                    expected + "; deploy the model again with spinff deploy");
    }

    const json &field(const std::string &name) const {
        const auto found = object.find(name);
        if (found == object.end()) {
            throw Error(who + ": header field '" + name +
                        "' is missing, got none, expected one in every deployed model; deploy "
                        "the model again with spinff deploy");
        }
        return *found;
    }

    std::string text(const std::string &name) const {
        const json &value = field(name);
        if (!is_plain_text(value)) {
            fail(name, shown(value), "a non-empty string without control characters");
        }
        return value.get<std::string>();
    }

    bool boolean(const std::string &name) const {
        const json &value = field(name);
        if (!value.is_boolean()) {
            fail(name, shown(value), "true or false");
        }
        return value.get<bool>();
    }

    std::string one_of(const std::string &name, const std::vector<std::string> &known) const {
        const std::string value = text(name);
        if (std::find(known.begin(), known.end(), value) == known.end()) {
            fail(name, shown_text(value), "one of: " + shown_list(known));
        }
        return value;
    }

    double positive(const std::string &name, const json &value) const {
        if (!value.is_number() || !std::isfinite(value.get<double>()) ||
            value.get<double>() <= 0.0) {
            fail(name, shown(value), "a positive number");
        }
        return value.get<double>();
    }

    std::vector<std::string> unique_names(const std::string &name) const {
        const json &value = field(name);
        const bool strings =
            value.is_array() && std::all_of(value.begin(), value.end(), is_plain_text);
        if (!strings) {
            fail(name, shown(value), "a list of non-empty strings without control characters");
        }
        auto names = value.get<std::vector<std::string>>();
        if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
            fail(name, shown(value), "every name once");
        }
        return names;
    }

    /// One positive number for exactly the magnetic types; 0 for the others.
    std::vector<double> of_magnetic_types(const std::string &name,
                                          const ModelHeader &header) const {
        const json &value = field(name);
        std::vector<std::string> magnetic;
        std::vector<double> numbers(header.num_types(), 0.0);
        if (!value.is_object()) {
            fail(name, shown(value), "an object with a number for each magnetic type");
        }
        for (std::size_t type = 0; type < header.num_types(); ++type) {
            if (!header.magnetic[type]) {
                continue;
            }
            magnetic.push_back(header.type_names[type]);
            const auto found = value.find(magnetic.back());
            if (found == value.end()) {
                fail(name, shown(value),
                     "a number for magnetic type " + shown_text(magnetic.back()));
            }
            numbers[type] = positive(name, *found);
        }
        if (value.size() != magnetic.size()) {
            fail(name, shown(value),
                 "a number for exactly the magnetic types: " + shown_list(magnetic));
        }
        return numbers;
    }

    int format_version() const {
        const json &value = field("format_version");
        const std::string known = std::to_string(deployed_format_version);
        if (!value.is_number_integer() || value < 1) {
            fail("format_version", shown(value), "the integer " + known);
        }
        if (value != deployed_format_version) {
            const bool newer = value > deployed_format_version;
            const auto writer = object.find("spinff_version");
            throw Error(who + ": the file has " + (newer ? "a newer" : "an older") +
                        " format, got format version " + shown(value) + " (written by spinff " +
                        (writer == object.end() ? "of unknown version" : shown(*writer)) +
                        "), expected " + known + "; " +
                        (newer ? "update spinff" : "deploy the checkpoint again with this spinff"));
        }
        return value.get<int>();
    }

    /// "lattice", then other words of `known_terms`.
    std::vector<std::string> terms() const {
        const std::vector<std::string> known(known_terms.begin(), known_terms.end());
        const auto names = unique_names("terms");
        if (names.empty() || names.front() != known.front()) {
            fail("terms", shown(field("terms")), "a list that begins with " + known.front());
        }
        for (const auto &name : names) {
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                fail("terms", shown_text(name), "one of: " + shown_list(known));
            }
        }
        return names;
    }

    void read_types(ModelHeader &header) const {
        header.type_names = unique_names("type_names");
        if (header.type_names.empty()) {
            fail("type_names", "an empty list", "at least one name");
        }
        header.magnetic.assign(header.num_types(), false);
        for (const auto &name : unique_names("magnetic_types")) {
            const auto found = std::find(header.type_names.begin(), header.type_names.end(), name);
            if (found == header.type_names.end()) {
                fail("magnetic_types", shown_text(name),
                     "one of: " + shown_list(header.type_names));
            }
            header.magnetic[found - header.type_names.begin()] = true;
        }
        header.moments = of_magnetic_types("moments", header);
        header.magnetic_force_scale = of_magnetic_types("magnetic_force_scale", header);
    }

    void read_cutoffs(ModelHeader &header) const {
        header.r_max = positive("r_max", field("r_max"));
        if (header.r_max > longest_cutoff) {
            fail("r_max", shown(field("r_max")), "at most " + shown(longest_cutoff) + " angstrom");
        }
        const json &rows = field("cutoffs");
        const std::size_t n = header.num_types();
        const std::string shape = std::to_string(n) + " rows of " + std::to_string(n) +
                                  " numbers, one for each pair of types";
        if (!rows.is_array() || rows.size() != n) {
            fail("cutoffs", shown(rows), shape);
        }
        for (const json &row : rows) {
            if (!row.is_array() || row.size() != n) {
                fail("cutoffs", shown(rows), shape);
            }
            auto &cutoffs = header.cutoffs.emplace_back();
            for (const json &value : row) {
                cutoffs.push_back(positive("cutoffs", value));
                if (cutoffs.back() > header.r_max) {
                    fail("cutoffs", shown(value), "at most r_max = " + shown(field("r_max")));
                }
            }
        }
    }

    void check_units() const {
        static const json expected = {
            {"energy", "eV"}, {"length", "angstrom"}, {"moment", "bohr_magneton"}};
        if (field("units") != expected) {
            fail("units", shown(field("units")), shown(expected));
        }
    }

  private:
    json object;
    std::string who;
};

} // namespace

ModelHeader parse_header(const std::string &text, const std::string &who) {
    std::string why = "another value";
    const json object = parse_json(text, why);
    if (!object.is_object()) {
        throw Error(who + ": the header is not a JSON object, got " + why +
                    ", expected one JSON object; deploy the model again with spinff deploy");
    }
    const HeaderReader reader(object, who);
    ModelHeader header;
    reader.one_of("format", {"spinff-deployed-model"});
    header.format_version = reader.format_version();
    header.backend = reader.one_of("backend", {"torchscript", "aotinductor"});
    header.spinff_version = reader.text("spinff_version");
    header.torch_version = reader.text("torch_version");
    header.nequip_version = reader.text("nequip_version");
    header.allegro_version = reader.text("allegro_version");
    header.e3nn_version = reader.text("e3nn_version");
    header.model_class = reader.one_of("model_class", {"SpinAllegro", "SpinNequIP", "MagNet"});
    header.strictly_local = reader.boolean("strictly_local");
    header.terms = reader.terms();
    header.spin_orbit_coupling = reader.boolean("spin_orbit_coupling");
    header.moment_mode = reader.one_of("moment_mode", {"fixed", "input", "predicted"});
    reader.read_types(header);
    reader.read_cutoffs(header);
    header.dtype = reader.one_of("dtype", {"float32", "float64"});
    reader.check_units();
    header.training_data_sha256 = reader.text("training_data_sha256");
    header.git_revision = reader.text("git_revision");
    header.created = reader.text("created");
    return header;
}

bool has_couplings(const ModelHeader &header) {
    static const std::set<std::string> explicit_terms = {"lattice", "exchange", "anisotropy",
                                                         "biquadratic"};
    return header.strictly_local && header.moment_mode == "fixed" &&
           std::all_of(header.terms.begin(), header.terms.end(),
                       [](const std::string &term) { return explicit_terms.contains(term); });
}

} // namespace spinff
