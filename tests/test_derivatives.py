"""Forces, stress and magnetic forces against finite differences of the energy."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.fd import (
    calculate_numerical_forces,
    calculate_numerical_stress,
)

from small_models import MODELS, graph_data, small_checkpoint, small_model, structure
from spinff import fields
from spinff.calculator import SpinCalculator
from spinff.export import RunnableModel

TOLERANCE = 1e-6


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> RunnableModel:
    return small_model(**MODELS[request.param])


def with_calculator(model: RunnableModel, atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = SpinCalculator(model)
    return atoms


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def test_forces(model: RunnableModel) -> None:
    atoms = with_calculator(model, structure())
    numerical = calculate_numerical_forces(atoms, eps=1e-4)
    assert relative(atoms.get_forces(), numerical) < TOLERANCE


def test_stress(model: RunnableModel) -> None:
    atoms = with_calculator(model, structure())
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    assert relative(atoms.get_stress(), numerical) < TOLERANCE


def magnetic_force_error(model: RunnableModel, atoms: Atoms) -> float:
    """Relative error of f_m = −∂E/∂m by differences of whole moments."""
    atoms = with_calculator(model, atoms)
    moments = atoms.get_initial_magnetic_moments()
    atoms.get_potential_energy()
    analytic = atoms.calc.results["magnetic_forces"]
    numerical = np.zeros_like(moments)
    step = 1e-4
    for i in np.flatnonzero(np.linalg.norm(moments, axis=1) > 0):
        for a in range(3):
            energies = []
            for sign in (1, -1):
                moved = moments.copy()
                moved[i, a] += sign * step
                atoms.set_initial_magnetic_moments(moved)
                energies.append(atoms.get_potential_energy())
            numerical[i, a] = -(energies[0] - energies[1]) / (2 * step)
    return relative(analytic, numerical)


def test_magnetic_forces(model: RunnableModel) -> None:
    assert magnetic_force_error(model, structure()) < TOLERANCE


def test_magnetic_forces_are_perpendicular_to_moments_unless_they_are_input(
    model: RunnableModel,
) -> None:
    atoms = with_calculator(model, structure())
    atoms.get_potential_energy()
    along = (
        atoms.calc.results["magnetic_forces"] * atoms.get_initial_magnetic_moments()
    ).sum(1)
    if model.header.moment_mode == "input":
        assert np.abs(along).max() > 1e-3
    else:
        assert np.abs(along).max() < 1e-14


def test_energy_is_smooth_where_an_atom_crosses_the_cutoff() -> None:
    model = small_model()
    pair = Atoms("Ni2", positions=[[0, 0, 0], [0, 0, 3.9]])
    pair.set_initial_magnetic_moments([[1, 0, 0.0], [0.6, 0, 0.8]])
    pair = with_calculator(model, pair)
    r_max = model.header.r_max
    energies = []
    for r in (r_max - 1e-3, r_max + 1e-3, r_max + 1.0):
        pair.positions[1, 2] = r
        energies.append(pair.get_potential_energy())
    apart = energies[2]
    assert abs(energies[0] - apart) < 1e-7  # the envelope is of third order
    assert energies[1] == pytest.approx(apart, abs=1e-14)


def test_training_graph_gives_what_the_deployed_entry_points_give() -> None:
    checkpoint, model, atoms = small_checkpoint(), small_model(), structure()
    out = checkpoint.model(graph_data(model, atoms))
    atoms = with_calculator(model, atoms)
    energy = atoms.get_potential_energy()
    assert float(out["total_energy"].detach()) == pytest.approx(energy, rel=1e-13)
    for name, expected in (
        ("forces", atoms.get_forces()),
        ("stress", atoms.get_stress(voigt=False)[None]),
        (fields.MAGNETIC_FORCES_KEY, atoms.calc.results["magnetic_forces"]),
    ):
        assert relative(out[name].detach().numpy(), expected) < 1e-11
    scaled = out[fields.MAGNETIC_FORCE_LABELS_KEY].detach()
    torch.testing.assert_close(
        scaled[:1], 0.8 * out[fields.MAGNETIC_FORCES_KEY][:1].detach()
    )


def test_an_atom_without_moment_neither_feels_nor_exerts_exchange() -> None:
    checkpoint, model, atoms = small_checkpoint(), small_model(), structure()
    moments = atoms.get_initial_magnetic_moments()
    moments[0] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    out = checkpoint.model(graph_data(model, atoms))
    assert all(bool(torch.isfinite(out[key]).all()) for key in ("forces", "stress"))
    assert torch.equal(out[fields.MAGNETIC_FORCES_KEY][0].detach(), torch.zeros(3))
