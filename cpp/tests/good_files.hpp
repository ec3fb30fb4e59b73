// SPDX-License-Identifier: MIT
#pragma once

#include <string>

/// Files without a fault, for the tests to spoil.

inline const std::string good_header = R"({
  "format": "spinff-deployed-model", "format_version": 2, "backend": "torchscript",
  "spinff_version": "0.1.0", "torch_version": "2.13.0", "nequip_version": "0.19.1",
  "allegro_version": "0.8.3", "e3nn_version": "0.6.0", "model_class": "SpinAllegro", "strictly_local": true,
  "terms": ["lattice", "exchange", "biquadratic"], "spin_orbit_coupling": true,
  "moment_mode": "fixed", "type_names": ["O", "Ni"], "magnetic_types": ["Ni"],
  "moments": {"Ni": 1.278}, "r_max": 5.0, "cutoffs": [[3.2, 4.0], [4.5, 5.0]],
  "dtype": "float32",
  "units": {"energy": "eV", "length": "angstrom", "moment": "bohr_magneton"},
  "magnetic_force_scale": {"Ni": 0.824}, "training_data_sha256": "5f", "git_revision": "0",
  "created": "2026-11-22T08:00:00+00:00", "unknown": [1, 2]
})";

inline const std::string good_table = R"({
  "format": "spinff-couplings", "format_version": 1, "comment": "made up",
  "convention": "half sum over i != j, J > 0 antiferromagnetic",
  "units": {"energy": "meV", "length": "angstrom", "moment": "bohr_magneton"},
  "tolerance": 0.1,
  "species": {
    "I": {"moment": 0}, "Cr": {"moment": 3, "A": [[0, 0, 0], [0, 0, 0.5], [0, 0.5, -2]]},
    "Mn": {"moment": 4.5}},
  "couplings": [
    {"species": ["Cr", "Cr"], "vector": [3, 0, 0], "J": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]},
    {"species": ["Cr", "Cr"], "vector": [0, 3, 0], "J": -5, "K": 0.25},
    {"species": ["Cr", "Mn"], "distance": 4.0, "J": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]},
    {"species": ["Mn", "Mn"], "distance": 4.2, "K": 2}]
})";
