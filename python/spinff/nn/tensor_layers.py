"""Allegro's layers over any edge tensors: lattice, joint, or spin and lattice apart.

The mathematics is Allegro's (Musaelian et al., Nat. Commun. 14, 579 (2023)): every
directed edge carries scalars and tensors; in each layer the tensors are multiplied with
a weighted sum of basis tensors over the edges of the centre, and the scalars of the
product feed an MLP. What the tensors are is up to the caller, by the irreps it names.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from e3nn.util.jit import compile_mode
from nequip.nn import ScalarMLPFunction

from spinff.errors import SpinffError
from spinff.irreps import AnyIrrep, reachable, useful
from spinff.nn.contraction import (
    EnvironmentContraction,
    as_list,
    as_table,
    sum_of_rows,
)


@compile_mode("script")
class ChannelWeights(torch.nn.Module):
    """Channels from one tensor: out[e, u, k] = w[e, u, irrep(k)] · x[e, k].

    Block by block: an index that repeats weights, or its derivative, takes a compiler
    five times as long. Blocks come from one call, whose derivative is one, too.
    """

    def __init__(self, irreps: Sequence[AnyIrrep], channels: int) -> None:
        """Prepare for features of multiplicity one of ``irreps``."""
        super().__init__()
        self.channels = channels
        self.num_irreps = len(irreps)
        self.num_weights = channels * len(irreps)
        self.dims = [ir.dim for ir in irreps]

    def forward(self, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """x (…, dim), weights (…, num_weights) -> (…, channels, dim)."""
        weights = weights.unflatten(-1, [self.channels, self.num_irreps])
        parts = x.unsqueeze(-2).split(self.dims, dim=-1)
        blocks = []
        for part, weight in zip(parts, weights.unbind(-1)):  # noqa: B905
            # ^ TorchScript knows no strict=
            blocks.append(part * weight.unsqueeze(-1))
        return torch.cat(blocks, dim=-1)


@compile_mode("script")
class TensorLayers(torch.nn.Module):
    """The stack of layers.

    Args:
        num_layers: number of tensor products, 1 or more.
        num_scalars_in: width of the embedding that the first weights come from.
        num_scalar_features: width of the scalar track.
        num_tensor_features: channels of the tensor track.
        tensors: irreps of the tensors that come in.
        basis: irreps of the edge basis whose weighted sum is the environment.
        centre: irreps that a centre adds to its environment itself; may be empty.
        between: what the tensor track may carry between layers.
        out: what it carries after the last one; starts with the scalar.
        avg_num_neighbors: normalises sums over neighbours.
        mlp_kwargs: of ``ScalarMLPFunction`` for the scalar MLP of each layer.

    Raises:
        SpinffError: if no path leads to an output irrep.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        num_scalars_in: int,
        num_scalar_features: int,
        num_tensor_features: int,
        tensors: Sequence[AnyIrrep],
        basis: Sequence[AnyIrrep],
        centre: Sequence[AnyIrrep],
        between: Sequence[AnyIrrep],
        out: Sequence[AnyIrrep],
        avg_num_neighbors: float,
        mlp_kwargs: dict[str, Any],
    ) -> None:
        """Build the layers."""
        super().__init__()
        self.num_layers = num_layers
        self.num_scalar_features = num_scalar_features
        self.num_scalars_out = num_scalar_features * (num_layers + 1)
        self._neighbour_norm = float(avg_num_neighbors) ** -0.5
        self._has_centre = len(centre) > 0

        self.env_weighter = ChannelWeights(basis, num_tensor_features)
        self._num_env_weights = self.env_weighter.num_weights
        self.first_projection = ScalarMLPFunction(
            input_dim=num_scalars_in,
            output_dim=num_scalar_features + self._num_env_weights,
        )
        environment = [*basis, *centre]
        tracks = _tensor_tracks(tensors, environment, between, out, num_layers)
        self.contractions = torch.nn.ModuleList(
            EnvironmentContraction(left, environment, right, num_tensor_features)
            for left, right in pairwise(tracks)
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

    def forward(
        self,
        embedding: torch.Tensor,
        tensors: torch.Tensor,
        basis: torch.Tensor,
        centre_tensors: torch.Tensor,
        centre: torch.Tensor,
        slot: torch.Tensor,
        table: torch.Tensor,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the layers.

        Args:
            embedding: (E, num_scalars_in) scalars that vanish at the cutoff.
            tensors: (E, channels, dim of ``tensors``), as ``as_table``.
            basis: (E, dim of ``basis``), as ``as_table``.
            centre_tensors: (centres, channels, dim of ``centre``); any tensor if there
                are no such irreps.
            centre: (E,) row of each edge's centre.
            slot: (E,) place of each edge in ``table``; empty: they are the table.
            table: (width, centres) edges of each centre, of ``topology.slots``.

        Returns:
            Scalars (E, num_scalar_features) before the first layer and after each,
            num_scalars_out in all, and tensors (E, channels, dim of ``out``), all as
            ``as_table``.
        """
        projection = as_table(self.first_projection(embedding), slot, table)
        widths = [self.num_scalar_features, self._num_env_weights]
        first, env_weights = projection.split(widths, dim=-1)
        scalars = [first]
        layer = 0
        for contraction, mlp in zip(self.contractions, self.mlps):  # noqa: B905
            # ^ TorchScript knows no strict=
            environment = self._neighbour_norm * sum_of_rows(
                self.env_weighter(basis, env_weights), centre, slot, table
            )
            if self._has_centre:
                environment = torch.cat(
                    [environment, centre_tensors[: table.size(1)]], dim=-1
                )
            tensors = contraction(tensors, environment, slot, table)
            scalars.append(tensors.select(-1, 0))  # the scalar comes first
            latent = mlp(as_list(torch.cat(scalars, dim=-1), slot))
            latent = as_table(latent, slot, table)
            if layer < self.num_layers - 1:
                latent, env_weights = latent.split(widths, dim=-1)
            scalars[-1] = latent
            layer += 1
        return scalars, tensors


def _tensor_tracks(
    first: Sequence[AnyIrrep],
    environment: Sequence[AnyIrrep],
    between: Sequence[AnyIrrep],
    last: Sequence[AnyIrrep],
    num_layers: int,
) -> list[list[AnyIrrep]]:
    """Irreps of the tensor track before, between and after the layers.

    Forwards keeps what can be reached, backwards drops what leads nowhere; what comes
    in stays whole.
    """
    tracks = [list(first)]
    for layer in range(num_layers):
        allowed = last if layer == num_layers - 1 else between
        tracks.append(reachable(tracks[-1], environment, allowed))
    if tracks[-1] != list(last):
        raise SpinffError(
            f"tensor layers: irreps that no tensor product leads to, got {last} "
            f"wanted and {tracks[-1]} reached with {num_layers} layer(s) over "
            f"{environment}, expected all of them; raise l_max or num_layers, or set "
            "parity: true"
        )
    for layer in reversed(range(1, num_layers)):
        tracks[layer] = useful(tracks[layer], environment, tracks[layer + 1])
    return tracks
