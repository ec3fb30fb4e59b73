"""Couplings from a message-passing network: symmetry, derivatives, reach, files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from e3nn.util.jit import script
from nequip.data import AtomicDataDict
from nequip.nn import GraphModel
from nequip.utils.global_state import global_state_initialized, set_global_state

from small_models import (
    MODELS,
    graph_data,
    results,
    small_config,
    small_model,
    structure,
)
from spinff import export, fields
from spinff.calculator import SpinCalculator
from spinff.errors import SpinffError
from spinff.export import RunnableModel, make_header, scriptable
from spinff.header import has_couplings
from spinff.irreps import TIrreps
from spinff.irreps.operations import Operation
from spinff.models import Checkpoint, SpinNequIP
from spinff.nn import _keys
from spinff.nn.message_passing import WeightedProduct
from spinff.testing import Couplings, coupling_errors, derivative_errors
from test_derivatives import with_calculator
from test_symmetry import (
    OPERATIONS,
    ROTATION,
    TOLERANCE,
    equivariance_error,
    error,
    moments_mapped,
)

SIZE: dict[str, object] = {
    "num_features": 3,
    "num_layers": 2,
    "radial_mlp_width": 8,
    "relativistic_scale": 500.0,  # its tensors are smaller than those of SpinAllegro
}


def checkpoint(**changes: object) -> Checkpoint:
    """A small model with random weights, as if loaded from a file."""
    if not global_state_initialized():
        set_global_state()
    config = small_config(**(SIZE | changes))
    model = SpinNequIP(**config)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(7)
    for name, weights in model.named_parameters():
        if name.endswith(("tensor_weights", "readout_weights")):  # zero in a new model
            torch.nn.init.normal_(weights, generator=generator)
    assert isinstance(model, GraphModel)
    return Checkpoint(
        model=model.eval(),
        config={"_target_": "spinff.models.SpinNequIP", **config},
        training_data_sha256="none",
    )


def runnable(**changes: object) -> RunnableModel:
    trained = checkpoint(**changes)
    return RunnableModel(make_header(trained), scriptable(trained), torch.device("cpu"))


@pytest.fixture(scope="module", params=["ring-tenn", "ring-tenn-no-soc", "input"])
def model(request: pytest.FixtureRequest) -> RunnableModel:
    return runnable(**MODELS[request.param])


@pytest.mark.parametrize("name", ["reflection", "time reversal", "everything"])
def test_symmetry(model: RunnableModel, name: str) -> None:
    assert equivariance_error(model, structure(), OPERATIONS[name]) < TOLERANCE


def test_derivatives(model: RunnableModel) -> None:
    errors = derivative_errors(SpinCalculator(model), structure())
    assert max(errors.values()) < 1e-7


def test_without_spin_orbit_coupling_spins_may_turn_alone() -> None:
    model, atoms = runnable(**MODELS["ring-tenn-no-soc"]), structure()
    before, after = (
        results(model, atoms),
        results(model, moments_mapped(atoms, ROTATION)),
    )
    assert error(after["energy"], before["energy"]) < TOLERANCE
    assert error(after["forces"], before["forces"]) < TOLERANCE


def exchange(
    model: RunnableModel, network: torch.nn.Module, atoms: Atoms
) -> dict[tuple[int, ...], Any]:
    """J̃ of each directed edge, keyed by (i, j, shift)."""
    data = network(graph_data(model, atoms))
    edges = data[fields.MAGNETIC_EDGES_KEY]
    i, j = data[AtomicDataDict.EDGE_INDEX_KEY][:, edges].tolist()
    shifts = data[AtomicDataDict.EDGE_CELL_SHIFT_KEY][edges].int().tolist()
    tensors = data[fields.EXCHANGE_KEY].detach().numpy()
    return {
        (a, b, *shift): tensor
        for a, b, shift, tensor in zip(i, j, shifts, tensors, strict=True)
    }


def test_exchange_turns_with_the_crystal_and_is_its_own_transpose() -> None:
    trained, model, atoms = checkpoint(), runnable(), structure()
    network = trained.model.get_submodule("model.func.couplings")

    def pairs(atoms: Atoms) -> Couplings:
        """The mean of both directions, all that the energy depends on."""
        directed = exchange(model, network, atoms)
        mean = {
            (i, j, *shift): 0.5 * (tensor + directed[(j, i, *(-np.array(shift)))].T)
            for (i, j, *shift), tensor in directed.items()
        }
        none = dict.fromkeys(mean, 0.0)
        return Couplings(0.0, mean, none, np.zeros((len(atoms), 3, 3)))

    everything = Operation(
        torch.from_numpy(ROTATION), inversion=True, time_reversal=True
    )
    errors = coupling_errors(pairs, atoms, everything)
    assert max(errors.values()) < TOLERANCE
    tensors = np.array(list(pairs(atoms).exchange.values()))
    antisymmetric = np.abs(tensors - tensors.transpose(0, 2, 1)).max()
    # there is a DM part to be right about
    assert antisymmetric > 0.001 * np.abs(tensors).max()


def test_what_the_heads_read_vanishes_at_the_cutoff_with_two_derivatives() -> None:
    trained = checkpoint()
    model, atoms = runnable(), structure()
    network = trained.model.get_submodule("model.func.couplings")
    trimer = atoms[[0, 1, 3]]  # of which one pair goes to the cutoff
    trimer.set_cell(np.eye(3) * 30)
    trimer.positions = [[0, 0, 0], [1.5, 0.4, 0.2], [0, 0, 0]]

    def largest(distance: float) -> dict[str, float]:
        trimer.positions[2] = [0, 0, distance]
        data = network(graph_data(model, trimer))
        index = data[AtomicDataDict.EDGE_INDEX_KEY].T.tolist().index([0, 2])
        pair = data[fields.MAGNETIC_EDGES_KEY].tolist().index(index)
        return {
            key: float(data[key][row].detach().abs().max())
            for key, row in (
                (AtomicDataDict.EDGE_FEATURES_KEY, index),
                (_keys.PAIR_SCALARS_KEY, pair),
                (_keys.PAIR_TENSORS_KEY, pair),
            )
        }

    near, nearer = largest(4.0 - 4e-3), largest(4.0 - 2e-3)
    for key in near:
        assert near[key] > 0
        assert near[key] / nearer[key] > 7.5  # 2³: the value goes with (r_c − r)³


def test_couplings_see_beyond_one_cutoff_and_so_does_the_header() -> None:
    chain = Atoms("Ni3", positions=[[0, 0, 0], [0, 0, 3.0], [0, 0, 6.0]])
    chain.set_initial_magnetic_moments(np.eye(3))

    def energy_of_the_first(model: RunnableModel, z: float) -> float:
        chain.positions[2, 2] = z
        return float(results_of_cluster(model, chain)[0])

    def results_of_cluster(model: RunnableModel, atoms: Atoms) -> Any:  # noqa: ANN401
        atoms = with_calculator(model, atoms)
        return atoms.get_potential_energies()

    far, local = runnable(), small_model()
    assert abs(energy_of_the_first(far, 6.0) - energy_of_the_first(far, 6.1)) > 1e-6
    assert energy_of_the_first(local, 6.0) == energy_of_the_first(local, 6.1)
    assert not far.header.strictly_local
    assert not has_couplings(far.header)
    assert local.header.strictly_local


def test_a_deployed_file_gives_the_numbers_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without the TENN, which other files deploy
    size: dict[str, Any] = {"terms": ["exchange", "anisotropy"], "num_layers": 1}
    trained = checkpoint(**size)
    file = tmp_path / "model.pth"
    file.write_bytes(b"")
    monkeypatch.setattr(export, "archive_kind", lambda _: "checkpoint")
    monkeypatch.setattr(export, "load_checkpoint", lambda _, dtype=None: trained)
    out = export.deploy(file, tmp_path / "out.pth")
    monkeypatch.undo()
    deployed = export.load_model(out)
    assert deployed.header.model_class == "SpinNequIP"
    atoms = structure()
    before, after = results(runnable(**size), atoms), results(deployed, atoms)
    for name in ("energy", "forces", "stress", "magnetic_forces"):
        assert error(after[name], before[name]) < 1e-12


def test_an_irrep_that_no_product_gives_is_a_sentence() -> None:
    with pytest.raises(SpinffError, match="no path leads to, got 1ee"):
        WeightedProduct(
            TIrreps("4x0ee"), TIrreps("0ee + 1oe"), TIrreps("2x0ee + 2x1ee")
        )


def test_products_script() -> None:
    product = WeightedProduct(
        TIrreps("2x0ee + 2x1eo"), TIrreps("0ee + 1oe"), TIrreps("3x1oo")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = script(product, in_place=False)
    x, y = torch.randn(5, 8), torch.randn(5, 4)
    weights = torch.randn(5, product.num_weights)
    assert torch.equal(scripted(x, y, weights), product(x, y, weights))
