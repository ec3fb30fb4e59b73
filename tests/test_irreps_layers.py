"""Layers over (l, p, t) features: equivariance, and controls that must fail."""

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import e3nn.nn
import e3nn.o3
import pytest
import torch
from e3nn.util.jit import script

from spinff.errors import SpinffError
from spinff.irreps import Operation, TIrreps, nn, o3

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "irreps"))
import convert_e3nn

TOLERANCE = 1e-12
TIME_REVERSAL = Operation(torch.eye(3), time_reversal=True)
FEATURES = TIrreps("4x0ee + 3x0eo + 2x0oe + 2x1oe + 3x1eo + 2x1ee + 1x2ee + 2x2eo")

silu = torch.nn.functional.silu


def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def inputs_of(layer: torch.nn.Module) -> list[TIrreps]:
    if isinstance(layer, o3.TensorProduct):
        return [layer.irreps_in1, layer.irreps_in2]
    return [layer.irreps_in]


@torch.no_grad()
def equivariance_error(
    layer: Callable[..., torch.Tensor],
    irreps_in: list[TIrreps],
    irreps_out: TIrreps,
    op: Operation,
) -> float:
    """Largest error of f(g x) against g f(x)."""
    x = [torch.randn(6, irreps.dim) for irreps in irreps_in]
    turned = [a @ irreps.D(op).T for a, irreps in zip(x, irreps_in, strict=True)]
    return float((layer(*turned) - layer(*x) @ irreps_out.D(op).T).abs().max())


LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "linear": lambda: o3.Linear(FEATURES, FEATURES + "5x1eo", biases=True),
    "tensor product": lambda: o3.TensorProduct(
        "2x1eo + 2x1oe",
        "2x1eo",
        "2x0ee + 2x1oo",
        [(0, 0, 0, "uuu", True), (1, 0, 1, "uuu", True)],
    ),
    "fully connected": lambda: o3.FullyConnectedTensorProduct(
        FEATURES, "1x0ee + 1x1oe + 1x1eo", FEATURES
    ),
    "full": lambda: o3.FullTensorProduct("0ee + 1eo + 1ee", "1oe + 1oo"),
    "full, filtered": lambda: o3.FullTensorProduct("1eo + 1ee", "1eo", ["0ee"]),
    "elementwise": lambda: o3.ElementwiseTensorProduct(
        "3x1eo + 2x2ee", "2x1eo + 3x0eo"
    ),
    "activation": lambda: nn.Activation(
        "4x0ee + 3x0eo + 2x0oo + 2x1eo", [silu, square, torch.tanh, None]
    ),
    "norm": lambda: o3.Norm(FEATURES, squared=True),
    "norm activation": lambda: nn.NormActivation(FEATURES, torch.tanh),
    "gate": lambda: nn.Gate(
        "4x0ee + 2x0eo + 2x0oo",
        [silu, torch.tanh, torch.abs],
        "2x0ee + 3x0eo + 1x0oo",
        [torch.sigmoid, torch.tanh, torch.tanh],
        "3x1eo + 2x1oe + 1x2eo",
    ),
    "gate without vectors": lambda: nn.Gate("4x0ee", [silu], "", [], ""),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> torch.nn.Module:
    module = LAYERS[request.param]()
    for name, parameter in module.named_parameters():
        if name == "bias":
            torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("seed", range(4))
def test_equivariance(layer: torch.nn.Module, seed: int) -> None:
    op = Operation.random(seed)
    assert equivariance_error(layer, inputs_of(layer), layer.irreps_out, op) < TOLERANCE
    assert (
        equivariance_error(layer, inputs_of(layer), layer.irreps_out, TIME_REVERSAL)
        < TOLERANCE
    )


def test_scripted_copied_and_pickled_layers_are_the_same(
    layer: torch.nn.Module,
) -> None:
    x = [torch.randn(5, irreps.dim) for irreps in inputs_of(layer)]
    expected = layer(*x)
    assert expected.shape == (5, layer.irreps_out.dim)
    assert torch.equal(copy.deepcopy(layer)(*x), expected)
    assert torch.equal(script(layer, in_place=False)(*x), expected)


def test_a_pickled_layer_keeps_its_irreps() -> None:
    layer = o3.Linear(FEATURES, FEATURES)
    assert pickle.loads(pickle.dumps(layer)).irreps_out == FEATURES


def test_without_odd_features_layers_are_those_of_e3nn() -> None:
    even = TIrreps("4x0ee + 2x0oe + 3x1oe + 2x1ee + 1x2ee")
    own = o3.FullyConnectedTensorProduct(even, "0ee + 1oe", even)
    theirs = e3nn.o3.FullyConnectedTensorProduct(even.e3, "0e + 1o", even.e3)
    theirs.load_state_dict(own.state_dict())
    x, y = torch.randn(3, even.dim), torch.randn(3, 4)
    assert torch.equal(own(x, y), theirs(x, y))
    arguments = "4x0e", [silu], "5x0e", [torch.sigmoid], "3x1o + 2x1e"
    gate, other = nn.Gate(*arguments), e3nn.nn.Gate(*arguments)
    x = torch.randn(3, gate.irreps_in.dim)
    assert gate.irreps_in.e3 == other.irreps_in
    assert torch.equal(gate(x), other(x))


# === controls: each fault is seen ===


@pytest.mark.parametrize(
    "build",
    [
        lambda a, b: (e3nn.o3.Linear(a.e3, a.e3), [a], a),
        lambda a, b: (
            e3nn.o3.FullyConnectedTensorProduct(a.e3, b.e3, a.e3),
            [a, b],
            a,
        ),
    ],
    ids=["linear", "tensor product"],
)
def test_control_e3nn_without_the_filter_breaks_time_reversal(build: Callable) -> None:  # type: ignore[type-arg]
    layer, irreps_in, irreps_out = build(FEATURES, TIrreps("0ee + 1eo"))
    rotation = Operation(Operation.random(0).rotation, inversion=True)
    assert equivariance_error(layer, irreps_in, irreps_out, rotation) < TOLERANCE
    assert equivariance_error(layer, irreps_in, irreps_out, TIME_REVERSAL) > 0.1


@pytest.mark.parametrize("declared", ["1eo", "1oo"])
def test_control_a_spin_declared_as_a_polar_vector_is_seen(declared: str) -> None:
    """It turns as a moment, whatever it was declared to be."""
    op = Operation(Operation.random(0).rotation, inversion=True, time_reversal=True)
    product = o3.FullyConnectedTensorProduct(declared, "1oe", "0oo + 1oo + 0eo + 1eo")
    spins, bonds = torch.randn(6, 3), torch.randn(6, 3)
    turned = product(spins @ op.on_axial_odd.T, bonds @ op.on_polar.T)
    expected = product(spins, bonds) @ product.irreps_out.D(op).T
    error = float((turned - expected).detach().abs().max())
    assert error < TOLERANCE if declared == "1eo" else error > 0.1


def test_control_a_function_without_parity_is_refused_where_e3nn_takes_it() -> None:
    e3nn.nn.Activation(TIrreps("2x0eo").e3, [silu])
    with pytest.raises(SpinffError, match="silu of 0eo, expected an odd one"):
        nn.Activation("2x0eo", [silu])


# === refusals ===


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: o3.Linear("2x0ee + 2x0eo", "0ee", instructions=[(1, 0)]),
            "between different irreps, got .* 0eo to 0ee",
        ),
        (lambda: o3.Linear("0eo", "0eo", biases=[True]), "a bias on .* got 0eo"),
        (
            lambda: o3.TensorProduct("1eo", "1oe", "0ee", [(0, 0, 0, "uuu", True)]),
            r"a forbidden path, got .* 1eo ⊗ 1oe -> 0ee, expected one of 0oo, 1oo, 2oo",
        ),
        (
            lambda: o3.ElementwiseTensorProduct("2x1eo", "3x0ee"),
            "numbers of irreps differ, got 2 .* and 3",
        ),
        (lambda: nn.Activation("0ee + 1eo", [silu]), "got 1 for 2 entries"),
        (lambda: nn.Activation("1eo", [silu]), "with a direction, got silu of 1eo"),
    ],
)
def test_what_breaks_a_symmetry_is_a_sentence(
    build: Callable[[], torch.nn.Module], sentence: str
) -> None:
    with pytest.raises(SpinffError, match=sentence):
        build()


# === e3nn's own network ===


@pytest.fixture(scope="module")
def networks() -> Iterator[dict[str, torch.nn.Module]]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield convert_e3nn.networks()
    torch.set_default_dtype(before)


def test_the_recipe_makes_e3nns_network_equivariant_under_time_reversal(
    networks: dict[str, torch.nn.Module],
) -> None:
    for name, op in convert_e3nn.OPERATIONS.items():
        error = convert_e3nn.equivariance_error(networks["with time reversal"], op)
        assert error < TOLERANCE, name
    before = networks["e3nn"]
    rotation = convert_e3nn.OPERATIONS["rotation"]
    assert convert_e3nn.equivariance_error(before, rotation) < TOLERANCE
    assert convert_e3nn.equivariance_error(before, TIME_REVERSAL) > 0.1


def test_the_converted_network_scripts_and_feels_every_moment(
    networks: dict[str, torch.nn.Module],
) -> None:
    net = networks["with time reversal"]
    data = convert_e3nn.crystal()
    expected = net(data)
    assert (expected.abs() > 1e-6).all()
    turned = convert_e3nn.crystal(Operation(Operation.random(3).rotation))
    alone = {**data, "x": turned["x"], "z": turned["z"]}
    assert (net(alone)[:, 0] - expected[:, 0]).abs() > 1e-6
    net.layers[2] = script(net.layers[2], in_place=False)  # type: ignore[operator]
    assert torch.equal(net(data), expected)
