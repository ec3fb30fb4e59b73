"""fix spin/sib without noise is second order in the time step: slopes of global errors.

The error is that at the end of a run of fixed time, against a run with steps eight
times shorter than the shortest here: its own error adds 0.01 to a slope of 2.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lammps_models import save_model, save_three_spins
from lammps_tools import columns
from test_spin_bath import DAMPED, MAGNET, NICKEL_OXIDE, spins

pytestmark = pytest.mark.lammps
log = logging.getLogger(__name__)  # measured figures: pytest --log-cli-level=info

Array = NDArray[np.float64]

QUANTITIES = {
    "spins": ("c_s[1]", "c_s[2]", "c_s[3]"),
    "positions": ("x", "y", "z"),
    "velocities": ("vx", "vy", "vz"),
}


def slopes(
    end: Callable[[int], dict[str, Array]], steps: tuple[int, ...]
) -> dict[str, float]:
    """d log(error) / d log(time step) of each quantity that ``end`` (steps) gives.

    The error is the root mean square over atoms and components.
    """
    exact = end(8 * steps[-1])
    errors: dict[str, list[float]] = {name: [] for name in exact}
    for number in steps:
        for name, values in end(number).items():
            square = np.mean((values - exact[name]) ** 2)
            errors[name].append(float(np.sqrt(square)))
    log.info("errors with %s steps: %s", steps, errors)
    return {
        name: -float(np.polyfit(np.log(steps), np.log(error), 1)[0])
        for name, error in errors.items()
    }


@pytest.mark.parametrize("bath", ["", DAMPED])
def test_spins_on_a_frozen_lattice(bath: str, tmp_path: Path) -> None:
    """64 spins with exchange, easy axis and a field, 0.3 ps from random directions."""

    def end(steps: int) -> dict[str, Array]:
        fixes = f"fix s all spin/sib {bath} zeeman 10 1 1 0"
        run = spins(tmp_path, fixes, pair=MAGNET, dt=0.3 / steps, steps=steps)
        frame = run.dump()[-1]
        return {"spins": columns(frame, *QUANTITIES["spins"])}

    found = slopes(end, (75, 150, 300))
    log.info("%s: %s", bath or "no damping", found)
    assert found["spins"] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("save", [save_model, save_three_spins])
def test_spins_and_lattice(save: Callable[[Path], None], tmp_path: Path) -> None:
    """32 atoms of nickel oxide with fix nve; couplings, or a field of the network."""
    save(tmp_path / "model.pth")

    def end(steps: int) -> dict[str, Array]:
        fixes = f"velocity all create 300 3\nfix n all nve\nfix s all spin/sib {DAMPED}"
        run = spins(tmp_path, fixes, pair=NICKEL_OXIDE, dt=0.02 / steps, steps=steps)
        frame = run.dump()[-1]
        return {name: columns(frame, *QUANTITIES[name]) for name in QUANTITIES}

    found = slopes(end, (10, 20, 40))
    log.info("%s: %s", save.__name__, found)
    for name, slope in found.items():
        assert slope == pytest.approx(2, abs=0.1), name
