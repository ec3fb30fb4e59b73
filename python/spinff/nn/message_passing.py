"""From nodes to edges: what a message-passing network gives to the heads of pairs.

Couplings live on directed edges. A strictly local network has its features there; one
that passes messages has them on the atoms, and an edge is read off its two ends.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand

from typing import Any

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction

from spinff import fields
from spinff.errors import SpinffError
from spinff.irreps import TIrreps
from spinff.irreps.layers import Linear, TensorProduct
from spinff.nn import _keys
from spinff.nn.terms.exchange import cartesian_basis
from spinff.nn.terms.pairs import PairReadout


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
    """Scalars of directed edges i→j from the features h of both atoms.

        scalars = c(r) MLP[h_i(0e), h_j(0e), B(r)]

    c is the cutoff polynomial, B the radial basis. An edge and its reverse differ; the
    energy of a pair is the mean of both.

    Args:
        num_scalar_features: width of the scalars.
        mlp_kwargs: of ``ScalarMLPFunction``.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        num_scalar_features: int,
        mlp_kwargs: dict[str, Any],
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.NODE_FEATURES_KEY,
                AtomicDataDict.EDGE_EMBEDDING_KEY,
                AtomicDataDict.EDGE_CUTOFF_KEY,
            ],
            irreps_out={
                AtomicDataDict.EDGE_FEATURES_KEY: Irreps(
                    [(num_scalar_features, (0, 1))]
                ),
                _keys.EDGE_LATENT_KEY: Irreps([(num_scalar_features, (0, 1))]),
            },
        )
        nodes = even_irreps(self.irreps_in[AtomicDataDict.NODE_FEATURES_KEY])
        num_node_scalars = nodes.count("0ee")
        embedding = self.irreps_in[AtomicDataDict.EDGE_EMBEDDING_KEY].num_irreps
        self.pick_scalars = Linear(nodes, [(num_node_scalars, "0ee")])
        self.scalar_mlp = ScalarMLPFunction(
            input_dim=2 * num_node_scalars + embedding,
            output_dim=num_scalar_features,
            **mlp_kwargs,
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_FEATURES (E, width), which are also EDGE_LATENT."""
        node_scalars = self.pick_scalars(data[AtomicDataDict.NODE_FEATURES_KEY])
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        inputs = torch.cat(
            [
                torch.index_select(node_scalars, 0, edge_index[0]),
                torch.index_select(node_scalars, 0, edge_index[1]),
                data[AtomicDataDict.EDGE_EMBEDDING_KEY],
            ],
            dim=1,
        )
        scalars = data[AtomicDataDict.EDGE_CUTOFF_KEY] * self.scalar_mlp(inputs)
        data[AtomicDataDict.EDGE_FEATURES_KEY] = scalars
        data[_keys.EDGE_LATENT_KEY] = scalars
        return data


@compile_mode("script")
class PairsFromNodes(GraphModuleMixin, torch.nn.Module):
    """Scalars of magnetic edges: those of the edge.

    Args:
        irreps_in: of the module before.
    """

    def __init__(self, *, irreps_in: dict[str, Irreps]) -> None:
        """Name the fields."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in, required_irreps_in=[_keys.EDGE_LATENT_KEY]
        )
        self.irreps_out[_keys.PAIR_SCALARS_KEY] = self.irreps_in[_keys.EDGE_LATENT_KEY]

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_SCALARS (M, width)."""
        data[_keys.PAIR_SCALARS_KEY] = torch.index_select(
            data[_keys.EDGE_LATENT_KEY], 0, data[fields.MAGNETIC_EDGES_KEY]
        )
        return data


@compile_mode("script")
class PairTensorsFromNodes(GraphModuleMixin, torch.nn.Module):
    """Tensors of magnetic edges from the features h of both atoms.

        tensors = mix[(U h_i + V h_j) ⊗ Y(r̂)]

    The weights of the paths in ⊗ are linear in the scalars of the edge.

    Args:
        num_tensor_features: channels of the tensors.
        tensor_irreps: of each channel.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        num_tensor_features: int,
        tensor_irreps: TIrreps,
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
                _keys.PAIR_SCALARS_KEY,
            ],
            irreps_out={_keys.PAIR_TENSORS_KEY: out.e3},
        )
        nodes = even_irreps(self.irreps_in[AtomicDataDict.NODE_FEATURES_KEY])
        bonds = even_irreps(self.irreps_in[AtomicDataDict.EDGE_ATTRS_KEY])
        self.of_centre = Linear(nodes, nodes)
        self.of_neighbour = Linear(nodes, nodes)
        self.product = WeightedProduct(nodes, bonds, out)
        self.path_weights = ScalarMLPFunction(
            input_dim=self.irreps_in[_keys.PAIR_SCALARS_KEY].num_irreps,
            output_dim=self.product.num_weights,
        )
        self._dims = [ir.dim for ir in tensor_irreps.irreps()]

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_TENSORS (M, channels·dim)."""
        edges = data[fields.MAGNETIC_EDGES_KEY]
        features = data[AtomicDataDict.NODE_FEATURES_KEY]
        edge_index = torch.index_select(data[AtomicDataDict.EDGE_INDEX_KEY], 1, edges)
        bonds = torch.index_select(data[AtomicDataDict.EDGE_ATTRS_KEY], 0, edges)
        ends = torch.index_select(self.of_centre(features), 0, edge_index[0])
        ends = ends + torch.index_select(self.of_neighbour(features), 0, edge_index[1])
        weights = self.path_weights(data[_keys.PAIR_SCALARS_KEY])
        blocks = self.product.mix(self.product(ends, bonds, weights))
        # from one block for each irrep to one for each channel
        start = 0
        by_channel = []
        for dim in self._dims:
            block = blocks.narrow(1, start, self.channels * dim)
            by_channel.append(block.reshape(-1, self.channels, dim))
            start += self.channels * dim
        data[_keys.PAIR_TENSORS_KEY] = torch.cat(by_channel, dim=2).flatten(1)
        return data


@compile_mode("script")
class ExchangeFromTensors(GraphModuleMixin, torch.nn.Module):
    """D and Γ of magnetic edges: channels of their tensors, mixed.

    Args:
        channels: of the tensors.
        tensor_irreps: of each channel, 1ee and 2ee.
        irreps_in: of the module before.
    """

    tensor_of_component: torch.Tensor
    to_cartesian: torch.Tensor

    def __init__(
        self, *, channels: int, tensor_irreps: TIrreps, irreps_in: dict[str, Irreps]
    ) -> None:
        """Build; D and Γ start small."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_HIDDEN_KEY, _keys.PAIR_TENSORS_KEY],
            irreps_out={_keys.RELATIVISTIC_KEY: None},
        )
        self.channels = channels
        hidden = self.irreps_in[_keys.PAIR_HIDDEN_KEY].num_irreps
        self._num_tensors = len(tensor_irreps)
        self.factors = PairReadout(hidden, self._num_tensors * channels, 1.0)
        # beside the network's: the tensors vanish at the cutoff, and a product of two
        # small numbers would take thousands of steps to train
        self.tensor_weights = torch.nn.Parameter(
            torch.zeros(self._num_tensors * channels)
        )
        tensor_of_component = [
            n for n, ir in enumerate(tensor_irreps.irreps()) for _ in range(ir.dim)
        ]
        self.register_buffer("tensor_of_component", torch.tensor(tensor_of_component))
        dtype = torch.get_default_dtype()
        self.register_buffer("to_cartesian", cartesian_basis(tensor_irreps).to(dtype))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add RELATIVISTIC (M, 9)."""
        tensors = data[_keys.PAIR_TENSORS_KEY]
        tensors = tensors.view(-1, self.channels, self.to_cartesian.size(0))
        factors = self.factors(data[_keys.PAIR_HIDDEN_KEY]) + self.tensor_weights
        factors = factors.view(-1, self.channels, self._num_tensors)
        factors = torch.index_select(factors, 2, self.tensor_of_component)
        components = self.channels**-0.5 * (factors * tensors).sum(1)
        data[_keys.RELATIVISTIC_KEY] = torch.mm(components, self.to_cartesian)
        return data
