"""From nodes to edges: what a message-passing network gives to the heads of pairs.

Couplings live on directed edges. A strictly local network has its features there; one
that passes messages has them on the atoms, and an edge is read off its two ends.
"""

from __future__ import annotations

from typing import Any

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction

from spinff.errors import SpinffError
from spinff.irreps import TIrreps
from spinff.irreps.layers import Linear, TensorProduct
from spinff.nn import _keys


@compile_mode("script")
class WeightedProduct(torch.nn.Module):
    """left ⊗ right, each path and channel of left with a weight of its own per row.

    The product keeps the channels apart; :attr:`mix` joins them to the irreps asked
    for. Between the two the rows may be summed, which is cheaper before than after.

    Args:
        left: irreps of the first factor.
        right: irreps of the second factor, of multiplicity one each.
        out: what :attr:`mix` gives.

    Raises:
        SpinffError: if no path leads to one of ``out``.
    """

    def __init__(self, left: TIrreps, right: TIrreps, out: TIrreps) -> None:
        """Find the paths by (l, p, t)."""
        super().__init__()
        found = [
            (i, j, mul, ir)
            for i, (mul, ir_left) in enumerate(left)
            for j, ir_right in enumerate(right.irreps())
            for ir in ir_left * ir_right
            if ir in out
        ]
        products, position, _ = TIrreps([(mul, ir) for _, _, mul, ir in found]).sort()
        missing = [str(ir) for ir in out.irreps() if ir not in products]
        if missing:
            raise SpinffError(
                f"WeightedProduct: irreps that no path leads to, got "
                f"{', '.join(missing)} wanted of {left} ⊗ {right}, expected all of "
                "them; raise l_max or keep more irreps"
            )
        self.tp = TensorProduct(
            left,
            right,
            products,
            [(i, j, position[n], "uvu", True) for n, (i, j, _, _) in enumerate(found)],
            shared_weights=False,
            internal_weights=False,
        )
        self.mix = Linear(products.simplify(), out)
        self.num_weights = int(self.tp.weight_numel)

    def forward(
        self, left: torch.Tensor, right: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """(rows, …), (rows, …), (rows, num_weights) -> the argument of mix."""
        return self.tp(left, right, weights)


def even_irreps(irreps: Irreps) -> TIrreps:
    """Irreps of e3nn on a lattice without spins: even under time reversal."""
    return TIrreps([(mul, (ir.l, ir.p)) for mul, ir in irreps])


@compile_mode("script")
class EdgesFromNodes(GraphModuleMixin, torch.nn.Module):
    """Scalars and tensors of directed edges i→j from the features h of both atoms.

        scalars = c(r) MLP[h_i(0e), h_j(0e), B(r)]
        tensors = mix[(U h_i + V h_j) ⊗ Y(r̂)]

    c is the cutoff polynomial, B the radial basis; the weights of the paths in ⊗ are
    linear in the scalars. An edge and its reverse differ; the energy of a pair is the
    mean of both.

    Args:
        num_scalar_features: width of the scalars.
        num_tensor_features: channels of the tensors.
        tensor_irreps: of each channel.
        mlp_kwargs: of ``ScalarMLPFunction``.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        num_scalar_features: int,
        num_tensor_features: int,
        tensor_irreps: TIrreps,
        mlp_kwargs: dict[str, Any],
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build; SpinffError if an irrep cannot be reached from those of the nodes."""
        super().__init__()
        self.channels = num_tensor_features
        out = TIrreps([(num_tensor_features, ir) for ir in tensor_irreps.irreps()])
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.NODE_FEATURES_KEY,
                AtomicDataDict.EDGE_ATTRS_KEY,
                AtomicDataDict.EDGE_EMBEDDING_KEY,
                AtomicDataDict.EDGE_CUTOFF_KEY,
            ],
            irreps_out={
                AtomicDataDict.EDGE_FEATURES_KEY: Irreps(
                    [(num_scalar_features, (0, 1))]
                ),
                _keys.EDGE_TENSORS_KEY: out.e3,
            },
        )
        nodes = even_irreps(self.irreps_in[AtomicDataDict.NODE_FEATURES_KEY])
        bonds = even_irreps(self.irreps_in[AtomicDataDict.EDGE_ATTRS_KEY])
        self.num_node_scalars = nodes.count("0ee")
        embedding = self.irreps_in[AtomicDataDict.EDGE_EMBEDDING_KEY].num_irreps
        self.pick_scalars = Linear(nodes, [(self.num_node_scalars, "0ee")])
        self.scalar_mlp = ScalarMLPFunction(
            input_dim=2 * self.num_node_scalars + embedding,
            output_dim=num_scalar_features,
            **mlp_kwargs,
        )
        self.of_centre = Linear(nodes, nodes)
        self.of_neighbour = Linear(nodes, nodes)
        self.product = WeightedProduct(nodes, bonds, out)
        self.path_weights = ScalarMLPFunction(
            input_dim=num_scalar_features, output_dim=self.product.num_weights
        )
        self._dims = [ir.dim for ir in tensor_irreps.irreps()]

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_FEATURES (E, width) and EDGE_TENSORS (E, channels·dim)."""
        features = data[AtomicDataDict.NODE_FEATURES_KEY]
        centre = data[AtomicDataDict.EDGE_INDEX_KEY][0]
        neighbour = data[AtomicDataDict.EDGE_INDEX_KEY][1]
        node_scalars = self.pick_scalars(features)
        inputs = torch.cat(
            [
                torch.index_select(node_scalars, 0, centre),
                torch.index_select(node_scalars, 0, neighbour),
                data[AtomicDataDict.EDGE_EMBEDDING_KEY],
            ],
            dim=1,
        )
        scalars = data[AtomicDataDict.EDGE_CUTOFF_KEY] * self.scalar_mlp(inputs)
        ends = torch.index_select(self.of_centre(features), 0, centre)
        ends = ends + torch.index_select(self.of_neighbour(features), 0, neighbour)
        blocks = self.product.mix(
            self.product(
                ends, data[AtomicDataDict.EDGE_ATTRS_KEY], self.path_weights(scalars)
            )
        )
        # from one block for each irrep to one for each channel
        start = 0
        by_channel = []
        for dim in self._dims:
            block = blocks.narrow(1, start, self.channels * dim)
            by_channel.append(block.reshape(-1, self.channels, dim))
            start += self.channels * dim
        data[AtomicDataDict.EDGE_FEATURES_KEY] = scalars
        data[_keys.EDGE_TENSORS_KEY] = torch.cat(by_channel, dim=2).flatten(1)
        return data
