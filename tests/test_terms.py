"""Energies of the explicit terms and of the TENN's parts, against plain sums."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.utils.dtype import torch_default_dtype

from small_models import results, small_checkpoint, small_model, structure
from spinff import fields
from spinff.errors import SpinffError
from spinff.header import TERMS
from spinff.nn.tenn import MomentBasis, edge_basis, tensor_track
from spinff.nn.terms import (
    AnisotropyEnergy,
    BiquadraticEnergy,
    ExchangeEnergy,
    LongitudinalEnergy,
    RingEnergy,
)
from spinff.testing import model_couplings

ATOMS, EDGES = 4, 12


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.manual_seed(0)
    with torch_default_dtype(torch.float64):
        yield


@pytest.fixture
def data() -> AtomicDataDict.Type:
    """Four spins of any length, and all directed pairs but a few."""
    pairs = [(i, j) for i in range(ATOMS) for j in range(ATOMS) if i != j]
    return {
        AtomicDataDict.EDGE_INDEX_KEY: torch.tensor(pairs).T,
        fields.MAGNETIC_EDGES_KEY: torch.tensor([0, 2, 3, 5, 8, 10, 11]),
        fields.SPINS_KEY: torch.randn(ATOMS, 3),
    }


def magnetic_pairs(data: AtomicDataDict.Type) -> list[tuple[int, int]]:
    picked = data[AtomicDataDict.EDGE_INDEX_KEY][:, data[fields.MAGNETIC_EDGES_KEY]]
    return [tuple(pair) for pair in picked.T.tolist()]  # type: ignore[misc]


def test_exchange(data: AtomicDataDict.Type) -> None:
    data[fields.EXCHANGE_KEY] = torch.randn(7, 3, 3)
    s = data[fields.SPINS_KEY]
    expected = torch.zeros(ATOMS)
    for (i, j), tensor in zip(
        magnetic_pairs(data), data[fields.EXCHANGE_KEY], strict=True
    ):
        expected[i] += 0.5 * s[i] @ tensor @ s[j]
    torch.testing.assert_close(ExchangeEnergy()(data).view(-1), expected)


def test_exchange_is_no_product_of_sums(data: AtomicDataDict.Type) -> None:
    """s_i·s_j as a product of sums of components: right for spins along one axis."""
    data[fields.EXCHANGE_KEY] = torch.eye(3).repeat(7, 1, 1)
    s = data[fields.SPINS_KEY]
    wrong = sum(0.5 * s[i].sum() * s[j].sum() for i, j in magnetic_pairs(data))
    assert abs(float(ExchangeEnergy()(data).sum() - wrong)) > 0.1


def test_biquadratic(data: AtomicDataDict.Type) -> None:
    data[fields.BIQUADRATIC_KEY] = torch.randn(7, 1)
    s = data[fields.SPINS_KEY]
    expected = torch.zeros(ATOMS)
    for (i, j), k in zip(
        magnetic_pairs(data), data[fields.BIQUADRATIC_KEY], strict=True
    ):
        expected[i] += 0.5 * k[0] * (s[i] @ s[j]) ** 2
    torch.testing.assert_close(BiquadraticEnergy()(data).view(-1), expected)


def test_anisotropy(data: AtomicDataDict.Type) -> None:
    tensors = torch.randn(ATOMS, 3, 3)
    data[fields.ANISOTROPY_KEY] = tensors
    expected = torch.stack(
        [s @ a @ s for s, a in zip(data[fields.SPINS_KEY], tensors, strict=True)]
    )
    torch.testing.assert_close(AnisotropyEnergy()(data).view(-1), expected)


def test_ring_is_the_sum_over_plaquettes(data: AtomicDataDict.Type) -> None:
    channels = 2
    weights = torch.randn(7, 2 * channels)
    data[fields.RING_KEY] = weights
    s, pairs = data[fields.SPINS_KEY], magnetic_pairs(data)
    expected = torch.zeros(ATOMS)
    for (i, j), p_j in zip(pairs, weights[:, :channels], strict=True):
        for (i2, k), q_k in zip(pairs, weights[:, channels:], strict=True):
            for (i3, l), p_l in zip(pairs, weights[:, :channels], strict=True):
                if i == i2 == i3:
                    coupling = (p_j * q_k * p_l).sum()
                    expected[i] += (
                        0.25
                        * coupling
                        * (
                            (s[i] @ s[j]) * (s[k] @ s[l])
                            + (s[i] @ s[l]) * (s[j] @ s[k])
                            - (s[i] @ s[k]) * (s[j] @ s[l])
                        )
                    )
    torch.testing.assert_close(RingEnergy()(data).view(-1), expected)


def test_longitudinal(data: AtomicDataDict.Type) -> None:
    data[fields.LONGITUDINAL_KEY] = torch.randn(ATOMS, 3)
    length = data[fields.SPINS_KEY].norm(dim=1)
    a, b, c = data[fields.LONGITUDINAL_KEY].T
    expected = a * length**2 + b * length**4 + c * length**6
    torch.testing.assert_close(LongitudinalEnergy()(data).view(-1), expected)


# === parts of the TENN ===


@pytest.mark.parametrize("spin_orbit_coupling", [True, False])
def test_edge_basis_starts_with_the_scalar(spin_orbit_coupling: bool) -> None:
    irreps, matrix = edge_basis(2, 1, spin_orbit_coupling)
    assert irreps[0] == tensor_track(2, 1, spin_orbit_coupling)[0]
    assert matrix.shape == (9 * 4, sum(ir.dim for ir in irreps))
    assert torch.linalg.matrix_rank(matrix) == matrix.size(1)


def test_moment_basis_is_zero_and_flat_at_no_moment() -> None:
    spins = torch.zeros(1, 3, requires_grad=True)
    functions = MomentBasis(4)(spins)
    assert torch.equal(functions, torch.zeros(1, 4))
    gradient = torch.autograd.grad(functions.sum(), spins)[0]
    assert torch.equal(gradient, torch.zeros(1, 3))
    far = MomentBasis(4)(1e3 * torch.ones(1, 3))
    assert far.abs().max() <= 2.0


# === switches ===


@pytest.mark.parametrize("name", TERMS[1:])
def test_each_term_is_there_alone_and_depends_on_the_spins(name: str) -> None:
    mode = "input" if name == "longitudinal" else "fixed"
    model, atoms = small_model(terms=[name], moment_mode=mode), structure()
    assert model.header.terms == ("lattice", name)
    before = results(model, atoms)["energies_by_term"]
    changed = atoms.get_initial_magnetic_moments()
    changed[0] *= [0.5, -1.0, 2.0]
    atoms.set_initial_magnetic_moments(changed)
    after = results(model, atoms)["energies_by_term"]
    assert before["lattice"] == after["lattice"]
    assert abs(before[name] - after[name]) > 1e-6


def test_without_terms_the_model_sees_no_spin() -> None:
    model = small_model(terms=[])
    out = results(model, structure())
    assert list(out["energies_by_term"]) == ["lattice"]
    assert np.array_equal(out["magnetic_forces"], np.zeros((8, 3)))


def test_terms_add_up() -> None:
    model = small_model(terms=["exchange", "anisotropy", "biquadratic", "ring", "tenn"])
    out = results(model, structure())
    assert sum(out["energies_by_term"].values()) == pytest.approx(out["energy"])


def test_a_new_tenn_adds_nothing() -> None:
    checkpoint = small_checkpoint(terms=["exchange", "tenn"])
    head = checkpoint.model.get_submodule("model.func.spin_terms.terms.terms.1")
    assert type(head).__name__ == "TENN"
    torch.nn.init.zeros_(head.get_parameter("readout_weights"))
    from spinff.export import RunnableModel, make_header, scriptable

    model = RunnableModel(
        make_header(checkpoint), scriptable(checkpoint), torch.device("cpu")
    )
    assert results(model, structure())["energies_by_term"]["tenn"] == 0.0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"terms": ["Heisenberg"]}, "terms, got .*expected different words out of"),
        ({"terms": ["ring", "ring"]}, "terms, got"),
        (
            {"terms": ["anisotropy"], "spin_orbit_coupling": False},
            "anisotropy with spin_orbit_coupling: false",
        ),
        ({"terms": ["longitudinal"]}, "longitudinal with moment_mode: fixed"),
        (
            {"terms": ["exchange"], "moment_mode": "predicted"},
            "predicted without the term tenn",
        ),
        ({"moment_mode": "free"}, "moment_mode, got free, expected one of fixed"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(
    changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SpinffError, match=sentence):
        small_checkpoint(**changes)


# === moments of any length ===


def test_energy_is_smooth_down_to_no_moment() -> None:
    terms = ["exchange", "anisotropy", "biquadratic", "ring", "longitudinal", "tenn"]
    model, atoms = small_model(terms=terms, moment_mode="input"), structure()
    moments = atoms.get_initial_magnetic_moments()
    atom = int(np.flatnonzero(np.linalg.norm(moments, axis=1))[0])

    def energy_and_force(length: float) -> tuple[float, np.ndarray]:
        moments[atom] = length * np.array([0.6, 0.0, 0.8])
        atoms.set_initial_magnetic_moments(moments)
        out = results(model, atoms)
        return float(out["energy"]), out["magnetic_forces"][atom]

    at_zero, force = energy_and_force(0.0)
    assert np.isfinite(force).all()
    for step in (1e-3, -1e-3):
        energy, _ = energy_and_force(step)
        linear = at_zero - step * force @ np.array([0.6, 0.0, 0.8])
        assert abs(energy - linear) < 1e-5  # second order in the step


def test_predicted_lengths_are_positive_and_depend_on_the_other_spins() -> None:
    model = small_model(terms=["exchange", "tenn"], moment_mode="predicted")
    atoms = structure()
    before = results(model, atoms)["moment_lengths"]
    magnetic = np.linalg.norm(atoms.get_initial_magnetic_moments(), axis=1) > 0
    assert (before[magnetic] > 0).all()
    assert np.array_equal(before[~magnetic], np.zeros((~magnetic).sum()))
    moments = atoms.get_initial_magnetic_moments()
    moments[0] = -moments[0]
    atoms.set_initial_magnetic_moments(moments)
    assert np.abs(results(model, atoms)["moment_lengths"] - before).max() > 1e-6


def test_each_pair_of_magnetic_types_has_its_baseline() -> None:
    """Magnetic types in another order than all types, and one that is not magnetic."""
    triangle = Atoms("NiOH", [[0, 0, 0], [2.5, 0, 0], [1.25, 2.5 * 0.75**0.5, 0]])
    triangle.set_cell([30] * 3)
    triangle.pbc = True
    model = small_model(
        type_names=["C", "H", "Ni", "O"],
        magnetic_types=["O", "Ni", "H"],
        moments={"Ni": 1.0, "O": 1.0, "H": 1.0},
        exchange_baseline={"Ni-O": [0.01], "H-Ni": [0.03]},
        exchange_scale=0.0,
        spin_orbit_coupling=False,
        terms=["exchange"],
        biquadratic_baseline=None,
        longitudinal_baseline=None,
        lattice_baseline=None,
        magnetic_force_scale=None,
        per_type_energy_shifts=0.0,
    )
    exchange = model_couplings(model, triangle).exchange
    j = {tuple(sorted(pair[:2])): tensor[0, 0] for pair, tensor in exchange.items()}
    assert abs(j[0, 1]) > 1e-4
    assert j[0, 2] == pytest.approx(3 * j[0, 1])
    assert j[1, 2] == 0.0
