// SPDX-License-Identifier: GPL-2.0-only
//
// What LAMMPS calls when it loads spinffplugin.so: registers the styles.
#include "compute_spin_deviation.h"
#include "fix_spin_sib.h"
#include "fix_spin_sib_zeeman.h"
#include "pair_spin_allegro.h"
#include "pair_spin_couplings.h"
#include "plugin_api.h"

#include "comm.h"
#include "error.h"
#include "lammps.h"

#include <cstring>

using namespace LAMMPS_NS;

namespace {

void *create_pair_spin_allegro(void *lmp) {
    return static_cast<Pair *>(new PairSpinAllegro(static_cast<LAMMPS *>(lmp)));
}

void *create_pair_spin_couplings(void *lmp) {
    return static_cast<Pair *>(new PairSpinCouplings(static_cast<LAMMPS *>(lmp)));
}

void *create_fix_spin_sib(void *lmp, int narg, char **arg) {
    return static_cast<Fix *>(new FixSpinSIB(static_cast<LAMMPS *>(lmp), narg, arg));
}

void *create_compute_spin_deviation(void *lmp, int narg, char **arg) {
    return static_cast<Compute *>(new ComputeSpinDeviation(static_cast<LAMMPS *>(lmp), narg, arg));
}

void *create_fix_spin_sib_zeeman(void *lmp, int narg, char **arg) {
    return static_cast<Fix *>(new FixSpinSIBZeeman(static_cast<LAMMPS *>(lmp), narg, arg));
}

/// Whether the layouts this plugin was compiled with are those of the running LAMMPS.
bool matches(LAMMPS *lmp) {
    if (std::strcmp(lmp->version, LAMMPS_VERSION) == 0) {
        return true;
    }
    if (lmp->comm->me == 0) {
        lmp->error->warning(FLERR,
                            "spinff plugin: made for another LAMMPS, got version {}, expected {}; "
                            "its styles are not available: build it with "
                            "-DLAMMPS_SOURCE_DIR=<source of this LAMMPS>",
                            lmp->version, LAMMPS_VERSION);
    }
    return false;
}

} // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                                         void *regfunc) {
    if (!matches(static_cast<LAMMPS *>(lmp))) {
        return;
    }
    const auto register_plugin = reinterpret_cast<lammpsplugin_regfunc>(regfunc);
    lammpsplugin_t plugin = {};
    plugin.version = LAMMPS_VERSION;
    plugin.author = "spinff developers";
    plugin.handle = handle;

    plugin.style = "pair";
    plugin.name = "spin/allegro";
    plugin.info = "spinff: deployed magnetic potentials";
    plugin.creator.v1 = &create_pair_spin_allegro;
    register_plugin(&plugin, lmp);

    plugin.name = "spin/couplings";
    plugin.info = "spinff: spin Hamiltonian from a table of couplings";
    plugin.creator.v1 = &create_pair_spin_couplings;
    register_plugin(&plugin, lmp);

    plugin.style = "fix";
    plugin.name = "spin/sib";
    plugin.info = "spinff: semi-implicit integration of spins";
    plugin.creator.v2 = &create_fix_spin_sib;
    register_plugin(&plugin, lmp);

    plugin.name = FixSpinSIBZeeman::style_name;
    plugin.info = "spinff: part of fix spin/sib, for internal use";
    plugin.creator.v2 = &create_fix_spin_sib_zeeman;
    register_plugin(&plugin, lmp);

    plugin.style = "compute";
    plugin.name = "spin/deviation";
    plugin.info = "spinff: how far several models are apart";
    plugin.creator.v2 = &create_compute_spin_deviation;
    register_plugin(&plugin, lmp);
}
