"""Forces, stress and magnetic forces against finite differences of the energy."""

import numpy as np
import pytest
import torch
from ase import Atoms

from small_models import (
    MODELS,
    TYPES,
    graph_data,
    small_checkpoint,
    small_model,
    structure,
)
from spinff import fields
from spinff.calculator import SpinCalculator
from spinff.export import RunnableModel
from spinff.testing import (
    cutoff_errors,
    derivative_errors,
    size_errors,
    zero_moment_errors,
)

TOLERANCE = 1e-7


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> RunnableModel:
    return small_model(**MODELS[request.param])


def with_calculator(model: RunnableModel, atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = SpinCalculator(model)
    return atoms


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def test_forces_stress_and_magnetic_forces(model: RunnableModel) -> None:
    errors = derivative_errors(SpinCalculator(model), structure())
    assert set(errors) == {"forces", "stress", "magnetic_forces"}
    assert max(errors.values()) < TOLERANCE, errors


def test_twice_the_crystal_has_twice_the_energy(model: RunnableModel) -> None:
    errors = size_errors(SpinCalculator(model), structure())
    assert max(errors.values()) < 1e-12, errors


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


@pytest.mark.parametrize("neighbour", TYPES)
def test_nothing_jumps_where_an_atom_crosses_the_cutoff(
    model: RunnableModel, neighbour: str
) -> None:
    header = model.header
    errors = cutoff_errors(
        SpinCalculator(model), "Ni", neighbour, header.r_max, moments=header.moments
    )
    assert max(errors.values()) < 1e-7, errors


def test_an_energy_of_moments_is_differentiable_where_one_vanishes() -> None:
    model = small_model(**MODELS["input"])
    errors = zero_moment_errors(SpinCalculator(model), structure())
    assert max(errors.values()) < TOLERANCE, errors


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
