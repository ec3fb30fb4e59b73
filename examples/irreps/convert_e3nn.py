"""e3nn's own example network, made time-reversal equivariant by three changes.

Reads the source of ``e3nn.nn.models.gate_points_2101`` from the installed e3nn, makes
the changes that docs/irreps.md asks for, imports the result and measures how far each
network, as it was and as changed, is from equivariance. Takes seconds.
"""

from __future__ import annotations

import importlib.util
import inspect
import tempfile
from pathlib import Path
from types import ModuleType

import torch
from e3nn.nn.models import gate_points_2101 as original

from spinff.irreps import Operation, SpinHarmonics, TIrreps

# What to change in code written for e3nn: where irreps come from, and what decides
# whether a function of a scalar must be odd or even.
CHANGES = {
    "from e3nn import o3": "from spinff.irreps import o3",
    "from e3nn.o3 import": "from spinff.irreps.o3 import",
    "from e3nn.nn import": "from spinff.irreps.nn import",
    "[ir.p]": "[min(ir.p, ir.t)]",
}

# A moment enters as a node feature and as a node attribute: attributes multiply
# features, and without a product of two moments there is no exchange.
INPUT = "2x0ee + 1eo"
ATTRIBUTES = "0ee + 1eo + 2ee"
HIDDEN = "8x0ee + 2x0oo + 2x0eo + 4x1oe + 4x1eo + 2x1ee + 2x1oo + 2x2ee + 2x2eo"
OUTPUT = "0ee + 1oe + 1eo"  # an energy, a force, a field on the spins

EYE = torch.eye(3, dtype=torch.float64)
OPERATIONS = {
    "rotation": Operation(Operation.random(1).rotation),
    "inversion": Operation(EYE, inversion=True),
    "time reversal": Operation(EYE, time_reversal=True),
    "all three": Operation(Operation.random(2).rotation, True, True),
}


def converted() -> ModuleType:
    """The module of e3nn after the changes."""
    source = inspect.getsource(original)
    for old, new in CHANGES.items():
        if old not in source:
            raise RuntimeError(f"this e3nn has another gate_points_2101: no {old!r}")
        source = source.replace(old, new)
    # a file, because TorchScript reads the source of what it compiles
    path = Path(tempfile.mkdtemp()) / "gate_points_with_time_reversal.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(module: ModuleType, *, time_reversal: bool) -> torch.nn.Module:
    """The example network on magnetic atoms, with or without the third letter."""

    def irreps(text: str) -> object:
        return TIrreps(text) if time_reversal else TIrreps(text).e3

    torch.manual_seed(0)
    return module.Network(
        irreps_in=irreps(INPUT),
        irreps_hidden=irreps(HIDDEN),
        irreps_out=irreps(OUTPUT),
        irreps_node_attr=irreps(ATTRIBUTES),
        irreps_edge_attr=irreps("0ee + 1oe + 2ee"),
        layers=2,
        max_radius=3.0,
        number_of_basis=6,
        radial_layers=1,
        radial_neurons=16,
        num_neighbors=5.0,
        num_nodes=6.0,
    )


def crystal(operation: Operation | None = None) -> dict[str, torch.Tensor]:
    """Six atoms of two species with moments, before or after an operation."""
    generator = torch.Generator().manual_seed(4)
    positions = 1.5 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    moments = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    if operation is not None:
        positions = positions @ operation.on_polar.T
        moments = moments @ operation.on_axial_odd.T
    species = torch.eye(2, dtype=torch.float64).repeat(3, 1)
    return {
        "pos": positions,
        "x": torch.cat([species, moments], dim=1),
        "z": SpinHarmonics(2)(moments),
    }


@torch.no_grad()
def equivariance_error(net: torch.nn.Module, operation: Operation) -> float:
    """Largest error of f(g x) against g f(x), over the largest output."""
    expected = net(crystal()) @ TIrreps(OUTPUT).D(operation).T
    return float(
        (net(crystal(operation)) - expected).abs().max() / expected.abs().max()
    )


def networks() -> dict[str, torch.nn.Module]:
    """The network of e3nn and the changed one."""
    return {
        "e3nn": network(original, time_reversal=False),
        "with time reversal": network(converted(), time_reversal=True),
    }


def main() -> None:
    """Print the table."""
    torch.set_default_dtype(torch.float64)
    print(f"{'equivariance error':20}" + "".join(f"{op:>16}" for op in OPERATIONS))
    for name, net in networks().items():
        errors = (equivariance_error(net, op) for op in OPERATIONS.values())
        print(f"{name:20}" + "".join(f"{error:16.1e}" for error in errors))


if __name__ == "__main__":
    main()
