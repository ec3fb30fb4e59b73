"""fix spin/sib substeps: several spin steps on the couplings of one network pass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lammps_models import save_model, save_three_spins
from spinff import _core
from test_spin_bath import DAMPED, NICKEL_OXIDE, final_state, spins

pytestmark = pytest.mark.lammps


def test_on_a_frozen_lattice_they_are_a_shorter_time_step(tmp_path: Path) -> None:
    """The same steps one after the other; noise is keyed by time step, hence none."""
    states = []
    for substeps, dt, steps in ((4, 0.004, 25), (1, 0.001, 100)):
        fixes = f"fix s all spin/sib {DAMPED} zeeman 10 1 1 0 substeps {substeps}"
        run = spins(tmp_path, fixes, dt=dt, steps=steps)
        states.append(final_state(run))
        del states[-1]["step"]
        heat = run.thermo[0]["f_s"][-1]
    for name, values in states[0].items():
        np.testing.assert_allclose(values, states[1][name], rtol=0, atol=1e-11)
    assert abs(heat) > 0.1  # the spins have turned


def test_each_substep_has_its_own_noise(tmp_path: Path) -> None:
    """Free spins take the temperature of the bath: ⟨cos⟩ of Langevin's function.

    With one number for the four of a half step they would be four times as hot.
    """
    fixes = (
        "fix s all spin/sib alpha 0.5 temp 20 20 seed 5 zeeman 20 0 0 1 substeps 4\n"
        "compute m all spin\nfix mean all ave/time 1 900 1000 c_m[3]"
    )
    run = spins(tmp_path, fixes, pair="", size=10, dt=0.04, steps=1000, thermo="f_mean")
    x = 2.0 * _core.mu_B * 20 / (_core.k_B * 20)  # m B / k T
    mean = run.thermo[0]["f_mean"][-1]
    assert mean == pytest.approx(1 / np.tanh(x) - 1 / x, rel=0.03)


@pytest.mark.parametrize("substeps", [1, 5])
def test_energy_and_heat_add_up(substeps: int, tmp_path: Path) -> None:
    """Spins ten times too fast for the time step: substeps save the conservation."""
    fixes = f"fix s all spin/sib {DAMPED} zeeman 10 1 1 0 substeps {substeps}\n"
    fixes += "fix_modify s energy yes"
    run = spins(tmp_path, fixes, dt=0.02, steps=50, every=1)
    energy, heat = run.thermo[0]["Econserve"], run.thermo[0]["f_s"]
    error = np.abs(energy - energy[0]).max() / np.abs(heat).max()
    assert (error < 2e-3) == (substeps == 5)


@pytest.mark.parametrize(
    ("save", "passes"),
    [
        (save_model, "8 forward, 8 backward"),
        # two fields for each of the six substeps of a step, but for the first of all,
        # which finds that of the forces
        (save_three_spins, "8 forward, 8 backward, 85 of the spins' network"),
    ],
)
def test_they_call_no_network_over_geometry(
    save: Callable[[Path], None], passes: str, tmp_path: Path
) -> None:
    save(tmp_path / "model.pth")
    fixes = "fix n all nve\nfix s all spin/sib alpha 0.1 substeps 3"
    run = spins(tmp_path, fixes, pair=NICKEL_OXIDE, dt=0.0005, steps=7)
    assert f"network passes in 7 steps and their setup: {passes}\n" in run.log


@pytest.mark.parametrize(
    ("fixes", "sentence"),
    [
        ("fix s all spin/sib substeps 0", "bad substeps, got '0', expected an integer"),
        ("fix s all spin/sib substeps 2.5", "bad substeps, got '2.5'"),
        (
            "group one id 1\ngroup rest subtract all one\n"
            "fix s one spin/sib substeps 2\nfix t rest spin/sib",
            "fix s has substeps 2 and fix t has 1, expected the same number",
        ),
    ],
)
def test_bad_substeps(fixes: str, sentence: str, tmp_path: Path) -> None:
    run = spins(tmp_path, fixes, steps=1, check=False)
    assert run.returncode != 0
    assert sentence in " ".join(run.log.split())
