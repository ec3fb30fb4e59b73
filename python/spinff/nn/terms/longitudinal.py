"""What the length of a moment costs: E_L = Σ_i (a_i s_i² + b_i s_i⁴ + c_i s_i⁶).

The Landau expansion in the moment's length, for models whose moments are an input; its
coefficients depend on the species and, through the network, on the surroundings.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter

from spinff import fields
from spinff.nn import _keys

ORDERS = 3


@compile_mode("script")
class LongitudinalHead(GraphModuleMixin, torch.nn.Module):
    """a, b, c of every magnetic atom.

    Args:
        type_names: all types of the model.
        baseline: (type) -> a, b, c in eV of the species, from ``SpinStatistics``.
        scale: eV; size of the network's part at the start.
        avg_num_neighbors: normalises the sum over edges.
        mlp_hidden_layers_width: of the readout MLP.
        irreps_in: of the module before.
    """

    table: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        baseline: dict[str, list[float]] | None,
        scale: float,
        avg_num_neighbors: float,
        mlp_hidden_layers_width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self._norm = float(scale) * avg_num_neighbors**-0.5
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                _keys.EDGE_LATENT_KEY,
                _keys.SITE_EDGES_KEY,
            ],
            irreps_out={fields.LONGITUDINAL_KEY: None},
        )
        self.mlp = ScalarMLPFunction(
            input_dim=self.irreps_in[_keys.EDGE_LATENT_KEY].num_irreps,
            output_dim=ORDERS,
            hidden_layers_depth=1,
            hidden_layers_width=mlp_hidden_layers_width,
        )
        table = torch.zeros(len(type_names), ORDERS, dtype=torch.float64)
        for name, values in (baseline or {}).items():
            table[type_names.index(name)] = torch.tensor(values, dtype=torch.float64)
        self.register_buffer("table", table)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add LONGITUDINAL (N, 3), eV: a, b and c."""
        centre = data[AtomicDataDict.EDGE_INDEX_KEY][0]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edges = data[_keys.SITE_EDGES_KEY]
        scalars = torch.index_select(data[_keys.EDGE_LATENT_KEY], 0, edges)
        network = scatter(
            self._norm * self.mlp(scalars).to(torch.float64),
            torch.index_select(centre, 0, edges),
            dim=0,
            dim_size=types.size(0),
        )
        data[fields.LONGITUDINAL_KEY] = (
            torch.index_select(self.table, 0, types) + network
        )
        return data


@compile_mode("script")
class LongitudinalEnergy(torch.nn.Module):
    """a s² + b s⁴ + c s⁶ of each atom."""

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        x = data[fields.SPINS_KEY].square().sum(-1, keepdim=True)
        powers = torch.cat([x, x * x, x * x * x], dim=1)
        return (powers * data[fields.LONGITUDINAL_KEY]).sum(1, keepdim=True)
