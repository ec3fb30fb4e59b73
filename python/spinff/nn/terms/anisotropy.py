"""Single-ion anisotropy: E_A = Σ_i s_iᵀ A_i s_i, A symmetric and traceless (2e).

The trace of A would not depend on the direction of a spin; it is the lattice's (or,
with moments of any length, the longitudinal term's).
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter

from spinff import fields
from spinff.irreps import TIrrep, TIrreps
from spinff.irreps._spin_space import slices
from spinff.nn import _keys
from spinff.nn.terms.exchange import cartesian_basis


@compile_mode("script")
class AnisotropyHead(GraphModuleMixin, torch.nn.Module):
    """A of every magnetic atom: 2e tensors summed over all edges of the atom.

    Args:
        type_names: all types of the model.
        magnetic_types: those that carry a moment; other atoms get zero.
        scale: eV; multiplies the tensors, which are about 1e-3.
        tensor_irreps: of the edge tensors; 2ee is among them.
        num_tensor_features: channels of the edge tensors.
        avg_num_neighbors: normalises the sum.
        mlp_hidden_layers_width: of the readout MLP.
        irreps_in: of the module before.
    """

    is_magnetic: torch.Tensor
    to_cartesian: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        magnetic_types: list[str],
        scale: float,
        tensor_irreps: TIrreps,
        num_tensor_features: int,
        avg_num_neighbors: float,
        mlp_hidden_layers_width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_FEATURES_KEY,
                _keys.EDGE_TENSORS_KEY,
            ],
            irreps_out={fields.ANISOTROPY_KEY: None},
        )
        self.channels = num_tensor_features
        irreps = list(tensor_irreps.irreps())
        block = slices(irreps)[irreps.index(TIrrep("2ee"))]
        self._tensor_dim, self._start = tensor_irreps.dim, int(block.start)
        self._norm = float(scale) * (num_tensor_features * avg_num_neighbors) ** -0.5
        self.mlp = ScalarMLPFunction(
            input_dim=self.irreps_in[AtomicDataDict.EDGE_FEATURES_KEY].num_irreps,
            output_dim=num_tensor_features,
            hidden_layers_depth=1,
            hidden_layers_width=mlp_hidden_layers_width,
        )
        # beside the MLP's, as those of D and Γ in the exchange
        self.tensor_weights = torch.nn.Parameter(torch.zeros(num_tensor_features))
        self.register_buffer(
            "is_magnetic", torch.tensor([name in magnetic_types for name in type_names])
        )
        self.register_buffer("to_cartesian", cartesian_basis(TIrreps("1x2ee")))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add ANISOTROPY (N, 3, 3), eV."""
        centre = data[AtomicDataDict.EDGE_INDEX_KEY][0]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        magnetic = torch.index_select(self.is_magnetic, 0, types)
        edges = torch.nonzero(torch.index_select(magnetic, 0, centre)).view(-1)
        scalars = torch.index_select(data[AtomicDataDict.EDGE_FEATURES_KEY], 0, edges)
        tensors = torch.index_select(data[_keys.EDGE_TENSORS_KEY], 0, edges)
        tensors = tensors.view(-1, self.channels, self._tensor_dim)
        tensors = tensors.narrow(2, self._start, 5)
        weights = self.mlp(scalars) + self.tensor_weights  # (E, channels)
        components = self._norm * (weights.unsqueeze(-1) * tensors).sum(1)
        components = scatter(
            components.to(torch.float64),
            torch.index_select(centre, 0, edges),
            dim=0,
            dim_size=types.size(0),
        )
        data[fields.ANISOTROPY_KEY] = torch.mm(components, self.to_cartesian).view(
            -1, 3, 3
        )
        return data


@compile_mode("script")
class AnisotropyEnergy(torch.nn.Module):
    """s_iᵀ A_i s_i of each atom."""

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        spins = data[fields.SPINS_KEY]
        a_s = torch.matmul(data[fields.ANISOTROPY_KEY], spins.unsqueeze(-1)).squeeze(-1)
        return (spins * a_s).sum(-1, keepdim=True)
