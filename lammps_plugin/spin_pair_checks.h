// SPDX-License-Identifier: GPL-2.0-only
//
// What the styles of this plugin ask of a LAMMPS input, each check with its own sentence.
// `who` begins it.
#ifndef SPINFF_SPIN_PAIR_CHECKS_H
#define SPINFF_SPIN_PAIR_CHECKS_H

#include <string>
#include <vector>

namespace LAMMPS_NS {
class LAMMPS;
}

namespace spinff {

/// The file that knows the types, in the words of a message.
struct TypeSource {
    std::string noun;   ///< "the model"
    std::string remedy; ///< for a name it lacks: "train a model with it"
    std::vector<std::string> names;
};

/// Ends the run of all ranks with what is wrong on this one.
[[noreturn]] void stop_rank(LAMMPS_NS::LAMMPS *lmp, const std::string &message);

/// Stops unless atoms have spins and IDs and the units are metal.
void check_input(LAMMPS_NS::LAMMPS *lmp, const std::string &who);

/// The names of pair_coeff, one for each atom type: index in `source.names` of each LAMMPS type
/// (from 1), −1 for NULL.
std::vector<int> map_type_names(LAMMPS_NS::LAMMPS *lmp, const std::string &who,
                                const TypeSource &source, int count, char **names);

/// Marks the pairs of types that a pair style computes. In a hybrid the unseen types are left to
/// other styles; alone, every pair counts as set.
void set_pair_flags(LAMMPS_NS::LAMMPS *lmp, const std::vector<int> &mapped, int **setflag);

/// Whether sp[0..2] is a unit vector.
bool has_direction(const double *sp);

/// Warns where atoms have moments (sp[3]) of another length than that of their type. `mapped` as
/// map_type_names() gives it; `moments` (µB) of each of `names`, 0: any. All ranks call it.
/// `expected_by` and `advice` end the two halves of the sentence.
void warn_about_moments(LAMMPS_NS::LAMMPS *lmp, const std::string &who,
                        const std::vector<int> &mapped, const std::vector<std::string> &names,
                        const std::vector<double> &moments, const std::string &expected_by,
                        const std::string &advice);

} // namespace spinff

#endif
