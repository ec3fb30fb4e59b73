"""Layers against slow, plain references."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from allegro.nn._strided import Contracter
from e3nn import o3
from nequip.nn.embedding import PolynomialCutoff as NequipCutoff
from nequip.utils.dtype import torch_default_dtype

from spinff.errors import SpinffError
from spinff.irreps import (
    AnyIrrep,
    SpinSpaceIrrep,
    TIrrep,
    TIrreps,
    irrep_list,
    tensor_product_paths,
)
from spinff.nn import EnvironmentContraction, magnetic_edge_indices
from spinff.nn.radial import PolynomialCutoff
from spinff.nn.tensor_layers import _tensor_tracks
from spinff.nn.terms import LinearBaseline, exchange_irreps
from spinff.nn.terms.baseline import pair_types
from spinff.nn.terms.exchange import cartesian_basis
from spinff.nn.terms.pairs import SILU_GAIN
from spinff.nn.topology import slots


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.manual_seed(0)
    with torch_default_dtype(torch.float64):
        yield


def test_contraction_equals_allegros() -> None:
    left = TIrreps("1x0ee + 1x1oe + 1x1ee + 1x2ee")
    right = TIrreps("1x0ee + 1x1oe + 1x2ee")
    out = TIrreps("1x0ee + 1x1oe + 1x1ee + 1x2ee")
    channels, edges, atoms = 3, 40, 5
    ours = EnvironmentContraction(left, right, out, channels)
    theirs = Contracter(
        left.e3,
        right.e3,
        out.e3,
        mul=channels,
        instructions=tensor_product_paths(left, right, out),
    )
    paths = tensor_product_paths(left, right, out)
    fan_in = torch.tensor([sum(p[2] == path[2] for p in paths) for path in paths])
    theirs.weights.data = ours.weights.data / fan_in.sqrt()
    centre = torch.randint(0, atoms, (edges,))  # in no order
    x1 = torch.randn(edges, channels, left.dim)
    x2 = torch.randn(atoms, channels, right.dim)
    slot, table = slots(centre, atoms)
    torch.testing.assert_close(
        ours(x1, x2, slot, table), theirs(x1, x2, centre), rtol=1e-12, atol=1e-12
    )


def test_slots_keep_each_edge_in_the_row_of_its_centre() -> None:
    centre = torch.tensor([2, 0, 2, 2, 0])
    slot, table = slots(centre, 4)
    rows = [[1, 4, -1], [-1, -1, -1], [0, 2, 3], [-1, -1, -1]]
    assert table.T.tolist() == rows
    assert torch.equal(table.flatten()[slot], torch.arange(5))


def test_time_reversal_parity_filters_paths() -> None:
    spin = TIrreps("1x1eo")
    assert EnvironmentContraction(spin, spin, TIrreps("1x0ee"), 2).weights.size(1) == 1
    assert tensor_product_paths(spin, spin, TIrreps("1x1eo")) == []


def test_exchange_irreps_with_and_without_spin_orbit_coupling() -> None:
    assert str(exchange_irreps(True)) == "1x0ee + 1x1ee + 1x2ee"
    assert str(exchange_irreps(False)) == "1x0ee"


def test_cartesian_parts_are_isotropic_antisymmetric_and_symmetric_traceless() -> None:
    basis = cartesian_basis(exchange_irreps(True)).view(9, 3, 3)
    torch.testing.assert_close(basis[0], torch.eye(3))
    for part in basis[1:4]:
        torch.testing.assert_close(part, -part.T)
    for part in basis[4:]:
        torch.testing.assert_close(part, part.T)
        assert abs(part.trace()) < 1e-14
    gram = basis[1:].reshape(8, 9) @ basis[1:].reshape(8, 9).T
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), atol=1e-14, rtol=0)


def test_cartesian_basis_rotates_as_a_tensor() -> None:
    irreps = exchange_irreps(True)
    basis = cartesian_basis(irreps)
    rotation = o3.rand_matrix()
    components = torch.randn(9)
    tensor = (components @ basis).view(3, 3)
    rotated = irreps.e3.D_from_matrix(rotation) @ components
    torch.testing.assert_close(
        (rotated @ basis).view(3, 3), rotation @ tensor @ rotation.T
    )


def test_magnetic_edges_have_a_magnetic_type_at_both_ends() -> None:
    edge_index = torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]])
    types = torch.tensor([0, 1, 0])
    picked = magnetic_edge_indices(edge_index, types, torch.tensor([True, False]))
    assert picked.tolist() == [1, 3]


def irreps(text: str) -> list[AnyIrrep]:
    return irrep_list(TIrreps(text))


def test_irreps_that_no_layer_reaches_are_a_sentence() -> None:
    scalar = irreps("1x0ee")
    with pytest.raises(SpinffError, match="raise l_max or num_layers"):
        _tensor_tracks(scalar, scalar, scalar, irrep_list(exchange_irreps(True)), 1)


def test_layers_drop_tensors_that_lead_nowhere() -> None:
    harmonics = irreps("1x0ee + 1x1oe + 1x2ee")
    both = irreps("1x0ee + 1x0oe + 1x1oe + 1x1ee + 1x2ee + 1x2oe")
    tracks = _tensor_tracks(harmonics, harmonics, both, irreps("1x0ee"), 2)
    assert tracks == [harmonics, harmonics, irreps("1x0ee")]
    # the channels' values stay finite at the size Allegro expects
    values = EnvironmentContraction(harmonics, harmonics, both, 2).entry_values
    assert np.isfinite(values.numpy()).all()


# === spins and lattice turned apart ===


def test_separate_rotations_couple_lattice_with_lattice_and_spin_with_spin() -> None:
    bond, spin = TIrrep("1oe"), TIrrep("1eo")
    both = SpinSpaceIrrep(bond, spin)
    products = both * both
    assert SpinSpaceIrrep(TIrrep("0ee"), TIrrep("0ee")) in products
    assert len(products) == 9
    assert str(both) == "1oe|1eo"
    assert both.dim == 9


def test_product_of_separate_rotations_is_equivariant_under_both() -> None:
    left = [SpinSpaceIrrep(TIrrep("1oe"), TIrrep("1eo"))]
    out = [SpinSpaceIrrep(TIrrep("2ee"), TIrrep("1ee"))]
    contraction = EnvironmentContraction(left, left, out, 1)
    space, spin = o3.rand_matrix(), o3.rand_matrix()

    def turned(x: torch.Tensor, l_space: int, l_spin: int) -> torch.Tensor:
        d = [
            o3.Irrep(degree, 1).D_from_matrix(matrix)
            for degree, matrix in ((l_space, space), (l_spin, spin))
        ]
        return x @ torch.kron(*d).T

    x1, x2 = torch.randn(4, 1, 9), torch.randn(2, 1, 9)
    slot, table = slots(torch.tensor([0, 0, 1, 1]), 2)
    before = contraction(x1, x2, slot, table)
    after = contraction(turned(x1, 1, 1), turned(x2, 1, 1), slot, table)
    torch.testing.assert_close(after, turned(before, 2, 1))
    # control: one rotation for both is not what it is equivariant to
    assert not torch.allclose(after, before)


@pytest.mark.parametrize("p", [2, 3, 6, 7, 9])
def test_cutoff_polynomial_equals_nequips(p: float) -> None:
    x = torch.linspace(0.01, 1.2, 50).requires_grad_(True)
    values = PolynomialCutoff(p)(x)
    expected = NequipCutoff(p)(x)
    torch.testing.assert_close(values, expected)
    slopes, expected_slopes = (
        torch.autograd.grad(v.sum(), x)[0] for v in (values, expected)
    )
    torch.testing.assert_close(slopes, expected_slopes)


@pytest.mark.parametrize("p", [1, 5.5])
def test_cutoff_polynomial_needs_a_whole_power(p: float) -> None:
    with pytest.raises(SpinffError, match=rf"'polynomial_cutoff_p' is wrong, got {p}"):
        PolynomialCutoff(p)


def test_more_coefficients_than_radial_functions_are_a_sentence() -> None:
    with pytest.raises(SpinffError, match=r"Ni-Ni.*got 5, expected num_bessels = 4"):
        LinearBaseline(["Ni", "O"], {"Ni-Ni": [0.1] * 5}, 4)


def test_a_shorter_baseline_leaves_the_other_functions_out() -> None:
    baseline = LinearBaseline(["Ni", "O"], {"O-Ni": [0.5, 0.25]}, 4)
    types = pair_types(
        torch.tensor([0, 1]), torch.tensor([[0, 1, 0], [1, 0, 0]]), num_types=2
    )
    basis = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64).expand(3, 4)
    assert baseline(basis, types).view(-1).tolist() == [1.0, 1.0, 0.0]


def test_the_hidden_layer_of_pairs_keeps_the_size_of_its_input() -> None:
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).double()
    size = (SILU_GAIN * torch.nn.functional.silu(x)).square().mean()
    assert float(size) == pytest.approx(1.0, abs=5e-3)


def test_a_baseline_of_types_that_are_not_there_is_a_sentence() -> None:
    with pytest.raises(SpinffError, match=r"Ni-O: no such pair.*expected two of Ni,"):
        LinearBaseline(["Ni", "Co"], {"Ni-O": [0.1]}, 4)
