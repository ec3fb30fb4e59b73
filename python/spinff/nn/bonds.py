"""What surrounds a bond: scalars, D, Γ and tensors from common neighbours.

Allegro describes the environment of an atom i by sums over its neighbours k, which do
not know the other end j of an edge. Which ligands bridge i and j, and on which side of
the bond they lie, is then left to high harmonics: with l ≤ 2 the Dzyaloshinskii–Moriya
vector between second neighbours of a honeycomb is zero by the threefold symmetry of its
sites. Here every k in reach of both ends counts with the vectors to both of them. A
strictly local model can do this, because r_jk = r_ik − r_ij.

The reach may be shorter than the cutoffs. Most common neighbours of two magnetic atoms
are far from both, and say little that the environments of the atoms do not; those that
bridge them are their nearest neighbours.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction

from spinff import fields
from spinff.irreps import TIrreps
from spinff.nn import _keys
from spinff.nn.contraction import (
    as_list,
    as_table,
    at,
    for_entries,
    in_slots,
    sum_of_rows,
)
from spinff.nn.terms.exchange import cartesian_basis

NUM_POLYNOMIALS = 4
"""Functions of the distance between the far end of a bond and an atom beside it."""


def envelope(x: torch.Tensor) -> torch.Tensor:
    """(1 − x³)³ for x < 1, else 0: twice differentiable, and of order 1 well inside."""
    y = (1.0 - x * x * x).clamp_min(0.0)
    return y * y * y


def polynomials(x: torch.Tensor) -> torch.Tensor:
    """Chebyshev's T_0 … T_3 of 2x − 1 times the envelope; x (…, 1) -> (…, 4)."""
    t = 2.0 * x - 1.0
    square = 2.0 * t * t
    functions = [torch.ones_like(t), t, square - 1.0, t * (2.0 * square - 3.0)]
    return envelope(x) * torch.cat(functions, dim=-1)


def monomials(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """u_a v_b row-major, u_a u_b and v_a v_b with a ≤ b; u, v (…, 3) -> (…, 21)."""
    parts = [_outer(u, v)]
    for w in [u, v]:
        x, y, z = w.split(1, dim=-1)
        parts += [x * w, y * w.narrow(-1, 1, 2), z * z]
    return torch.cat(parts, dim=-1)


def features_of_monomials() -> torch.Tensor:
    """Matrix (21, 18) from monomials to u × v, and 2ee of uu, vv and uv."""
    two = cartesian_basis(TIrreps("1x2ee")).T  # (9, 5)
    matrix = torch.zeros(21, 18, dtype=torch.float64)
    for a, b, c in [(0, 1, 2), (1, 2, 0), (2, 0, 1)]:
        matrix[3 * a + b, c] = 1.0
        matrix[3 * b + a, c] = -1.0
    ordered = [(a, b) for a in range(3) for b in range(a, 3)]
    for row, (a, b) in enumerate(ordered):
        product = two[3 * a + b] + (two[3 * b + a] if a < b else 0.0)
        matrix[9 + row, 3:8] = product
        matrix[15 + row, 8:13] = product
    matrix[:9, 13:18] = two
    return matrix


@compile_mode("script")
class BondEnvironment(GraphModuleMixin, torch.nn.Module):
    """Scalars of magnetic edges i→j that know the atoms k around both ends.

        w_k = c(r_ij) a_k b_k                    for each channel
        scalars = edge latent, Σ_k w_k, Σ_k w_k û·v̂

    with û = r̂_ik, v̂ = r̂_jk; c the first radial function of the edge; a linear in the
    edge latent of i→k, times (1 − x³)³, x = r_ik² over the square of the reach; b the
    same times a polynomial, of x = r_jk² over the square of the reach. Swapping i and j
    gives other features; the energy of a pair is the mean.

    Args:
        reach: (types, types) Å, of i and k as of j and k; no longer than the cutoffs.
        channels: of the weights.
        directions: whether D, Γ or tensors are to be made, which read those.
        avg_num_neighbors: normalises the sums.
        irreps_in: of the module before.
    """

    inverse_square: torch.Tensor

    def __init__(
        self,
        *,
        reach: torch.Tensor,
        channels: int,
        directions: bool,
        avg_num_neighbors: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                _keys.EDGE_LATENT_KEY,
                _keys.EDGE_BASIS_KEY,
                _keys.TRIANGLE_TABLE_KEY,
            ],
        )
        num_scalars = self.irreps_in[_keys.EDGE_LATENT_KEY].num_irreps
        self.irreps_out[_keys.PAIR_SCALARS_KEY] = Irreps(
            [(num_scalars + 2 * channels, (0, 1))]
        )
        self.irreps_out[_keys.PAIR_BASIS_KEY] = self.irreps_in[_keys.EDGE_BASIS_KEY]
        self.directions = directions
        if directions:
            added = [
                _keys.PAIR_OUTER_KEY,
                _keys.TRIANGLE_WEIGHTS_KEY,
                _keys.TRIANGLE_SIDES_KEY,
            ]
            self.irreps_out.update(dict.fromkeys(added))
        self._dtype = torch.get_default_dtype()
        self._norm = float(avg_num_neighbors) ** -0.5
        self.num_types = reach.size(0)
        self.register_buffer("inverse_square", reach.to(torch.float64).pow(-2).view(-1))
        self.of_leg = ScalarMLPFunction(num_scalars, channels)
        self.of_distance = ScalarMLPFunction(NUM_POLYNOMIALS, channels)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_SCALARS (M, width) and PAIR_BASIS (M, functions).

        With directions also PAIR_OUTER, TRIANGLE_WEIGHTS and TRIANGLE_SIDES, those of
        triangles as ``as_table``.
        """
        edges = data[fields.MAGNETIC_EDGES_KEY]
        centre, end = data[AtomicDataDict.EDGE_INDEX_KEY].unbind(0)
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        pair = data[_keys.TRIANGLE_BOND_KEY]
        leg = data[_keys.TRIANGLE_LEG_KEY]
        slot = data[_keys.TRIANGLE_SLOT_KEY]
        table = data[_keys.TRIANGLE_TABLE_KEY]

        # === bonds i→j and legs i→k: few of all edges ===
        num_bonds = edges.size(0)
        rows = torch.cat([edges, data[_keys.LEG_EDGES_KEY]])
        num_legs = rows.size(0) - num_bonds
        vectors = torch.index_select(data[AtomicDataDict.EDGE_VECTORS_KEY], 0, rows)
        bonds, legs = vectors.split([num_bonds, num_legs])
        latent = torch.index_select(data[_keys.EDGE_LATENT_KEY], 0, rows)
        of_bond, of_leg = latent.split([num_bonds, num_legs])
        # by the types of two atoms, of which the second is the end of an edge
        of_centre = self.num_types * torch.index_select(types, 0, centre[rows])
        of_end = torch.index_select(types, 0, end[rows])
        kind = (of_centre + of_end)[num_bonds:]
        squares = legs.square().sum(-1, keepdim=True)  # r_ik²
        x = squares * torch.index_select(self.inverse_square, 0, kind).unsqueeze(-1)
        of_leg = (self._norm * envelope(x)).to(self._dtype) * self.of_leg(of_leg)
        data[_keys.PAIR_BASIS_KEY] = torch.index_select(
            data[_keys.EDGE_BASIS_KEY], 0, edges
        )
        of_distance = data[_keys.PAIR_BASIS_KEY].narrow(-1, 0, 1).to(self._dtype)

        # === the two sides of each triangle i, j, k ===
        first = at(legs, leg, slot, table)  # r_ik (T, 3)
        second = (first - for_entries(bonds, pair, slot)).to(self._dtype)  # r_jk
        first = first.to(self._dtype)
        kind = for_entries(self.num_types * of_end[:num_bonds], pair, slot)
        kind = kind + at(of_end[num_bonds:], leg, slot, table)
        inverse_square = self.inverse_square[kind].to(self._dtype).unsqueeze(-1)
        across = second.square().sum(-1, keepdim=True)  # r_jk²
        along = at(squares.to(self._dtype), leg, slot, table)
        radial = polynomials(across * inverse_square)
        radial = as_table(self.of_distance(as_list(radial, slot)), slot, table)
        weights = (
            at(of_leg, leg, slot, table) * radial * for_entries(of_distance, pair, slot)
        )
        cosine = (first * second).sum(-1, keepdim=True) * torch.rsqrt(along * across)

        # === sums over k ===
        sums = torch.cat([weights, weights * cosine], dim=-1)
        sums = sum_of_rows(sums, pair, slot, table)
        data[_keys.PAIR_SCALARS_KEY] = torch.cat([of_bond, sums], dim=1)
        if self.directions:
            lengths = torch.linalg.vector_norm(bonds, dim=-1, keepdim=True)
            axis = (bonds / lengths).to(self._dtype)
            data[_keys.PAIR_OUTER_KEY] = _outer(of_distance * axis, axis)
            data[_keys.TRIANGLE_WEIGHTS_KEY] = weights
            data[_keys.TRIANGLE_SIDES_KEY] = torch.cat(
                [first * torch.rsqrt(along), second * torch.rsqrt(across)], dim=-1
            )
        return data


@compile_mode("script")
class BondExchange(GraphModuleMixin, torch.nn.Module):
    """D and Γ of magnetic edges from the triangles i, j, k.

        D = Σ_k α_k û × v̂
        Γ = β c(r_ij) r̂ r̂ + Σ_k (β'_k û û + β''_k v̂ v̂ + β'''_k û v̂), traceless part

    α_k is linear in the weights of triangle k, with factors that the hidden layer of
    the bond gives; so are the β_k. As the factors belong to the bond, this is a mixture
    of as many tensors as there are channels, of which none is ever made.

    Args:
        channels: of the triangles' weights.
        irreps_in: of the module before.
    """

    def __init__(self, *, channels: int, irreps_in: dict[str, Irreps]) -> None:
        """Build; D and Γ start small."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_HIDDEN_KEY, _keys.TRIANGLE_WEIGHTS_KEY],
            irreps_out={_keys.RELATIVISTIC_KEY: None},
        )
        hidden = self.irreps_in[_keys.PAIR_HIDDEN_KEY].num_irreps
        self._norm = channels**-0.5
        self.factors = ScalarMLPFunction(hidden, 2 * channels)
        # beside the network's: the weights of triangles vanish at the cutoff, and a
        # product of two small numbers would take thousands of steps to train
        self.tensor_weights = torch.nn.Parameter(torch.zeros(2 * channels))
        # of û û, v̂ v̂, û v̂ and r̂ r̂
        self.kinds = torch.nn.Parameter(torch.randn(channels, 4))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add RELATIVISTIC (M, 9)."""
        pair = data[_keys.TRIANGLE_BOND_KEY]
        slot = data[_keys.TRIANGLE_SLOT_KEY]
        table = data[_keys.TRIANGLE_TABLE_KEY]
        weights = data[_keys.TRIANGLE_WEIGHTS_KEY]  # (T, channels)
        u, v = data[_keys.TRIANGLE_SIDES_KEY].chunk(2, dim=-1)
        factors = self.factors(data[_keys.PAIR_HIDDEN_KEY]) + self.tensor_weights
        factors = self._norm * factors
        of_d, of_gamma = for_entries(factors, pair, slot).chunk(2, dim=-1)
        alpha = (of_d * weights).sum(-1, keepdim=True)
        betas = torch.matmul(of_gamma * weights, self.kinds[:, :3])
        uu, vv, uv = betas.split(1, dim=-1)
        # α (û v̂ − v̂ û) + β''' (û v̂ + v̂ û) / 2 and the rest, as û p + v̂ q
        p = uu * u + (0.5 * uv + alpha) * v
        q = vv * v + (0.5 * uv - alpha) * u
        matrices = sum_of_rows(_outer(u, p) + _outer(v, q), pair, slot, table)
        own = torch.mm(factors.chunk(2, dim=1)[1], self.kinds[:, 3:])  # (M, 1)
        matrices = matrices + own * data[_keys.PAIR_OUTER_KEY]
        identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device).view(1, 9)
        trace = (matrices * identity).sum(1, keepdim=True)
        data[_keys.RELATIVISTIC_KEY] = matrices - trace / 3.0 * identity
        return data


@compile_mode("script")
class BondTensors(GraphModuleMixin, torch.nn.Module):
    """Tensors of magnetic edges for networks that read them, the TENN.

        1ee = Σ_k w_k û × v̂
        2ee = w₁ c(r_ij) r̂ r̂ + Σ_k w_k (w₂ û û + w₃ v̂ v̂ + w₄ û v̂)

    for each channel, symmetric traceless parts in 2ee; symbols as in
    ``BondEnvironment``.

    Args:
        channels: of the triangles' weights.
        irreps_in: of the module before.
    """

    to_irreps: torch.Tensor
    to_features: torch.Tensor

    def __init__(self, *, channels: int, irreps_in: dict[str, Irreps]) -> None:
        """Build."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.TRIANGLE_WEIGHTS_KEY],
            irreps_out={
                _keys.PAIR_TENSORS_KEY: Irreps([(channels, (1, 1)), (channels, (2, 1))])
            },
        )
        dtype = torch.get_default_dtype()
        self.weights = torch.nn.Parameter(torch.randn(4, channels, 1))
        # outer products (3, 3), row-major, to 2ee
        self.register_buffer(
            "to_irreps", cartesian_basis(TIrreps("1x2ee")).T.contiguous().to(dtype)
        )
        self.register_buffer("to_features", features_of_monomials().to(dtype))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_TENSORS (M, channels·8)."""
        slot = data[_keys.TRIANGLE_SLOT_KEY]
        table = data[_keys.TRIANGLE_TABLE_KEY]
        weights = data[_keys.TRIANGLE_WEIGHTS_KEY]
        u, v = data[_keys.TRIANGLE_SIDES_KEY].chunk(2, dim=-1)
        sums = torch.bmm(
            in_slots(weights, slot, table).permute(1, 2, 0),
            in_slots(monomials(u, v), slot, table).transpose(0, 1),
        )  # (M, channels, monomials): one small matrix product for each edge
        sums = torch.matmul(sums, self.to_features)
        own = torch.mm(data[_keys.PAIR_OUTER_KEY], self.to_irreps).unsqueeze(1)
        two = (
            self.weights[0] * own
            + self.weights[1] * sums[:, :, 3:8]
            + self.weights[2] * sums[:, :, 8:13]
            + self.weights[3] * sums[:, :, 13:18]
        )
        tensors = torch.cat([sums[:, :, :3], two], dim=2)
        data[_keys.PAIR_TENSORS_KEY] = tensors.flatten(1)
        return data


def _outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a_x b_y row-major; (…, 3), (…, 3) -> (…, 9)."""
    return (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2)
