"""Allegro layers that keep tensors to the end.

The mathematics is Allegro's (Musaelian et al., Nat. Commun. 14, 579 (2023)): every
directed edge carries scalars and tensors; in each layer the tensors are multiplied with
a weighted sum of spherical harmonics over the neighbours of the centre, and the scalars
of the product feed an MLP. nequip-allegro's own module ends in scalars; exchange needs
0e, 1e and 2e on the edge, so the layers are written here with the last irreps free.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from allegro.nn._strided import MakeWeightedChannels
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter

from spinff.errors import SpinffError
from spinff.irreps import TIrrep, TIrreps, reachable, useful
from spinff.nn import _keys
from spinff.nn.contraction import EnvironmentContraction, padded_slots


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
        self.num_layers = num_layers
        self.num_scalar_features = num_scalar_features
        self.num_tensor_features = num_tensor_features
        self._neighbour_norm = float(avg_num_neighbors) ** -0.5
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_ATTRS_KEY,
                AtomicDataDict.EDGE_FEATURES_KEY,
                AtomicDataDict.EDGE_EMBEDDING_KEY,
            ],
        )
        basis = self.irreps_in[AtomicDataDict.EDGE_ATTRS_KEY]
        environment = TIrreps([(1, TIrrep(ir.l, ir.p)) for _, ir in basis])

        # === environment weights ===
        self.env_weighter = MakeWeightedChannels(
            irreps_in=basis, multiplicity_out=num_tensor_features
        )
        self._num_env_weights = int(self.env_weighter.weight_numel)
        self.first_projection = ScalarMLPFunction(
            input_dim=self.irreps_in[AtomicDataDict.EDGE_EMBEDDING_KEY].num_irreps,
            output_dim=num_scalar_features + self._num_env_weights,
        )

        # === layers ===
        tracks = _tensor_tracks(
            environment, tensor_irreps, tensor_irreps_out, num_layers
        )
        self.contractions = torch.nn.ModuleList(
            EnvironmentContraction(left, environment, out, num_tensor_features)
            for left, out in pairwise(tracks)
        )
        self.mlps = torch.nn.ModuleList(
            ScalarMLPFunction(
                input_dim=num_scalar_features * (layer + 1) + num_tensor_features,
                output_dim=num_scalar_features
                + (self._num_env_weights if layer < num_layers - 1 else 0),
                **mlp_kwargs,
            )
            for layer in range(num_layers)
        )
        self.tensor_irreps_out = tracks[-1]
        self.irreps_out.update(
            {
                AtomicDataDict.EDGE_FEATURES_KEY: Irreps(
                    [(num_scalar_features * (num_layers + 1), (0, 1))]
                ),
                _keys.EDGE_TENSORS_KEY: Irreps(
                    [(num_tensor_features, ir.e3) for ir in tracks[-1].irreps()]
                ),
            }
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add scalars (E, (layers + 1)·width) and tensors (E, channels·dim)."""
        centre = data[AtomicDataDict.EDGE_INDEX_KEY][0]
        num_centres = int(centre.max()) + 1 if centre.size(0) > 0 else 0
        basis = data[AtomicDataDict.EDGE_ATTRS_KEY]  # (E, dim)
        tensors = data[AtomicDataDict.EDGE_FEATURES_KEY]  # (E, channels, dim)
        slot = torch.empty_like(centre)
        width = 0
        if num_centres > 0:
            slot, width = padded_slots(centre, num_centres)

        projection = self.first_projection(data[AtomicDataDict.EDGE_EMBEDDING_KEY])
        scalars = [projection.narrow(-1, 0, self.num_scalar_features)]
        env_weights = projection.narrow(
            -1, self.num_scalar_features, self._num_env_weights
        )
        layer = 0
        for contraction, mlp in zip(self.contractions, self.mlps):  # noqa: B905
            # ^ TorchScript knows no strict=
            environment = self._neighbour_norm * scatter(
                self.env_weighter(basis, env_weights),
                centre,
                dim=0,
                dim_size=num_centres,
            )
            tensors = contraction(tensors, environment, slot, width)
            scalars.append(tensors[:, :, 0])  # 0ee comes first
            latent = mlp(torch.cat(scalars, dim=-1))
            scalars[-1] = latent.narrow(-1, 0, self.num_scalar_features)
            if layer < self.num_layers - 1:
                env_weights = latent.narrow(
                    -1, self.num_scalar_features, self._num_env_weights
                )
            layer += 1

        data[AtomicDataDict.EDGE_FEATURES_KEY] = torch.cat(scalars, dim=-1)
        data[_keys.EDGE_TENSORS_KEY] = tensors.flatten(1)
        return data


def _tensor_tracks(
    first: TIrreps, between: TIrreps, last: TIrreps, num_layers: int
) -> list[TIrreps]:
    """Irreps of the tensor track before, between and after the layers.

    Forwards keeps what can be reached, backwards drops what leads nowhere.
    """
    tracks = [first]
    for layer in range(num_layers):
        allowed = last if layer == num_layers - 1 else between
        tracks.append(reachable(tracks[-1], first, allowed))
    if tracks[-1] != last:
        raise SpinffError(
            f"AllegroLayers: irreps that no tensor product leads to, got {last} "
            f"wanted and {tracks[-1]} reached with {num_layers} layer(s) over {first}, "
            "expected all of them; raise l_max or num_layers, or set parity: true"
        )
    for layer in reversed(range(1, num_layers)):
        tracks[layer] = useful(tracks[layer], first, tracks[layer + 1])
    return tracks
