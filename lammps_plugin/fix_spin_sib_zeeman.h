// SPDX-License-Identifier: GPL-2.0-only

#ifdef FIX_CLASS
// clang-format off
FixStyle(SPIN/SIB/ZEEMAN,FixSpinSIBZeeman);
// clang-format on
#else

#ifndef LMP_FIX_SPIN_SIB_ZEEMAN_H
#define LMP_FIX_SPIN_SIB_ZEEMAN_H

#include "fix.h"

namespace LAMMPS_NS {

class FixSpinSIB;

/// Adds the energy of the zeeman keyword of a fix spin/sib, which makes and deletes this fix, to
/// the potential energy if `fix_modify energy` of that one says so. In capitals, like all internal
/// styles of LAMMPS.
class FixSpinSIBZeeman : public Fix {
  public:
    static constexpr const char *style_name = "SPIN/SIB/ZEEMAN";

    FixSpinSIBZeeman(class LAMMPS *lmp, int narg, char **arg);

    int setmask() override { return 0; }
    double compute_scalar() override;

  private:
    FixSpinSIB *owner;
};

} // namespace LAMMPS_NS

#endif
#endif
