// SPDX-License-Identifier: GPL-2.0-only

#include "fix_spin_sib_zeeman.h"

#include "fix_spin_sib.h"

#include "error.h"
#include "modify.h"

using namespace LAMMPS_NS;

FixSpinSIBZeeman::FixSpinSIBZeeman(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg) {
    owner = narg == 4 ? dynamic_cast<FixSpinSIB *>(modify->get_fix_by_id(arg[3])) : nullptr;
    if (!owner) {
        error->all(FLERR,
                   "fix {}: for internal use, got a fix command, expected none; use the "
                   "zeeman keyword of fix spin/sib",
                   style_name);
    }
    scalar_flag = 1;
    global_freq = 1;
    extscalar = 1;
    energy_global_flag = 1;
    thermo_energy = 1;
}

double FixSpinSIBZeeman::compute_scalar() {
    return owner->thermo_energy ? owner->total_zeeman_energy() : 0.0;
}
