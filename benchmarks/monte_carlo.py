"""Speed of Monte Carlo and of the minimiser of spinff.spins, on one core."""

import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from rows import Options, Result, Row

from spin_thermodynamics import ENERGY, shell, table
from spinff import units
from spinff.spins import SpinSystem

DISTANCE = 3.0
"""Å."""


def crystal(full: bool) -> SpinSystem:
    """Simple cubic, 20³ spins, six neighbours; J a number or a full tensor with A."""
    atoms = Atoms("X", cell=[DISTANCE] * 3, pbc=True) * (20, 20, 20)
    content = table(couplings=[shell(DISTANCE, -ENERGY)])
    if full:
        tensor = -ENERGY * np.diag([1.0, 1.0, 1.1])
        content = table(
            couplings=[shell(DISTANCE, tensor.tolist())],
            A=np.diag([0.0, 0.0, -0.1 * ENERGY]).tolist(),
        )
    return SpinSystem.from_table(content, atoms)


def seconds(action: Callable[[], object]) -> float:
    """Processor time that an action takes: other work on the machine does not count."""
    start = time.process_time()
    action()
    return time.process_time() - start


def sweeps_per_second(options: Options) -> Result:
    """Sweeps of 8000 spins at kT = J, each move; the value is that of the heat bath."""
    sweeps = max(10, round(options.length * 200))
    cases = []
    for full in (False, True):
        for move in ("heat_bath", "cone", "random"):
            system = crystal(full)

            def run(system: SpinSystem = system, move: str = move) -> object:
                return system.metropolis(ENERGY / units.K_B, sweeps, seed=1, move=move)

            rate = sweeps / seconds(run)
            name = f"{move}, {'tensors and A' if full else 'isotropic J'}"
            cases.append(
                {"case": name, "sweeps_per_s": rate, "spins_per_s": 8000 * rate}
            )
            print(
                f"  {name}: {rate:.0f} sweeps/s, {8000 * rate:.3g} spins/s", flush=True
            )
    what = "Monte Carlo, 20^3 spins simple cubic: sweeps/s of the heat bath"
    return Result(what, float(cases[0]["sweeps_per_s"]), None, 1, cases)


ROWS: dict[str, Row] = {"monte_carlo": sweeps_per_second}
