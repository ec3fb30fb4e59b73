// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace spinff {

/// The `format_version` of the header that this code reads.
inline constexpr int deployed_format_version = 2;

/// Every term of the energy that a model can have, in the order in which models list theirs.
inline constexpr std::array<const char *, 7> known_terms = {
    "lattice", "exchange", "anisotropy", "biquadratic", "ring", "longitudinal", "tenn"};

/// The JSON header `spinff.json` of a deployed model, checked field by field.
struct ModelHeader {
    int format_version = 0;
    std::string backend; ///< "torchscript" or "aotinductor"
    std::string spinff_version;
    std::string torch_version;
    std::string nequip_version;
    std::string allegro_version;
    std::string e3nn_version;
    std::string model_class;        ///< "SpinAllegro", "SpinNequIP" or "MagNet"
    bool strictly_local = false;    ///< an atom's energy depends on its neighbours alone
    std::vector<std::string> terms; ///< words of `known_terms`, "lattice" first
    bool spin_orbit_coupling = false;
    /// "fixed": |m| is a constant of the species; "input": given with the direction; "predicted":
    /// an output of the model.
    std::string moment_mode;
    std::vector<std::string> type_names;
    std::vector<bool> magnetic;  ///< of each type
    std::vector<double> moments; ///< µB, of each type (not "fixed": a scale), 0 where not magnetic
    double r_max = 0.0;          ///< Å
    std::vector<std::vector<double>> cutoffs; ///< Å, [centre type][neighbour type]
    std::string dtype;                        ///< of the network: "float32" or "float64"
    std::vector<double> magnetic_force_scale; ///< of the labels, each type, 0 where not magnetic
    std::string training_data_sha256;
    std::string git_revision;
    std::string created; ///< ISO 8601

    std::size_t num_types() const { return type_names.size(); }
};

/// Whether the deployed file has the method `couplings`: the spins enter through tensors that
/// depend on the positions alone, so that one pass of the network serves any number of them.
bool has_couplings(const ModelHeader &header);

/// Reads and checks a header. `who` begins every message (a file's name, as a rule).
/// Throws Error with one sentence about the first field that is wrong.
ModelHeader parse_header(const std::string &json, const std::string &who);

} // namespace spinff
