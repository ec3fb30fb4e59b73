"""A frozen lattice in Spirit 2.2: energy of given spins and time of SIB steps.

    python spirit_sib.py SPINS.npy COUPLING MOMENT DAMPING TEMPERATURE TIMESTEP STEPS

Simple cubic, periodic, nearest neighbours; SPINS (n, n, n, 3), COUPLING in meV
(positive: ferromagnetic), MOMENT in Bohr magnetons, K, ps. Prints one line of JSON.
Runs in an environment with spirit and without spinff, for frozen_lattice.py.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from spirit import simulation, state, system

CONFIGURATION = """\
log_to_file 0
log_to_console 0
llg_output_any 0
bravais_lattice sc
n_basis_cells {n} {n} {n}
boundary_conditions 1 1 1
hamiltonian heisenberg_neighbours
mu_s {moment}
external_field_magnitude 0
anisotropy_magnitude 0
n_shells_exchange 1
jij {coupling}
n_shells_dmi 0
ddi_method none
llg_damping {damping}
llg_temperature {temperature}
llg_dt {dt}
llg_force_convergence 1e-30
llg_n_iterations 1000000000
llg_n_iterations_log 1000000000
"""


def main() -> None:
    """Reads the command line, prints the result."""
    file, coupling, moment, damping, temperature, dt, steps = sys.argv[1:]
    spins = np.load(file)
    configuration = Path(file).with_suffix(".cfg")
    configuration.write_text(
        CONFIGURATION.format(
            n=len(spins),
            coupling=coupling,
            moment=moment,
            damping=damping,
            temperature=temperature,
            dt=dt,
        )
    )
    with state.State(str(configuration), quiet=True) as spirit:
        # x runs fastest in Spirit, z in the file
        system.get_spin_directions(spirit)[:] = spins.transpose(2, 1, 0, 3).reshape(
            -1, 3
        )
        system.update_data(spirit)
        energy = system.get_energy(spirit)
        simulation.start(
            spirit, simulation.METHOD_LLG, simulation.SOLVER_SIB, single_shot=True
        )
        simulation.n_shot(spirit, max(1, int(steps) // 10))
        start = time.process_time()
        simulation.n_shot(spirit, int(steps))
        seconds = time.process_time() - start
        simulation.stop(spirit)
    print(json.dumps({"energy_meV": energy, "seconds": seconds}))


if __name__ == "__main__":
    main()
