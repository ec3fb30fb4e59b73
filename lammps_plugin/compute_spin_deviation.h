// SPDX-License-Identifier: GPL-2.0-only

#ifdef COMPUTE_CLASS
// clang-format off
ComputeStyle(spin/deviation,ComputeSpinDeviation);
// clang-format on
#else

#ifndef LMP_COMPUTE_SPIN_DEVIATION_H
#define LMP_COMPUTE_SPIN_DEVIATION_H

#include "compute.h"

#include <cstddef>
#include <vector>

namespace LAMMPS_NS {

class PairSpinAllegro;

/// How far the models of pair_style spin/allegro are apart at the present atoms and spins, as
/// active learning asks: for each atom, with the mean over the models,
///
///     σ_F = √⟨|F − ⟨F⟩|²⟩ (eV/Å),      σ_T = √⟨|T − ⟨T⟩|²⟩ (eV),      T = −∂E/∂e ⟂ e
///
/// (the first as in DP-GEN, Zhang et al., Phys. Rev. Materials 3, 023804, Eq. 3), and over the
/// atoms of the group the largest and the mean of both.
class ComputeSpinDeviation : public Compute {
  public:
    ComputeSpinDeviation(class LAMMPS *lmp, int narg, char **arg);
    ~ComputeSpinDeviation() override;

    void init() override;
    void compute_vector() override;
    void compute_peratom() override;
    double memory_usage() override;

    int pack_forward_comm(int n, int *list, double *buf, int pbc_flag, int *pbc) override;
    void unpack_forward_comm(int n, int first, double *buf) override;
    int pack_reverse_comm(int n, int first, double *buf) override;
    void unpack_reverse_comm(int n, int *list, double *buf) override;

  private:
    PairSpinAllegro *pair = nullptr;
    int nmax = 0;
    double **forces = nullptr, **fields = nullptr; // of one model, own atoms and ghosts
    std::vector<double> values;                    // (model, own atom, 6) F and T

    void grow();
    void evaluate(std::size_t model);
    double deviation(int i, int first) const;
};

} // namespace LAMMPS_NS

#endif
#endif
