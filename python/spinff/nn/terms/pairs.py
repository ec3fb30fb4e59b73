"""What the terms of pairs share."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import math

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction

from spinff import fields
from spinff.nn import _keys
from spinff.nn.terms.baseline import pair_types

SILU_GAIN = 1.6765
"""1/√⟨silu(x)²⟩ for x of the normal distribution."""


@compile_mode("script")
class PairReadout(torch.nn.Module):
    """Linear in the hidden layer of magnetic edges.

    Args:
        width: of the hidden layer.
        outputs: how many.
        scale: size of the outputs at the start, for a hidden layer of ``PairInputs``.
    """

    norm: torch.Tensor

    def __init__(self, width: int, outputs: int, scale: float) -> None:
        """Draw the weights."""
        super().__init__()
        limit = math.sqrt(3.0)  # variance 1
        self.weight = torch.nn.Parameter(
            torch.empty(width, outputs).uniform_(-limit, limit)
        )
        self.register_buffer("norm", torch.tensor(scale * SILU_GAIN * width**-0.5))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(M, width) -> (M, outputs)."""
        return torch.mm(hidden, self.norm * self.weight)


@compile_mode("script")
class PairInputs(GraphModuleMixin, torch.nn.Module):
    """What the couplings of a magnetic edge are linear in.

    One hidden layer over its scalars, which all terms share (an MLP for each would cost
    as much again), its radial functions and, for their baselines, its kind.

    Args:
        type_names: all types of the model.
        magnetic_types: those that carry a moment.
        width: of the hidden layer.
        irreps_in: of the module before.
    """

    magnetic_number: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        magnetic_types: list[str],
        width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the layer."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_SCALARS_KEY, _keys.EDGE_BASIS_KEY],
        )
        self.irreps_out.update(
            {
                _keys.PAIR_HIDDEN_KEY: Irreps([(width, (0, 1))]),
                _keys.PAIR_BASIS_KEY: self.irreps_in[_keys.EDGE_BASIS_KEY],
                _keys.PAIR_TYPE_KEY: None,
            }
        )
        self.num_types = len(magnetic_types)
        numbers = [
            magnetic_types.index(name) if name in magnetic_types else -1
            for name in type_names
        ]
        self.register_buffer("magnetic_number", torch.tensor(numbers))
        num_scalars = self.irreps_in[_keys.PAIR_SCALARS_KEY].num_irreps
        self.linear = ScalarMLPFunction(num_scalars, width)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_HIDDEN (M, width), PAIR_BASIS (M, functions), PAIR_TYPE (M,)."""
        edges = data[fields.MAGNETIC_EDGES_KEY]
        hidden = torch.nn.functional.silu(self.linear(data[_keys.PAIR_SCALARS_KEY]))
        data[_keys.PAIR_HIDDEN_KEY] = hidden
        if _keys.PAIR_BASIS_KEY not in data:
            data[_keys.PAIR_BASIS_KEY] = torch.index_select(
                data[_keys.EDGE_BASIS_KEY], 0, edges
            )
        if self.num_types == 1:
            data[_keys.PAIR_TYPE_KEY] = torch.zeros_like(edges)
        else:
            types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
            data[_keys.PAIR_TYPE_KEY] = pair_types(
                torch.index_select(self.magnetic_number, 0, types),
                torch.index_select(data[AtomicDataDict.EDGE_INDEX_KEY], 1, edges),
                self.num_types,
            )
        return data


def pair_spins(
    data: AtomicDataDict.Type,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre i (M,), s_i (M, 3) and s_j (M, 3) of each magnetic edge i→j."""
    spins = data[fields.SPINS_KEY]
    edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
    edges = data[fields.MAGNETIC_EDGES_KEY]
    centre = torch.index_select(edge_index[0], 0, edges)
    neighbour = torch.index_select(edge_index[1], 0, edges)
    return (
        centre,
        torch.index_select(spins, 0, centre),
        torch.index_select(spins, 0, neighbour),
    )
