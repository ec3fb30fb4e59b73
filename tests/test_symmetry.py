"""Symmetry of whole models, and controls on them that show each check can fail.

The checks are those of ``spinff.testing``, whose own tests plant more faults.
"""

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from nequip.data import AtomicDataDict

from small_models import MODELS, Array, results, small_model, structure
from spinff.calculator import SpinCalculator
from spinff.export import RunnableModel
from spinff.irreps.operations import Operation
from spinff.nn import _keys
from spinff.testing import (
    Transformation,
    coupling_errors,
    derivative_errors,
    equivariance_errors,
    model_couplings,
    spins_alone,
    standard_transformations,
)

TOLERANCE = 1e-12

OPERATIONS = {
    move.name: move for move in standard_transformations(spin_orbit_coupling=True)
}
ROTATION = OPERATIONS["rotation"].rotation


def moments_mapped(atoms: Atoms, matrix: Array) -> Atoms:
    """The same atoms with all moments multiplied by a matrix."""
    return Transformation("moments", spins=matrix)(atoms)


def error(got: Array, expected: Array) -> float:
    """Largest difference over the largest expected value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def equivariance_error(
    model: RunnableModel, atoms: Atoms, move: Transformation
) -> float:
    """Worst relative error of energy, forces, stress and magnetic forces."""
    errors = equivariance_errors(SpinCalculator(model), atoms, [move])[move.name]
    assert set(errors) == {"energy", "energies", "forces", "stress", "magnetic_forces"}
    return max(errors.values())


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> RunnableModel:
    return small_model(**MODELS[request.param])


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(model: RunnableModel, name: str) -> None:
    assert equivariance_error(model, structure(), OPERATIONS[name]) < TOLERANCE


def test_time_reversal_is_exact_to_the_bit(model: RunnableModel) -> None:
    atoms = structure()
    flipped = moments_mapped(atoms, -np.eye(3))
    assert results(model, flipped)["energy"] == results(model, atoms)["energy"]


@pytest.mark.parametrize("name", ["msenn", "msenn-no-soc"])
def test_couplings_turn_with_the_crystal(name: str) -> None:
    """J(Rr) = R J Rᵀ, J_ji = J_ijᵀ, A(Rr) = R A Rᵀ, tr A = 0."""
    model = small_model(**MODELS[name])
    everything = Operation(
        torch.from_numpy(ROTATION), inversion=True, time_reversal=True
    )
    errors = coupling_errors(
        lambda atoms: model_couplings(model, atoms), structure(), everything
    )
    assert max(errors.values()) < TOLERANCE, errors


def test_there_is_a_relativistic_part_to_be_right_about() -> None:
    couplings = model_couplings(small_model(), structure())
    tensors = np.array(list(couplings.exchange.values()))
    antisymmetric = tensors - tensors.transpose(0, 2, 1)
    assert np.abs(antisymmetric).max() > 0.05 * np.abs(tensors).max()
    assert np.abs(couplings.anisotropy).max() > 1e-3


@pytest.mark.parametrize("name", ["msenn-no-soc", "ring-tenn-no-soc"])
def test_without_spin_orbit_coupling_spins_may_turn_alone(name: str) -> None:
    model = small_model(**MODELS[name])
    assert equivariance_error(model, structure(), spins_alone()) < TOLERANCE


# === controls: each check sees the fault it is there for ===


def test_control_with_spin_orbit_coupling_spins_may_not_turn_alone() -> None:
    model, atoms = small_model(), structure()
    turned = moments_mapped(atoms, ROTATION)
    change = results(model, turned)["energy"] - results(model, atoms)["energy"]
    assert abs(change) > 1e-3


def test_control_swapped_components_of_the_tensor_are_seen_by_rotation() -> None:
    class XzForYz(torch.nn.Module):
        """D and Γ with x and y of their off-diagonal parts with z confused."""

        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
            data = self.module(data)
            swapped = [0, 1, 5, 3, 4, 2, 7, 6, 8]
            data[_keys.RELATIVISTIC_KEY] = data[_keys.RELATIVISTIC_KEY][:, swapped]
            return data

    model = small_model()
    network: Any = model.module.network
    network.relativistic = XzForYz(network.relativistic)
    assert equivariance_error(model, structure(), OPERATIONS["rotation"]) > 1e-4


def test_control_a_field_on_the_spin_is_seen_by_time_reversal() -> None:
    class WithField(torch.nn.Module):
        """An energy linear in the spins, what a missing t filter lets through."""

        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            energies, edge_gradient, spin_gradient, lengths = self.module(*inputs)
            spins = inputs[4]
            field = 1e-3 * torch.ones_like(spins)
            return (
                energies + (field * spins).sum(-1, keepdim=True),
                edge_gradient,
                spin_gradient + field * energies.size(1),
                lengths,
            )

    good = small_model()
    bad = RunnableModel(good.header, WithField(good.module), good.device)  # type: ignore[arg-type]
    assert equivariance_error(bad, structure(), OPERATIONS["time reversal"]) > 1e-4


def test_control_a_one_sided_gradient_is_seen_by_finite_differences() -> None:
    class OneSided(torch.nn.Module):
        """Forgets that an edge acts on the neighbour's spin, too."""

        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            energies, edge_gradient, spin_gradient, lengths = self.module(*inputs)
            return energies, edge_gradient, 0.5 * spin_gradient, lengths

    good = small_model()
    bad = RunnableModel(good.header, OneSided(good.module), good.device)  # type: ignore[arg-type]
    errors = derivative_errors(SpinCalculator(bad), structure())
    assert errors["magnetic_forces"] > 0.1
    assert errors["forces"] < 1e-7
