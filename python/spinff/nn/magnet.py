"""Gaussian encodings and magnetic interaction blocks of MagNet.

MagNet (Yuan et al., Quantum Front. 3, 8 (2024), arXiv:2402.04864) passes messages over
the atoms first and over atoms with moments then. Here the features of the second kind
are labelled with their parity under time reversal, so that E(r, −m) = E(r, m) exactly,
and the functions of |m| are even in it, so that the energy is smooth at m = 0.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
from collections.abc import Callable

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter

from spinff import fields
from spinff.irreps import SpinHarmonics, TIrreps
from spinff.irreps.layers import FullyConnectedTensorProduct, Gate, Linear
from spinff.nn.message_passing import WeightedProduct, even_irreps
from spinff.nn.radial import PolynomialCutoff

# in units of the reference length: the square root of s² + ε² has all derivatives, and
# differs from |s| by less than any label can tell
_EPSILON = 1e-4


@compile_mode("script")
class GaussianEdgeEncoding(GraphModuleMixin, torch.nn.Module):
    """exp[−(x − x_k)² / 2w²] times a polynomial cutoff, x = r / r_cut, x_k from 0 to 1.

    Args:
        count: number of Gaussians, 2 or more; w is the distance of two centres.
        polynomial_cutoff_p: power of the cutoff polynomial.
        irreps_in: of the module before.
    """

    centres: torch.Tensor

    def __init__(
        self, *, count: int, polynomial_cutoff_p: float, irreps_in: dict[str, Irreps]
    ) -> None:
        """Place the Gaussians."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.NORM_LENGTH_KEY],
            irreps_out={
                AtomicDataDict.EDGE_EMBEDDING_KEY: Irreps([(count, (0, 1))]),
                AtomicDataDict.EDGE_CUTOFF_KEY: Irreps("0e"),
            },
        )
        self.cutoff = PolynomialCutoff(polynomial_cutoff_p)
        self.register_buffer(
            "centres", torch.linspace(0, 1, count, dtype=torch.float64)
        )
        self._inverse_width = float(count - 1)
        self._output_dtype = torch.get_default_dtype()

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_EMBEDDING (E, count) and EDGE_CUTOFF (E, 1)."""
        x = data[AtomicDataDict.NORM_LENGTH_KEY]
        cutoff = self.cutoff(x)
        gaussians = torch.exp(
            -0.5 * ((x - self.centres) * self._inverse_width).square()
        )
        data[AtomicDataDict.EDGE_CUTOFF_KEY] = cutoff.to(self._output_dtype)
        data[AtomicDataDict.EDGE_EMBEDDING_KEY] = (gaussians * cutoff).to(
            self._output_dtype
        )
        return data


@compile_mode("script")
class MomentGaussians(torch.nn.Module):
    """Gaussians of |s|, made even: exp[−(|s| − s_k)²/2w²] + exp[−(|s| + s_k)²/2w²].

    An even function of |s| is a smooth function of s; a Gaussian alone has a cusp at
    s = 0, where its force would have no direction.

    Args:
        count: number of Gaussians, 2 or more; w is the distance of two centres.
        largest: last centre, in units of the reference length; the first is 0.
    """

    centres: torch.Tensor

    def __init__(self, count: int, largest: float) -> None:
        """Place the Gaussians."""
        super().__init__()
        centres = torch.linspace(0, largest, count, dtype=torch.float64)
        self.register_buffer("centres", centres)
        self._inverse_width = (count - 1) / float(largest)
        self._epsilon_square = _EPSILON**2

    def forward(self, spins: torch.Tensor) -> torch.Tensor:
        """Spins (N, 3) -> (N, count)."""
        square = spins.square().sum(-1, keepdim=True)
        length = (square + self._epsilon_square).sqrt()
        x, centres = length * self._inverse_width, self.centres * self._inverse_width
        return torch.exp(-0.5 * (x - centres).square()) + torch.exp(
            -0.5 * (x + centres).square()
        )


def reached(wanted: TIrreps, left: TIrreps, right: TIrreps) -> TIrreps:
    """The part of ``wanted`` that a path of left ⊗ right leads to."""
    products = left * right
    return TIrreps([(mul, ir) for mul, ir in wanted if ir in products])


def gate_of(irreps: TIrreps) -> Gate:
    """Nonlinearity to features of ``irreps``: scalars through functions, others gated.

    silu for what nothing changes, tanh for scalars odd under either parity.
    """
    functions: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {
        1: torch.nn.functional.silu,
        -1: torch.tanh,
    }
    scalars = TIrreps([(mul, ir) for mul, ir in irreps if ir.l == 0])
    gated = TIrreps([(mul, ir) for mul, ir in irreps if ir.l > 0])
    gates = TIrreps([(mul, "0ee") for mul, _ in gated])
    return Gate(
        scalars,
        [functions[min(ir.p, ir.t)] for ir in scalars.irreps()],
        gates,
        [functions[1] for _ in gates],
        gated,
    )


@compile_mode("script")
class OwnMoment(torch.nn.Module):
    """x_i ⊗ Y(s_i), the weights of the paths from |s_i| and the species.

    Args:
        features: irreps of x.
        spin_l_max: degree of the harmonics.
        out: irreps of the result.
        num_scalars: width of the scalars that the weights come from.
        width: hidden width of their MLP.
    """

    def __init__(
        self,
        *,
        features: TIrreps,
        spin_l_max: int,
        out: TIrreps,
        num_scalars: int,
        width: int,
    ) -> None:
        """Build the product."""
        super().__init__()
        harmonics = TIrreps.spherical_harmonics(spin_l_max, p=1, t=-1)
        self.product = WeightedProduct(features, harmonics, out)
        self.mlp = ScalarMLPFunction(
            input_dim=num_scalars,
            output_dim=self.product.num_weights,
            hidden_layers_depth=1,
            hidden_layers_width=width,
        )

    def forward(
        self, features: torch.Tensor, harmonics: torch.Tensor, scalars: torch.Tensor
    ) -> torch.Tensor:
        """(N, …), Y(s) (N, (l + 1)²), (N, num_scalars) -> (N, dim of out)."""
        weights = self.mlp(scalars)
        return self.product.mix(self.product(features, harmonics, weights))


@compile_mode("script")
class MagneticBlock(torch.nn.Module):
    """One interaction block over features that know of moments.

        M_i  = mix Σ_j (U x_j) ⊗ Y(r̂_ij),                weights from the distance
        x_i' = gate[ V x_i ⊗ species + mix M_i ⊗ Y(s_i) ], weights from |s_i|

    Args:
        features: irreps of x.
        messages: irreps wanted of M; those that no path leads to are left out.
        hidden: irreps wanted of x', likewise.
        bonds: irreps of the bond harmonics.
        spin_l_max: degree of the moments' harmonics.
        num_type_features: width of the species' embedding.
        num_edge_scalars: radial functions.
        num_node_scalars: width of the scalars of an atom.
        radial_mlp_depth: hidden layers of the radial MLP of a message.
        radial_mlp_width: their width, and that of the MLP over |s|.
        avg_num_neighbors: normalises sums of messages.
    """

    def __init__(
        self,
        *,
        features: TIrreps,
        messages: TIrreps,
        hidden: TIrreps,
        bonds: TIrreps,
        spin_l_max: int,
        num_type_features: int,
        num_edge_scalars: int,
        num_node_scalars: int,
        radial_mlp_depth: int,
        radial_mlp_width: int,
        avg_num_neighbors: float,
    ) -> None:
        """Build the block."""
        super().__init__()
        messages = reached(messages, features, bonds)
        moments = TIrreps.spherical_harmonics(spin_l_max, p=1, t=-1)
        self.gate = gate_of(reached(hidden, messages, moments))
        self.irreps_out = self.gate.irreps_out
        self._norm = float(avg_num_neighbors) ** -0.5
        self.linear = Linear(features, features)
        self.message = WeightedProduct(features, bonds, messages)
        self.radial = ScalarMLPFunction(
            input_dim=num_edge_scalars,
            output_dim=self.message.num_weights,
            hidden_layers_depth=radial_mlp_depth,
            hidden_layers_width=radial_mlp_width,
        )
        self.own = OwnMoment(
            features=messages,
            spin_l_max=spin_l_max,
            out=self.gate.irreps_in,
            num_scalars=num_node_scalars,
            width=radial_mlp_width,
        )
        self.self_connection = FullyConnectedTensorProduct(
            features, TIrreps([(num_type_features, "0ee")]), self.gate.irreps_in
        )

    def forward(
        self,
        features: torch.Tensor,
        edge_index: torch.Tensor,
        bonds: torch.Tensor,
        edge_scalars: torch.Tensor,
        harmonics: torch.Tensor,
        node_scalars: torch.Tensor,
        type_features: torch.Tensor,
    ) -> torch.Tensor:
        """Node features (N, dim) before -> after."""
        neighbours = torch.index_select(self.linear(features), 0, edge_index[1])
        messages = self._norm * scatter(
            self.message(neighbours, bonds, self.radial(edge_scalars)),
            edge_index[0],
            dim=0,
            dim_size=features.size(0),
        )
        update = self.own(self.message.mix(messages), harmonics, node_scalars)
        return self.gate(update + self.self_connection(features, type_features))


@compile_mode("script")
class MagneticInteractions(torch.nn.Module):
    """Energy of each atom from blocks that see the moments, a term like any other.

    Starts from the features of the network over geometry.

    Args:
        type_names: all types of the model.
        magnetic_types: those that carry a moment; that of others is not looked at.
        hidden: irreps of the features after each block; 0ee is among them.
        num_blocks: how many.
        spin_l_max: degree of the moments' harmonics.
        num_gaussians: functions of |s|.
        largest_moment: centre of the last of them, in units of the reference length.
        radial_mlp_depth: hidden layers of the radial MLP of a message.
        radial_mlp_width: their width.
        avg_num_neighbors: normalises sums of messages.
        scale: eV; size of the energy for features of order one.
        irreps_in: of the module before.
    """

    is_magnetic: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        magnetic_types: list[str],
        hidden: TIrreps,
        num_blocks: int,
        spin_l_max: int,
        num_gaussians: int,
        largest_moment: float,
        radial_mlp_depth: int,
        radial_mlp_width: int,
        avg_num_neighbors: float,
        scale: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the blocks."""
        super().__init__()
        self._scale = float(scale)
        self.register_buffer(
            "is_magnetic", torch.tensor([name in magnetic_types for name in type_names])
        )
        num_types = irreps_in[AtomicDataDict.NODE_ATTRS_KEY].num_irreps
        num_node_scalars = num_gaussians + num_types
        self.gaussians = MomentGaussians(num_gaussians, largest_moment)
        self.harmonics = SpinHarmonics(spin_l_max)
        lattice = even_irreps(irreps_in[AtomicDataDict.NODE_FEATURES_KEY])
        moments = TIrreps.spherical_harmonics(spin_l_max, p=1, t=-1)
        features = reached(hidden, lattice, moments)
        self.embed = OwnMoment(
            features=lattice,
            spin_l_max=spin_l_max,
            out=features,
            num_scalars=num_node_scalars,
            width=radial_mlp_width,
        )
        scalars = TIrreps([(hidden.count("0ee"), "0ee")])
        blocks: list[MagneticBlock] = []
        for number in range(1, num_blocks + 1):
            block = MagneticBlock(
                features=features,
                messages=hidden,
                # the energy reads scalars only
                hidden=hidden if number < num_blocks else scalars,
                bonds=even_irreps(irreps_in[AtomicDataDict.EDGE_ATTRS_KEY]),
                spin_l_max=spin_l_max,
                num_type_features=num_types,
                num_edge_scalars=irreps_in[
                    AtomicDataDict.EDGE_EMBEDDING_KEY
                ].num_irreps,
                num_node_scalars=num_node_scalars,
                radial_mlp_depth=radial_mlp_depth,
                radial_mlp_width=radial_mlp_width,
                avg_num_neighbors=avg_num_neighbors,
            )
            features = block.irreps_out
            blocks.append(block)
        self.blocks = torch.nn.ModuleList(blocks)
        self.readout = ScalarMLPFunction(
            input_dim=scalars.dim,
            output_dim=1,
            hidden_layers_depth=1,
            hidden_layers_width=scalars.dim,
        )

    def extra_repr(self) -> str:
        """Irreps of the features between the blocks."""
        return " -> ".join(str(block.irreps_out) for block in self.blocks)

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        magnetic = torch.index_select(
            self.is_magnetic, 0, data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        )
        spins = data[fields.SPINS_KEY] * magnetic.unsqueeze(-1)
        types = data[AtomicDataDict.NODE_ATTRS_KEY]
        harmonics = self.harmonics(spins).to(types.dtype)
        scalars = torch.cat([self.gaussians(spins).to(types.dtype), types], dim=1)
        features = self.embed(
            data[AtomicDataDict.NODE_FEATURES_KEY], harmonics, scalars
        )
        for block in self.blocks:
            features = block(
                features,
                data[AtomicDataDict.EDGE_INDEX_KEY],
                data[AtomicDataDict.EDGE_ATTRS_KEY],
                data[AtomicDataDict.EDGE_EMBEDDING_KEY],
                harmonics,
                scalars,
                types,
            )
        return self._scale * self.readout(features).to(torch.float64)
