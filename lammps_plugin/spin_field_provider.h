// SPDX-License-Identifier: GPL-2.0-only
//
// How a pair style that knows a cheap spin field and an integrator of spins meet. They find each
// other by dynamic_cast on force->pair (and on the sub-styles of a hybrid), never by name.
#ifndef SPINFF_SPIN_FIELD_PROVIDER_H
#define SPINFF_SPIN_FIELD_PROVIDER_H

namespace spinff {

/// Gives the spin gradient at fixed positions for many spin configurations, at little cost where
/// the potential allows it.
class SpinFieldProvider {
  public:
    /// Positions, ghosts and the neighbour list of this step are final: do, once, what depends on
    /// them alone, such as the forward pass of a network that gives couplings. All ranks call it.
    /// The next compute() of the pair style uses it.
    virtual void update_couplings() = 0;

    /// Adds −(1/ħ) ∂E/∂e (rad·THz) at those positions, whatever atom->x has become since, and the
    /// present atom->sp, which must be current on owned and ghost atoms, to atom->fm of owned and
    /// ghost atoms. No communication.
    virtual void add_spin_field() = 0;

    /// Whether add_spin_field() leaves something on ghosts, for their owners to add.
    virtual bool adds_to_ghosts() const = 0;

    /// Whether add_spin_field() calls no network: one field more does not matter then.
    virtual bool has_cheap_field() const = 0;

    /// Whether the energy depends on the whole moment m = sp[3] e of atoms of this type, and their
    /// field is −(|m|/ħ) ∂E/∂m: its part along m is the derivative with respect to the length.
    virtual bool has_length_gradient(int type) const = 0;

  protected:
    ~SpinFieldProvider() = default; // never owned through this interface
};

} // namespace spinff

#endif
