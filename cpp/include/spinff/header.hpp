// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace spinff {

/// Newest `format_version` of the header that this code reads.
inline constexpr int deployed_format_version = 1;

/// The JSON header `spinff.json` of a deployed model, checked field by field.
struct ModelHeader {
    int format_version = 0;
    std::string backend; ///< "torchscript"
    std::string spinff_version;
    std::string torch_version;
    std::string nequip_version;
    std::string allegro_version;
    std::string e3nn_version;
    std::string model_class;        ///< "MSENN"
    std::vector<std::string> terms; ///< "lattice", "exchange", "biquadratic"
    bool spin_orbit_coupling = false;
    std::string moment_mode; ///< "fixed": |m| is a constant of the species
    std::vector<std::string> type_names;
    std::vector<bool> magnetic;               ///< of each type
    std::vector<double> moments;              ///< µB, of each type, 0 where not magnetic
    double r_max = 0.0;                       ///< Å
    std::vector<std::vector<double>> cutoffs; ///< Å, [centre type][neighbour type]
    std::string dtype;                        ///< of the network: "float32" or "float64"
    std::vector<double> magnetic_force_scale; ///< of the labels, each type, 0 where not magnetic
    std::string training_data_sha256;
    std::string git_revision;
    std::string created; ///< ISO 8601

    std::size_t num_types() const { return type_names.size(); }
};

/// Reads and checks a header. `who` begins every message (a file's name, as a rule).
/// Throws Error with one sentence about the first field that is wrong.
ModelHeader parse_header(const std::string &json, const std::string &who);

} // namespace spinff
