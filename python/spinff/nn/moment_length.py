"""Lengths of the moments, predicted from geometry and directions."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter

from spinff import fields
from spinff.nn import _keys


@compile_mode("script")
class MomentLengths(GraphModuleMixin, torch.nn.Module):
    """|m_i| = m_ref(species) · exp(x_i), x_i a sum over the TENN's edges of atom i.

    Positive whatever the network says, and the species' length where it says nothing.

    Args:
        type_names: all types of the model.
        moments: (magnetic type) -> reference length, µB; other types get zero.
        num_scalars: width of the TENN's scalars.
        avg_num_neighbors: normalises the sum.
        mlp_hidden_layers_width: of the readout MLP.
        irreps_in: of the module before.
    """

    reference: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        moments: dict[str, float],
        num_scalars: int,
        avg_num_neighbors: float,
        mlp_hidden_layers_width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            irreps_out={fields.MOMENT_LENGTHS_KEY: Irreps("0e")},
        )
        self._norm = float(avg_num_neighbors) ** -0.5
        self.mlp = ScalarMLPFunction(
            input_dim=num_scalars,
            output_dim=1,
            hidden_layers_depth=1,
            hidden_layers_width=mlp_hidden_layers_width,
        )
        reference = [moments.get(name, 0.0) for name in type_names]
        self.register_buffer("reference", torch.tensor(reference, dtype=torch.float64))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add MOMENT_LENGTHS (N, 1) µB."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        centre = torch.index_select(
            data[AtomicDataDict.EDGE_INDEX_KEY][0], 0, data[fields.MAGNETIC_EDGES_KEY]
        )
        exponent = scatter(
            self._norm * self.mlp(data[_keys.TENN_SCALARS_KEY]).to(torch.float64),
            centre,
            dim=0,
            dim_size=types.size(0),
        )
        reference = torch.index_select(self.reference, 0, types).unsqueeze(-1)
        data[fields.MOMENT_LENGTHS_KEY] = reference * exponent.exp()
        return data
