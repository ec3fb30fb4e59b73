"""MagNet: symmetry, derivatives, smooth at the cutoff and at m = 0, files, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.nn import GraphModel
from nequip.utils.global_state import global_state_initialized, set_global_state

from small_models import TYPES, graph_data, results, structure
from spinff import export, fields
from spinff.calculator import SpinCalculator
from spinff.errors import SpinffError
from spinff.export import RunnableModel, make_header, scriptable
from spinff.models import Checkpoint, MagNet
from spinff.nn.magnet import MomentGaussians
from spinff.testing import derivative_errors
from test_derivatives import relative, with_calculator
from test_symmetry import (
    OPERATIONS,
    TOLERANCE,
    equivariance_error,
    error,
    moments_mapped,
)

SIZE = {
    "num_atomic_blocks": 2,
    "num_magnetic_blocks": 2,
    "atomic_irreps": "6x0e + 3x1o",
    "magnetic_irreps": "6x0ee + 2x0eo + 3x1oe + 3x1eo + 2x1ee + 2x1oo",
    "num_gaussians": 5,
    "num_moment_gaussians": 4,
    "radial_mlp_width": 8,
}


def checkpoint(**changes: object) -> Checkpoint:
    """A small model with random weights, as if loaded from a file."""
    if not global_state_initialized():
        set_global_state()
    config: dict[str, object] = {
        "seed": 3,
        "model_dtype": "float64",
        "type_names": TYPES,
        "magnetic_types": ["Ni"],
        "moments": {"Ni": 1.3},
        "r_max": 4.0,
        "avg_num_neighbors": 12.0,
        "per_type_energy_shifts": {"Ni": -2.0, "O": -1.0},
        "per_type_energy_scales": 0.5,
        "magnetic_energy_scale": 0.5,
        "magnetic_force_scale": [{"Ni": 0.8}],
    }
    config |= SIZE | changes
    model = MagNet(**config)  # type: ignore[arg-type]
    assert isinstance(model, GraphModel)
    return Checkpoint(
        model=model.eval(),
        config={"_target_": "spinff.models.MagNet", **config},
        training_data_sha256="none",
    )


def runnable(**changes: object) -> RunnableModel:
    trained = checkpoint(**changes)
    return RunnableModel(make_header(trained), scriptable(trained), torch.device("cpu"))


@pytest.fixture(scope="module")
def model() -> RunnableModel:
    return runnable()


def test_header(model: RunnableModel) -> None:
    header = model.header
    assert header.model_class == "MagNet"
    assert header.terms == ("lattice", "tenn")
    assert header.moment_mode == "input"
    assert not header.strictly_local


@pytest.mark.parametrize("name", OPERATIONS)
def test_symmetry(model: RunnableModel, name: str) -> None:
    assert equivariance_error(model, structure(), OPERATIONS[name]) < TOLERANCE


def test_time_reversal_is_exact_to_the_bit(model: RunnableModel) -> None:
    atoms = structure()
    flipped = moments_mapped(atoms, -np.eye(3))
    assert results(model, flipped)["energy"] == results(model, atoms)["energy"]


def test_the_magnetic_part_is_there(model: RunnableModel) -> None:
    """Without it the tests of symmetry would say nothing."""
    before = results(model, structure())
    turned = results(
        model, moments_mapped(structure(), OPERATIONS["rotation"].rotation)
    )
    assert abs(before["energy"] - turned["energy"]) > 1e-3
    assert np.abs(before["magnetic_forces"]).max() > 1e-2


def test_moments_of_other_types_are_not_looked_at(model: RunnableModel) -> None:
    atoms = structure()
    before = results(model, atoms)
    oxygen = np.flatnonzero(atoms.numbers == 8)
    assert not before["magnetic_forces"][oxygen].any()
    moments = atoms.get_initial_magnetic_moments()
    moments[oxygen] = 0.1
    atoms.set_initial_magnetic_moments(moments)
    assert results(model, atoms)["energy"] == before["energy"]


def test_derivatives(model: RunnableModel) -> None:
    errors = derivative_errors(SpinCalculator(model), structure())
    assert max(errors.values()) < 1e-7


def test_training_graph_gives_what_the_deployed_entry_points_give(
    model: RunnableModel,
) -> None:
    atoms = structure()
    out = checkpoint().model(graph_data(model, atoms))
    expected = results(model, atoms)
    for name in (AtomicDataDict.FORCE_KEY, fields.MAGNETIC_FORCES_KEY):
        assert relative(out[name].detach().numpy(), expected[name]) < 1e-11
    labels = out[fields.MAGNETIC_FORCE_LABELS_KEY][0]
    torch.testing.assert_close(labels, 0.8 * out[fields.MAGNETIC_FORCES_KEY][0])


def test_smooth_where_an_atom_crosses_the_cutoff(model: RunnableModel) -> None:
    pair = Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 3.9]])
    pair.set_initial_magnetic_moments([[1, 0, 0.0], [0.6, 0, 0.8]])
    pair = with_calculator(model, pair)

    def energy(distance: float) -> float:
        pair.positions[1, 2] = distance
        return pair.get_potential_energy()

    apart = energy(4.0 + 1e-9)
    assert apart == energy(5.0)
    near, nearer = energy(4.0 - 4e-2) - apart, energy(4.0 - 2e-2) - apart
    assert abs(near) > 1e-9
    assert near / nearer > 7  # 2³: the energy goes with (r_c − r)³


# === moments of any length ===


def test_smooth_where_a_moment_vanishes(model: RunnableModel) -> None:
    """Energy even, magnetic force odd in a lone moment, and both finite at zero."""
    atom = Atoms("NiO", positions=[[0, 0, 0], [0, 0.3, 2.0]])

    def force(x: float) -> float:
        atom.set_initial_magnetic_moments([[x, 0, 0], [0, 0, 0]])
        return float(results_of(model, atom)[0, 0])

    assert force(0.0) == 0.0
    slopes = [force(x) / x for x in (1e-6, 1e-4, 1e-3)]
    assert np.ptp(slopes) < 1e-5 * abs(slopes[0])
    assert abs(slopes[0]) > 1e-4


def results_of(model: RunnableModel, atoms: Atoms) -> np.ndarray:
    atoms = with_calculator(model, atoms)
    atoms.get_potential_energy()
    return np.asarray(atoms.calc.results["magnetic_forces"])


def test_a_moment_of_zero_trains() -> None:
    trained = checkpoint()
    atoms = structure()
    moments = atoms.get_initial_magnetic_moments()
    moments[0] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    network = trained.model.train()
    out = network(graph_data(runnable(), atoms))
    out[fields.MAGNETIC_FORCES_KEY].square().sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


def test_gaussians_are_even_functions_of_a_length() -> None:
    gaussians = MomentGaussians(5, 2.0)
    s = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(gaussians, (s,))
    x = torch.tensor([[0.7, 0, 0]], dtype=torch.float64)
    expected = torch.exp(-2 * (0.7 - torch.linspace(0, 2, 5)) ** 2)
    expected = expected + torch.exp(-2 * (0.7 + torch.linspace(0, 2, 5)) ** 2)
    torch.testing.assert_close(gaussians(x)[0], expected.double(), atol=1e-7, rtol=0)


# === files ===


def test_a_deployed_file_gives_the_numbers_of_its_model(
    model: RunnableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(b"")
    trained = checkpoint()
    monkeypatch.setattr(export, "archive_kind", lambda _: "checkpoint")
    monkeypatch.setattr(export, "load_checkpoint", lambda _, dtype=None: trained)
    out = export.deploy(file, tmp_path / "out.pth")
    monkeypatch.undo()
    deployed = export.load_model(out)
    before, after = results(model, structure()), results(deployed, structure())
    for name in ("energy", "forces", "stress", "magnetic_forces"):
        assert error(after[name], before[name]) < 1e-12


# === errors ===


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"magnetic_types": ["Fe"]}, "MagNet: magnetic_types, got"),
        ({"atomic_irreps": "4x1o"}, "atomic_irreps without a scalar, got 4x1o"),
        ({"magnetic_irreps": "4x0eo"}, "magnetic_irreps without a scalar"),
        ({"atomic_irreps": "4x0e + 2x1eo"}, "odd under time reversal"),
        ({"num_magnetic_blocks": 0}, "too few blocks, got 2 atomic and 0 magnetic"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(
    changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SpinffError, match=sentence):
        checkpoint(**changes)
