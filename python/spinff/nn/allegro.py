"""Allegro layers over species and geometry, by ``spinff.nn.tensor_layers``.

The same as nequip-allegro's module, with a contraction that is faster on a CPU.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
from typing import Any

import torch
from e3nn.o3 import Irreps, SphericalHarmonics
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction

from spinff.irreps import AnyIrrep, TIrrep, TIrreps
from spinff.nn import _keys
from spinff.nn.contraction import as_list, as_table
from spinff.nn.tensor_layers import ChannelWeights, TensorLayers


@compile_mode("script")
class EdgeTensors(GraphModuleMixin, torch.nn.Module):
    """Spherical harmonics of the edges, and channels of them with weights.

    The same as nequip-allegro's module, by ``ChannelWeights``.

    Args:
        l_max: highest degree.
        num_tensor_features: channels.
        irreps_in: of the module before.
    """

    def __init__(
        self, *, l_max: int, num_tensor_features: int, irreps_in: dict[str, Irreps]
    ) -> None:
        """Build."""
        super().__init__()
        harmonics = Irreps.spherical_harmonics(l_max)
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_EMBEDDING_KEY,
                _keys.EDGE_TABLE_KEY,
            ],
            irreps_out={
                AtomicDataDict.EDGE_ATTRS_KEY: harmonics,
                AtomicDataDict.EDGE_FEATURES_KEY: harmonics,
            },
        )
        self._dtype = torch.get_default_dtype()
        self.harmonics = SphericalHarmonics(
            harmonics, normalize=True, normalization="component"
        )
        irreps = [TIrrep(ir.l, ir.p) for _, ir in harmonics]
        self.channels = ChannelWeights(irreps, num_tensor_features)
        self.weights = ScalarMLPFunction(
            input_dim=self.irreps_in[AtomicDataDict.EDGE_EMBEDDING_KEY].num_irreps,
            output_dim=self.channels.num_weights,
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_ATTRS (E, dim) and EDGE_FEATURES (E, channels, dim), as a table."""
        slot, table = data[_keys.EDGE_SLOT_KEY], data[_keys.EDGE_TABLE_KEY]
        vectors = data[AtomicDataDict.EDGE_VECTORS_KEY]
        harmonics = self.harmonics(vectors).to(self._dtype)
        harmonics = as_table(harmonics, slot, table)
        weights = self.weights(data[AtomicDataDict.EDGE_EMBEDDING_KEY])
        data[AtomicDataDict.EDGE_ATTRS_KEY] = harmonics
        data[AtomicDataDict.EDGE_FEATURES_KEY] = self.channels(
            harmonics, as_table(weights, slot, table)
        )
        return data


@compile_mode("script")
class AllegroLayers(GraphModuleMixin, torch.nn.Module):
    """The stack of Allegro layers over species and geometry.

    Args:
        num_layers: number of tensor products, 1 or more.
        num_scalar_features: width of the scalar track.
        num_tensor_features: channels of the tensor track.
        tensor_irreps: what the tensor track may carry between layers.
        avg_num_neighbors: normalises sums over neighbours.
        mlp_kwargs: of ``ScalarMLPFunction`` for the scalar MLP of each layer.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        num_scalar_features: int,
        num_tensor_features: int,
        tensor_irreps: TIrreps,
        avg_num_neighbors: float,
        mlp_kwargs: dict[str, Any],
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the layers."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_ATTRS_KEY,
                AtomicDataDict.EDGE_FEATURES_KEY,
                AtomicDataDict.EDGE_EMBEDDING_KEY,
                _keys.EDGE_TABLE_KEY,
            ],
        )
        harmonics: list[AnyIrrep] = [
            TIrrep(ir.l, ir.p)
            for _, ir in self.irreps_in[AtomicDataDict.EDGE_ATTRS_KEY]
        ]
        embedding = self.irreps_in[AtomicDataDict.EDGE_EMBEDDING_KEY]
        self.layers = TensorLayers(
            num_layers=num_layers,
            num_scalars_in=embedding.num_irreps,
            num_scalar_features=num_scalar_features,
            num_tensor_features=num_tensor_features,
            tensors=harmonics,
            basis=harmonics,
            centre=[],
            between=list(tensor_irreps.irreps()),
            out=[TIrrep("0ee")],
            avg_num_neighbors=avg_num_neighbors,
            mlp_kwargs=mlp_kwargs,
        )
        self.irreps_out.update(
            {
                AtomicDataDict.EDGE_FEATURES_KEY: Irreps(
                    [(self.layers.num_scalars_out, (0, 1))]
                ),
                _keys.EDGE_LATENT_KEY: Irreps([(num_scalar_features, (0, 1))]),
            }
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_FEATURES (E, (layers + 1)·width) and the last, EDGE_LATENT."""
        slot = data[_keys.EDGE_SLOT_KEY]
        tensors = data[AtomicDataDict.EDGE_FEATURES_KEY]  # (E, channels, dim)
        scalars, _ = self.layers(
            data[AtomicDataDict.EDGE_EMBEDDING_KEY],
            tensors,
            data[AtomicDataDict.EDGE_ATTRS_KEY],
            tensors,  # no tensors of the centre itself
            data[AtomicDataDict.EDGE_INDEX_KEY][0],
            slot,
            data[_keys.EDGE_TABLE_KEY],
        )
        data[_keys.EDGE_LATENT_KEY] = as_list(scalars[-1], slot)
        data[AtomicDataDict.EDGE_FEATURES_KEY] = as_list(
            torch.cat(scalars, dim=-1), slot
        )
        return data
