"""What the terms of pairs share: a hidden layer, and the spins at both ends."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction

from spinff import fields
from spinff.nn import _keys

SILU_GAIN = 1.6765
"""1/√⟨silu(x)²⟩ for x of the normal distribution."""


@compile_mode("script")
class PairHidden(GraphModuleMixin, torch.nn.Module):
    """One hidden layer over the scalars of the magnetic edges.

    Every coupling of a pair is linear in it: an MLP for each would cost as much again.

    Args:
        width: of the layer.
        irreps_in: of the module before.
    """

    def __init__(self, *, width: int, irreps_in: dict[str, Irreps]) -> None:
        """Build the layer."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_SCALARS_KEY],
            irreps_out={_keys.PAIR_HIDDEN_KEY: Irreps([(width, (0, 1))])},
        )
        num_scalars = self.irreps_in[_keys.PAIR_SCALARS_KEY].num_irreps
        self.linear = ScalarMLPFunction(num_scalars, width)
        self._gain = SILU_GAIN

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_HIDDEN (M, width)."""
        hidden = torch.nn.functional.silu(self.linear(data[_keys.PAIR_SCALARS_KEY]))
        data[_keys.PAIR_HIDDEN_KEY] = self._gain * hidden
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
