"""Allegro layers over species and geometry that keep tensors to the end.

nequip-allegro's own module ends in scalars; exchange needs 0e, 1e and 2e on the edge,
so the layers (:class:`spinff.nn.tensor_layers.TensorLayers`) have the last irreps free.
"""

from __future__ import annotations

from typing import Any

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin

from spinff.irreps import AnyIrrep, TIrrep, TIrreps
from spinff.nn import _keys
from spinff.nn.tensor_layers import TensorLayers


@compile_mode("script")
class AllegroLayers(GraphModuleMixin, torch.nn.Module):
    """The stack of Allegro layers over species and geometry.

    Args:
        num_layers: number of tensor products, 1 or more.
        num_scalar_features: width of the scalar track.
        num_tensor_features: channels of the tensor track.
        tensor_irreps: what the tensor track may carry between layers.
        tensor_irreps_out: what it carries after the last one; starts with 0ee.
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
        tensor_irreps_out: TIrreps,
        avg_num_neighbors: float,
        mlp_kwargs: dict[str, Any],
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the layers; raises SpinffError if an output irrep is unreachable."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_ATTRS_KEY,
                AtomicDataDict.EDGE_FEATURES_KEY,
                AtomicDataDict.EDGE_EMBEDDING_KEY,
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
            out=list(tensor_irreps_out.irreps()),
            avg_num_neighbors=avg_num_neighbors,
            mlp_kwargs=mlp_kwargs,
        )
        self.tensor_irreps_out = tensor_irreps_out
        self.irreps_out.update(
            {
                AtomicDataDict.EDGE_FEATURES_KEY: Irreps(
                    [(self.layers.num_scalars_out, (0, 1))]
                ),
                _keys.EDGE_TENSORS_KEY: Irreps(
                    [(num_tensor_features, ir.e3) for ir in tensor_irreps_out.irreps()]
                ),
            }
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add scalars (E, (layers + 1)·width) and tensors (E, channels·dim)."""
        tensors = data[AtomicDataDict.EDGE_FEATURES_KEY]  # (E, channels, dim)
        scalars, tensors = self.layers(
            data[AtomicDataDict.EDGE_EMBEDDING_KEY],
            tensors,
            data[AtomicDataDict.EDGE_ATTRS_KEY],
            tensors,  # no tensors of the centre itself
            data[AtomicDataDict.EDGE_INDEX_KEY][0],
        )
        data[AtomicDataDict.EDGE_FEATURES_KEY] = scalars
        data[_keys.EDGE_TENSORS_KEY] = tensors.flatten(1)
        return data
