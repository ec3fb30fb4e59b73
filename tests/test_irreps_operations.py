"""Algebra of T-graded irreps, matrices of operations, spherical harmonics."""

import doctest
import pickle

import pytest
import torch
from e3nn import o3 as e3nn_o3
from hypothesis import given, settings
from hypothesis import strategies as st

from spinff.errors import SpinffError
from spinff.irreps import (
    BondHarmonics,
    Operation,
    SpinHarmonics,
    TIrrep,
    TIrreps,
    _tirreps,
    o3,
    tensor_product,
)
from spinff.irreps.o3 import SphericalHarmonics, spherical_harmonics
from spinff.irreps.operations import wigner_D

TOLERANCE = 1e-12
EYE = torch.eye(3, dtype=torch.float64)

irreps = st.builds(
    TIrrep, st.integers(0, 4), st.sampled_from([1, -1]), st.sampled_from([1, -1])
)
lists = st.builds(TIrreps, st.lists(st.tuples(st.integers(0, 2), irreps), max_size=3))
operations = st.builds(Operation.random, st.integers(0, 10_000))


def vectors(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(7, 3, generator=generator, dtype=torch.float64)


def largest(difference: torch.Tensor) -> float:
    return float(difference.abs().max()) if difference.numel() else 0.0


# === direct sums and products ===


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(_tirreps).attempted > 3
    assert doctest.testmod(_tirreps).failed == 0


@given(lists, lists)
def test_sum_appends_and_product_multiplies_dimensions(a: TIrreps, b: TIrreps) -> None:
    assert (a + b).dim == a.dim + b.dim
    assert (a + b)[: len(a)] == a
    assert (a * b).dim == a.dim * b.dim
    assert a * b == b * a == tensor_product(a, b)


@given(lists)
def test_order_and_layout(a: TIrreps) -> None:
    assert a.simplify().dim == a.dim
    result = a.sort()
    assert [a[n] for n in result.inv] == list(result.irreps)
    assert [result.irreps[n] for n in result.p] == list(a)
    assert a.regroup().sort().irreps == a.regroup()
    assert [s.stop - s.start for s in a.slices()] == [item.dim for item in a]
    assert a.num_irreps == sum(a.count(ir) for ir in set(a.irreps()))
    assert a.slices() == a.e3.slices()


@given(lists)
def test_integers_repeat_and_text_compares(a: TIrreps) -> None:
    assert (3 * a).dim == (a * 3).dim == 3 * a.dim
    assert a == str(a)
    assert not a != str(a)
    assert pickle.loads(pickle.dumps(a)) == a


def test_members_by_name() -> None:
    both = 2 * TIrrep("1eo") + "1oe"
    assert both == "2x1eo + 1x1oe"
    assert both.count("1eo") == 2
    assert "1eo" in both
    assert "1ee" not in both
    assert both.lmax == 1
    assert both[0].mul == 2
    assert TIrrep("0ee").is_scalar()
    assert not TIrrep("0eo").is_scalar()
    assert TIrreps() == "" == TIrreps(None)


def test_the_highest_degree_of_nothing_is_a_sentence() -> None:
    with pytest.raises(SpinffError, match="lmax of an empty list"):
        TIrreps("").lmax  # noqa: B018


# === matrices of operations ===


@settings(deadline=None)  # the first call makes the coefficients
@given(irreps, operations, operations)
def test_representation_of_a_product_of_operations(
    ir: TIrrep, first: Operation, second: Operation
) -> None:
    product = ir.D(second @ first)
    assert largest(product - ir.D(second) @ ir.D(first)) < TOLERANCE
    identity = torch.eye(ir.dim, dtype=torch.float64)
    assert largest(ir.D(first) @ ir.D(first).T - identity) < TOLERANCE


@settings(deadline=None)  # the first call makes the coefficients
@given(irreps, irreps, operations)
def test_clebsch_gordan_turns_a_product_into_its_irreps(
    a: TIrrep, b: TIrrep, op: Operation
) -> None:
    for ir in a * b:
        w3j = e3nn_o3.wigner_3j(a.l, b.l, ir.l, dtype=torch.float64)
        turned = torch.einsum("ijk,ai,bj->abk", w3j, a.D(op), b.D(op))
        assert largest(turned - torch.einsum("abk,kc->abc", w3j, ir.D(op))) < TOLERANCE


@settings(max_examples=20, deadline=None)  # matrices of some hundred rows
@given(lists, lists, operations)
def test_trace_of_sum_and_product(a: TIrreps, b: TIrreps, op: Operation) -> None:
    """Characters fix a representation up to a change of basis."""
    traces = a.D(op).trace(), b.D(op).trace()
    assert abs((a + b).D(op).trace() - sum(traces)) < TOLERANCE
    assert abs((a * b).D(op).trace() - traces[0] * traces[1]) < 1e-11


def test_vectors_turn_as_their_matrices_say() -> None:
    for seed in range(4):
        op = Operation.random(seed)
        assert torch.equal(TIrrep("1oe").D(op), op.on_polar)
        assert torch.equal(TIrrep("1eo").D(op), op.on_axial_odd)


def test_rotations_agree_with_e3nn() -> None:
    rotation = Operation.random(5).rotation
    for degree in range(7):
        theirs = e3nn_o3.Irrep(degree, 1).D_from_matrix(rotation)
        # e3nn keeps its tables in torch's default type, single precision here
        assert largest(wigner_D(degree, rotation) - theirs) < 1e-6


def test_random_operations_repeat_and_cover_every_sign() -> None:
    assert torch.equal(Operation.random(3).rotation, Operation.random(3).rotation)
    signs = {
        (op.inversion, op.time_reversal) for op in map(Operation.random, range(20))
    }
    assert len(signs) == 4


@pytest.mark.parametrize("rotation", [-EYE, 1.001 * EYE, EYE + 0.1, float("nan") * EYE])
def test_what_is_no_rotation_is_a_sentence(rotation: torch.Tensor) -> None:
    with pytest.raises(SpinffError, match="no proper rotation"):
        Operation(rotation)


def test_a_matrix_of_another_shape_is_a_sentence() -> None:
    with pytest.raises(SpinffError, match=r"got \(2, 2\), expected \(3, 3\)"):
        Operation(torch.eye(2))


# === harmonics ===


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("harmonics", [BondHarmonics(4), SpinHarmonics(4)])
def test_harmonics_transform_as_declared(
    harmonics: BondHarmonics | SpinHarmonics, seed: int
) -> None:
    op, x = Operation.random(seed), vectors()
    before, after = harmonics(x), harmonics(x @ harmonics.irreps_in.D(op).T)
    assert largest(after - before @ harmonics.irreps_out.D(op).T) < 1e-10


def test_harmonics_of_a_bond_forget_its_length_and_those_of_a_moment_do_not() -> None:
    x = vectors()
    bond, spin = BondHarmonics(3), SpinHarmonics(3)
    assert largest(bond(2 * x) - bond(x)) < TOLERANCE
    powers = torch.tensor([2.0**ir.l for ir in spin.irreps_out.irreps()])
    scale = powers.repeat_interleave(torch.tensor([1, 3, 5, 7]))
    assert largest(spin(2 * x) - scale * spin(x)) < 1e-10


def test_harmonics_of_a_moment_are_smooth_where_it_vanishes() -> None:
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    value = SpinHarmonics(3)(zero)
    assert torch.equal(value, torch.tensor([1.0] + 15 * [0.0], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(value[2], zero, create_graph=True)
    assert torch.equal(gradient, 3**0.5 * torch.tensor([0, 1, 0], dtype=torch.float64))
    # the control: of the direction alone there is no derivative to speak of
    (steep,) = torch.autograd.grad(BondHarmonics(1)(zero)[2], zero)
    assert steep.abs().max() > 1e6


def test_harmonics_find_what_kind_of_vector_it_is() -> None:
    assert SphericalHarmonics("0ee + 1oe", True).irreps_in == "1oe"
    assert SphericalHarmonics("1eo + 2ee", False).irreps_in == "1eo"
    assert SphericalHarmonics([0, 2], False, irreps_in="1eo").irreps_out == "0ee + 2ee"
    assert SphericalHarmonics(3, True).irreps_out == "3oe"
    x = vectors()
    assert torch.equal(
        spherical_harmonics("1oe", x, True, "component"),
        o3.spherical_harmonics(1, x, True, "component"),
    )
    with pytest.raises(SpinffError, match="irreps that no vector has"):
        SphericalHarmonics("1eo + 1oe", True)
    with pytest.raises(SpinffError, match="irreps that 1oe has, got 1x1eo"):
        SphericalHarmonics("1eo", True, irreps_in="1oe")


def test_control_a_basis_of_degree_two_that_is_not_orthonormal_is_seen() -> None:
    """x² − y² without its factor ½ spans the same space and is no irrep."""
    x, op = vectors(), Operation.random(1)

    def harmonics(x: torch.Tensor, factor: float) -> torch.Tensor:
        u, v, w = x.T
        root3 = 3**0.5
        return torch.stack(
            [
                root3 * u * w,
                root3 * u * v,
                v * v - 0.5 * (u * u + w * w),
                root3 * v * w,
                factor * root3 * (w * w - u * u),
            ],
            dim=1,
        )

    def error(factor: float) -> float:
        turned = harmonics(x @ op.on_polar.T, factor)
        return largest(turned - harmonics(x, factor) @ TIrrep("2ee").D(op).T)

    assert error(0.5) < TOLERANCE
    assert error(1.0) > 0.1


# === names of e3nn ===


def test_what_e3nn_has_and_time_reversal_has_not_is_a_sentence() -> None:
    with pytest.raises(SpinffError, match=r"no version .* e3nn\.o3\.TensorSquare"):
        from spinff.irreps.o3 import TensorSquare  # noqa: F401
    with pytest.raises(SpinffError, match=r"no version .* e3nn\.nn\.BatchNorm"):
        from spinff.irreps.nn import BatchNorm  # noqa: F401
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        o3.nonsense  # noqa: B018
    assert o3.wigner_3j is e3nn_o3.wigner_3j
