"""Symmetry of whole models, and controls that show each check can fail.

A symmetry operation is a value (R, inversion, time reversal). Positions are polar and
even under time reversal, spins axial and odd.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation

from small_models import MODELS, Array, couplings, results, small_model, structure
from spinff.export import RunnableModel

TOLERANCE = 1e-12


@dataclass(frozen=True)
class Operation:
    """Proper rotation R, then inversion, then time reversal."""

    rotation: Array
    inversion: bool = False
    time_reversal: bool = False

    @property
    def on_polar(self) -> Array:
        return -self.rotation if self.inversion else self.rotation

    @property
    def on_spins(self) -> Array:
        return -self.rotation if self.time_reversal else self.rotation

    def __call__(self, atoms: Atoms) -> Atoms:
        moved = moments_mapped(atoms, self.on_spins)
        moved.set_cell(atoms.cell.array @ self.on_polar.T)
        moved.positions = atoms.positions @ self.on_polar.T
        return moved


def moments_mapped(atoms: Atoms, matrix: Array) -> Atoms:
    """The same atoms with all moments multiplied by a matrix."""
    moved = atoms.copy()
    moved.set_initial_magnetic_moments(atoms.get_initial_magnetic_moments() @ matrix.T)
    return moved


IDENTITY = np.eye(3)
ROTATION = Rotation.random(random_state=3).as_matrix()
MIRROR = Rotation.from_rotvec([0, 0, np.pi]).as_matrix()  # with inversion: z → −z
OPERATIONS = {
    "rotation": Operation(ROTATION),
    "inversion": Operation(IDENTITY, inversion=True),
    "reflection": Operation(MIRROR, inversion=True),
    "rotation and inversion": Operation(ROTATION, inversion=True),
    "time reversal": Operation(IDENTITY, time_reversal=True),
    "everything": Operation(ROTATION, inversion=True, time_reversal=True),
}


def error(got: Array, expected: Array) -> float:
    """Largest difference over the largest expected value."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def equivariance_error(model: RunnableModel, atoms: Atoms, op: Operation) -> float:
    """Worst relative error of energy, forces, stress and magnetic forces."""
    before, after = results(model, atoms), results(model, op(atoms))
    polar = op.on_polar
    return max(
        error(after["energy"], before["energy"]),
        error(after["energies"], before["energies"]),
        error(after["forces"], before["forces"] @ polar.T),
        error(after["stress"], polar @ before["stress"] @ polar.T),
        error(after["magnetic_forces"], before["magnetic_forces"] @ op.on_spins.T),
    )


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> RunnableModel:
    return small_model(**MODELS[request.param])


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_of_space_and_time(model: RunnableModel, name: str) -> None:
    assert equivariance_error(model, structure(), OPERATIONS[name]) < TOLERANCE


def test_time_reversal_is_exact_to_the_bit(model: RunnableModel) -> None:
    atoms = structure()
    flipped = moments_mapped(atoms, -IDENTITY)
    assert results(model, flipped)["energy"] == results(model, atoms)["energy"]


def test_translation(model: RunnableModel) -> None:
    atoms = structure()
    moved = atoms.copy()
    moved.positions += [0.3, -1.7, 12.1]
    before, after = results(model, atoms), results(model, moved)
    for name in ("energy", "forces", "stress", "magnetic_forces"):
        assert error(after[name], before[name]) < TOLERANCE


def test_permutation(model: RunnableModel) -> None:
    atoms = structure()
    order = np.random.default_rng(1).permutation(len(atoms))
    before, after = results(model, atoms), results(model, atoms[order])
    for name in ("energies", "forces", "magnetic_forces"):
        assert error(after[name], before[name][order]) < TOLERANCE


def test_exchange_turns_with_the_crystal_and_is_its_own_transpose() -> None:
    model, atoms = small_model(), structure()
    op = OPERATIONS["everything"]
    before, after = couplings(model, atoms), couplings(model, op(atoms))
    scale = max(np.abs(tensor).max() for tensor in before.values())
    for (i, j, *shift), tensor in before.items():
        turned = op.rotation @ tensor @ op.rotation.T  # two signs cancel
        assert np.abs(after[i, j, *shift] - turned).max() < TOLERANCE * scale
        back = before[(j, i, *(-np.array(shift)))]
        assert np.abs(back - tensor.T).max() < TOLERANCE * scale
    antisymmetric = max(np.abs(t - t.T).max() for t in before.values())
    assert antisymmetric > 0.05 * scale  # there is a DM part to be right about


def test_without_spin_orbit_coupling_spins_may_turn_alone() -> None:
    model, atoms = small_model(**MODELS["ring-tenn-no-soc"]), structure()
    before = results(model, atoms)
    after = results(model, moments_mapped(atoms, ROTATION))
    assert error(after["energy"], before["energy"]) < TOLERANCE
    assert error(after["forces"], before["forces"]) < TOLERANCE
    turned = before["magnetic_forces"] @ ROTATION.T
    assert error(after["magnetic_forces"], turned) < TOLERANCE


# === controls: each check sees the fault it is there for ===


def test_control_with_spin_orbit_coupling_spins_may_not_turn_alone() -> None:
    model, atoms = small_model(), structure()
    turned = moments_mapped(atoms, ROTATION)
    change = results(model, turned)["energy"] - results(model, atoms)["energy"]
    assert abs(change) > 1e-3


def planted(change: Callable[[torch.nn.Module], None]) -> RunnableModel:
    model = small_model()
    head = model.module.network.exchange  # type: ignore[attr-defined]
    change(head)
    return model


def test_control_a_wrong_tensor_basis_is_seen_by_rotation() -> None:
    def swap_two_columns_of_the_2e_basis(head: torch.nn.Module) -> None:
        head.to_cartesian[[4, 5]] = head.to_cartesian[[5, 4]]

    model = planted(swap_two_columns_of_the_2e_basis)
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
    from test_derivatives import magnetic_force_error

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
    assert magnetic_force_error(bad, structure()) > 0.1
