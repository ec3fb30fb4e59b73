// SPDX-License-Identifier: GPL-2.0-only
//
// How a pair style that knows a cheap spin field and an integrator of spins meet. They find each
// other by dynamic_cast on force->pair (and on the sub-styles of a hybrid), never by name.
#ifndef SPINFF_SPIN_FIELD_PROVIDER_H
#define SPINFF_SPIN_FIELD_PROVIDER_H

namespace spinff {

/// Gives the spin gradient at fixed positions for many spin configurations at little cost.
class SpinFieldProvider {
  public:
    /// Positions, ghosts and the neighbour list of this step are final: run the network's forward
    /// pass and keep its couplings. All ranks call it. The next compute() of the pair style uses
    /// this pass, so that a step costs one.
    virtual void update_couplings() = 0;

    /// Adds −(1/ħ) ∂E/∂e (rad·THz) of the kept couplings at the present atom->sp, which must be
    /// current on owned and ghost atoms, to atom->fm of owned and ghost atoms. No communication.
    virtual void add_spin_field() = 0;

  protected:
    ~SpinFieldProvider() = default; // never owned through this interface
};

} // namespace spinff

#endif
