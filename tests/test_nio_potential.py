"""The shipped NiO potential: its errors on data it has not seen, and its exchange."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hydra.utils import instantiate
from omegaconf import OmegaConf

from spinff.evaluation import evaluate
from spinff.export import RunnableModel, load_model
from spinff.testing import model_couplings

REPOSITORY = Path(__file__).parents[1]
POTENTIAL = REPOSITORY / "potentials" / "NiO" / "NiO.pth"
VARIABLES = ("type_names", "magnetic_types", "r_max", "cutoffs", "data_folder")


@pytest.fixture(scope="module")
def model() -> RunnableModel:
    return load_model(POTENTIAL)


@pytest.mark.data
def test_errors_on_frames_it_has_not_seen(
    model: RunnableModel, spinff_data: Path
) -> None:
    errors = evaluate(
        model, [spinff_data / "nio_deltaspin" / "data_2"], progress=False
    ).errors()
    assert errors.n_frames == 31
    assert errors.energy_mae_mev_per_atom is not None
    assert errors.energy_mae_mev_per_atom < 0.015
    assert errors.forces_mae_mev_per_a is not None
    assert errors.forces_mae_mev_per_a < 0.8
    assert errors.magnetic_forces_transverse_mae_mev_per_mub is not None
    assert errors.magnetic_forces_transverse_mae_mev_per_mub < 0.15
    assert 0.78 < errors.magnetic_force_scale["Ni"] < 0.87


def crystal() -> Atoms:
    """Rock salt, 4 × 4 × 4 primitive cells: larger than twice the cutoff of 5 Å."""
    atoms = bulk("NiO", "rocksalt", a=4.17) * (4, 4, 4)
    moments = np.zeros((len(atoms), 3))
    moments[atoms.numbers == 28] = [0, 0, 1.27]
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def test_the_dominant_exchange_is_antiferromagnetic_superexchange(
    model: RunnableModel,
) -> None:
    atoms = crystal()
    by_shell: dict[float, list[float]] = {}
    for (i, j, *shift), tensor in model_couplings(model, atoms).exchange.items():
        vector = atoms.positions[j] - atoms.positions[i] + shift @ atoms.cell.array
        r = round(float(np.linalg.norm(vector)), 2)
        by_shell.setdefault(r, []).append(np.trace(tensor) / 3)
    mean = {r: float(np.mean(values)) for r, values in by_shell.items()}
    dominant = max(mean, key=lambda r: abs(mean[r]))
    assert dominant == pytest.approx(4.19, abs=0.05)
    assert mean[dominant] > 0  # antiferromagnetic, in the sign of the conventions
    others = [abs(value) for r, value in mean.items() if r != dominant]
    assert mean[dominant] > 5 * max(others)


def test_exchange_is_nearly_isotropic(model: RunnableModel) -> None:
    """The data are without spin–orbit coupling: D and Γ are what noise leaves."""
    tensors = np.array(list(model_couplings(model, crystal()).exchange.values()))
    isotropic = np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    assert np.abs(tensors - isotropic).max() < 0.02 * np.abs(tensors).max()


@pytest.mark.data
def test_the_header_names_the_frames_it_was_trained_on(
    model: RunnableModel, spinff_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINFF_DATA", str(spinff_data))
    config = OmegaConf.load(REPOSITORY / "examples" / "nio" / "train.yaml")
    data = OmegaConf.to_container(config, resolve=False)["data"]
    del data["stats_manager"]  # reads nothing for the hash
    config = OmegaConf.merge({k: config[k] for k in VARIABLES}, {"data": data})
    data = OmegaConf.to_container(config, resolve=True)["data"]
    module = instantiate(data, _recursive_=False)
    assert module.training_data_sha256() == model.header.training_data_sha256
