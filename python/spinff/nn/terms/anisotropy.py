"""Single-ion anisotropy: E_A = Σ_i s_iᵀ A_i s_i, A symmetric and traceless (2e).

The trace of A would not depend on the direction of a spin; it is the lattice's (or,
with moments of any length, the longitudinal term's).
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps, SphericalHarmonics
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter

from spinff import fields
from spinff.irreps import TIrreps
from spinff.nn import _keys
from spinff.nn.terms.exchange import cartesian_basis


@compile_mode("script")
class AnisotropyHead(GraphModuleMixin, torch.nn.Module):
    """A_i = Σ_k w_ik Y_2(r̂_ik) over all neighbours k, of every magnetic atom.

    The weights are functions of the edge scalars, which know the whole environment of
    i: with five or more neighbours in general positions that is any 2e tensor.

    Args:
        scale: eV; size of A at the start.
        avg_num_neighbors: normalises the sum.
        mlp_hidden_layers_width: of the readout MLP.
        irreps_in: of the module before.
    """

    to_cartesian: torch.Tensor

    def __init__(
        self,
        *,
        scale: float,
        avg_num_neighbors: float,
        mlp_hidden_layers_width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                _keys.EDGE_LATENT_KEY,
                _keys.SITE_EDGES_KEY,
            ],
            irreps_out={fields.ANISOTROPY_KEY: None},
        )
        self._norm = float(scale) * float(avg_num_neighbors) ** -0.5
        self.mlp = ScalarMLPFunction(
            input_dim=self.irreps_in[_keys.EDGE_LATENT_KEY].num_irreps,
            output_dim=1,
            hidden_layers_depth=1,
            hidden_layers_width=mlp_hidden_layers_width,
        )
        self.harmonics = SphericalHarmonics(
            [2], normalize=True, normalization="component"
        )
        self.register_buffer("to_cartesian", cartesian_basis(TIrreps("1x2ee")))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add ANISOTROPY (N, 3, 3), eV."""
        centre = data[AtomicDataDict.EDGE_INDEX_KEY][0]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edges = data[_keys.SITE_EDGES_KEY]
        scalars = torch.index_select(data[_keys.EDGE_LATENT_KEY], 0, edges)
        vectors = torch.index_select(data[AtomicDataDict.EDGE_VECTORS_KEY], 0, edges)
        weights = self._norm * self.mlp(scalars).to(torch.float64)  # (E, 1)
        components = scatter(
            weights * self.harmonics(vectors),
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
