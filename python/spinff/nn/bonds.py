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
from spinff.nn.contraction import in_slots, sum_of_rows
from spinff.nn.terms.exchange import cartesian_basis
from spinff.nn.terms.pairs import PairReadout

POWERS_TO_CHEBYSHEV = (
    (1.0, 0.0, 0.0, 0.0),
    (-1.0, 2.0, 0.0, 0.0),
    (1.0, -8.0, 8.0, 0.0),
    (-1.0, 18.0, -48.0, 32.0),
)
"""Coefficients of 1, x, x², x³ in T_0 … T_3 of 2x − 1, one polynomial a row."""


def envelope(cube: torch.Tensor) -> torch.Tensor:
    """(1 − x³)³ for x < 1, else 0: twice differentiable, and of order 1 well inside."""
    return torch.relu(1.0 - cube).pow(3)


def monomials(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """u_a v_b row-major, u_a u_b and v_a v_b with a ≤ b; u, v (3, …) -> (21, …)."""
    parts = [_outer(u, v)]
    for w in [u, v]:
        x, y, z = w.split(1)
        parts += [x * w, y * w[1:], z * z]
    return torch.cat(parts)


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

        w_k = c(r_ij) a_k b_k        for each channel
        scalars = edge latent, Σ_k w_k

    c is the first radial function of the edge; a linear in the edge latent of i→k,
    times e(r_ik²/reach²); b a polynomial of r_jk²/reach², times e of the same; and
    e(x) = (1 − x³)³. With r_ij, r_ik and r_jk the angles are given too. Swapping i and
    j gives other features; the energy of a pair is the mean.

    Args:
        reach: Å, of i and k as of j and k; edges i→k may end before.
        channels: of the weights.
        directions: whether D, Γ or tensors are to be made, which read those.
        avg_num_neighbors: normalises the sums.
        irreps_in: of the module before.
    """

    chebyshev: torch.Tensor

    def __init__(
        self,
        *,
        reach: float,
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
            [(num_scalars + channels, (0, 1))]
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
        self._inverse_square = float(reach) ** -2
        self._channels = channels
        self.of_leg = ScalarMLPFunction(num_scalars, channels)
        chebyshev = torch.tensor(POWERS_TO_CHEBYSHEV, dtype=self._dtype)
        # with what normalises the functions and the sums
        norm = (len(chebyshev) * avg_num_neighbors) ** -0.5
        self.register_buffer("chebyshev", norm * chebyshev)
        self.of_distance = torch.nn.Parameter(torch.randn(channels, len(chebyshev)))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_SCALARS (M, width) and PAIR_BASIS (M, functions).

        With directions also PAIR_OUTER, TRIANGLE_WEIGHTS and TRIANGLE_SIDES.
        """
        edges = data[fields.MAGNETIC_EDGES_KEY]
        pair = data[_keys.TRIANGLE_BOND_KEY]
        leg = data[_keys.TRIANGLE_LEG_KEY]
        slot = data[_keys.TRIANGLE_SLOT_KEY]
        table = data[_keys.TRIANGLE_TABLE_KEY]

        # === bonds i→j and legs i→k: few of all edges ===
        rows = torch.cat([edges, data[_keys.LEG_EDGES_KEY]])
        sizes = [edges.size(0), rows.size(0) - edges.size(0)]
        vectors = torch.index_select(data[AtomicDataDict.EDGE_VECTORS_KEY], 0, rows)
        bonds, legs = vectors.to(self._dtype).t().contiguous().split(sizes, dim=1)
        latent = torch.index_select(data[_keys.EDGE_LATENT_KEY], 0, rows)
        of_bond, of_leg = latent.split(sizes)
        x = self._inverse_square * legs.square().sum(0, keepdim=True)
        of_leg = envelope(x.pow(3)) * self.of_leg(of_leg).t()
        basis = torch.index_select(data[_keys.EDGE_BASIS_KEY], 0, edges)
        data[_keys.PAIR_BASIS_KEY] = basis
        decay = basis.narrow(1, 0, 1).to(self._dtype).t()

        # === triangles i, j, k ===
        of_bonds = _of_bonds(torch.cat([bonds, decay]), pair, slot)
        of_legs = _of_legs(torch.cat([legs, of_leg]), leg, slot, table)
        ij, decay_of_bond = of_bonds.split([3, 1])
        ik, of_leg = of_legs.split([3, self._channels])
        jk = ik - ij  # from j to k
        x = self._inverse_square * jk.square().sum(0, keepdim=True)
        cube = x.pow(3)
        powers = torch.cat([torch.ones_like(x), x, x.square(), cube])
        powers = (decay_of_bond * envelope(cube)) * powers
        of_distance = torch.mm(self.of_distance, self.chebyshev)
        weights = of_leg * _linear(of_distance, powers)

        # === sums over k ===
        sums = sum_of_rows(weights, pair, slot, table, dim=1)
        data[_keys.PAIR_SCALARS_KEY] = torch.cat([of_bond, sums.t()], dim=1)
        if self.directions:
            axis = _unit(bonds)
            data[_keys.PAIR_OUTER_KEY] = _outer(decay * axis, axis)
            data[_keys.TRIANGLE_WEIGHTS_KEY] = weights
            data[_keys.TRIANGLE_SIDES_KEY] = torch.cat([_unit(ik), _unit(jk)])
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

    traceless: torch.Tensor

    def __init__(self, *, channels: int, irreps_in: dict[str, Irreps]) -> None:
        """Build; D and Γ start small."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_HIDDEN_KEY, _keys.TRIANGLE_WEIGHTS_KEY],
            irreps_out={_keys.RELATIVISTIC_KEY: None},
        )
        hidden = self.irreps_in[_keys.PAIR_HIDDEN_KEY].num_irreps
        self.norm = channels**-0.5
        self.factors = PairReadout(hidden, 2 * channels, self.norm)
        # beside the network's: the weights of triangles vanish at the cutoff, and a
        # product of two small numbers would take thousands of steps to train
        self.tensor_weights = torch.nn.Parameter(torch.zeros(2 * channels))
        # of û û, v̂ v̂, û v̂ and r̂ r̂
        self.kinds = torch.nn.Parameter(torch.randn(4, channels))
        identity = torch.eye(3).view(9, 1)
        self.register_buffer("traceless", torch.eye(9) - identity * identity.T / 3.0)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add RELATIVISTIC (M, 9)."""
        pair = data[_keys.TRIANGLE_BOND_KEY]
        slot = data[_keys.TRIANGLE_SLOT_KEY]
        table = data[_keys.TRIANGLE_TABLE_KEY]
        weights = data[_keys.TRIANGLE_WEIGHTS_KEY]
        u, v = data[_keys.TRIANGLE_SIDES_KEY].chunk(2)
        factors = self.factors(data[_keys.PAIR_HIDDEN_KEY])
        factors = (factors + self.norm * self.tensor_weights).t().contiguous()
        of_d, of_gamma = _of_bonds(factors, pair, slot).chunk(2)
        alpha = (of_d * weights).sum(0, keepdim=True)
        betas = _linear(self.kinds[:3], of_gamma * weights)
        uu, vv, uv = betas.split(1)
        # α (û v̂ − v̂ û) + β''' (û v̂ + v̂ û) / 2 and the rest, as û p + v̂ q
        p = uu * u + (0.5 * uv + alpha) * v
        q = vv * v + (0.5 * uv - alpha) * u
        matrices = sum_of_rows(_outer(u, p) + _outer(v, q), pair, slot, table, dim=1)
        own = torch.mm(self.kinds[3:], factors.chunk(2)[1])  # (1, M)
        matrices = matrices + own * data[_keys.PAIR_OUTER_KEY]
        data[_keys.RELATIVISTIC_KEY] = torch.mm(self.traceless, matrices).t()
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
        u, v = data[_keys.TRIANGLE_SIDES_KEY].chunk(2)
        sums = torch.bmm(
            _by_bond(weights, slot, table),
            _by_bond(monomials(u, v), slot, table).transpose(1, 2),
        )  # (M, channels, monomials): one small matrix product for each edge
        sums = torch.matmul(sums, self.to_features)
        own = torch.mm(data[_keys.PAIR_OUTER_KEY].t(), self.to_irreps).unsqueeze(1)
        two = (
            self.weights[0] * own
            + self.weights[1] * sums[:, :, 3:8]
            + self.weights[2] * sums[:, :, 8:13]
            + self.weights[3] * sums[:, :, 13:18]
        )
        tensors = torch.cat([sums[:, :, :3], two], dim=2)
        data[_keys.PAIR_TENSORS_KEY] = tensors.flatten(1)
        return data


# === what belongs to triangles ===
# Components come first: (components, T), or (components, width, M) for a compiled
# network, which gets the triangles as a table (``spinff.nn.contraction``). Numbers side
# by side in memory are then of different triangles, of which there are many.


def _of_bonds(
    values: torch.Tensor, pair: torch.Tensor, slot: torch.Tensor
) -> torch.Tensor:
    """(components, M) for the triangles of each bond, in a table to broadcast."""
    if slot.size(0) > 0:
        return torch.index_select(values, 1, pair)
    return values.unsqueeze(1)


def _of_legs(
    values: torch.Tensor, leg: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """(components, L) for the triangles of each leg."""
    if slot.size(0) > 0:
        return torch.index_select(values, 1, leg)
    return values[:, leg.view(table.shape)]


def _by_bond(
    entries: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """(M, components, width), zero where a bond has fewer triangles."""
    if slot.size(0) > 0:
        return in_slots(entries.t(), slot, table).permute(1, 2, 0)
    return entries.permute(2, 0, 1)


def _linear(matrix: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """(results, components) times (components, …)."""
    if entries.ndim == 2:
        return torch.mm(matrix, entries)
    return torch.mm(matrix, entries.flatten(1)).unflatten(1, entries.shape[1:])


def _outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a_x b_y row-major; (3, …), (3, …) -> (9, …)."""
    return (a.unsqueeze(1) * b.unsqueeze(0)).flatten(0, 1)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """Directions of (3, …)."""
    return vectors * torch.rsqrt(vectors.square().sum(0, keepdim=True))
