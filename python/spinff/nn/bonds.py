"""What surrounds a bond: scalars and tensors of magnetic edges from common neighbours.

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
from spinff.nn.contraction import for_entries, in_slots
from spinff.nn.radial import BesselBasis, PolynomialCutoff
from spinff.nn.terms.exchange import cartesian_basis


def monomials(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """1, u_a v_b row-major, u_a u_b and v_a v_b with a ≤ b; u, v (T, 3) -> (T, 22)."""
    parts = [torch.ones_like(u[:, :1]), (u.unsqueeze(2) * v.unsqueeze(1)).flatten(1)]
    for w in [u, v]:
        x, y, z = w[:, :1], w[:, 1:2], w[:, 2:]
        parts += [x * w, y * w[:, 1:], z * z]
    return torch.cat(parts, dim=1)


def features_of_monomials() -> torch.Tensor:
    """Matrix (22, 20) from monomials to 1, u·v, u × v, and 2ee of uu, vv and uv."""
    two = cartesian_basis(TIrreps("1x2ee")).T  # (9, 5)
    matrix = torch.zeros(22, 20, dtype=torch.float64)
    matrix[0, 0] = 1.0
    matrix[1:10, 1] = torch.eye(3, dtype=torch.float64).flatten()
    for a, b, c in [(0, 1, 2), (1, 2, 0), (2, 0, 1)]:
        matrix[1 + 3 * a + b, 2 + c] = 1.0
        matrix[1 + 3 * b + a, 2 + c] = -1.0
    ordered = [(a, b) for a in range(3) for b in range(a, 3)]
    for row, (a, b) in enumerate(ordered):
        product = two[3 * a + b] + (two[3 * b + a] if a < b else 0.0)
        matrix[10 + row, 5:10] = product
        matrix[16 + row, 10:15] = product
    matrix[1:10, 15:20] = two
    return matrix


@compile_mode("script")
class BondEnvironment(GraphModuleMixin, torch.nn.Module):
    """Features of magnetic edges i→j that know the atoms k around both ends.

        scalars  = edge scalars, c(r_ij) Σ_k a_k b_k, c(r_ij) Σ_k a_k b_k û·v̂
        0ee      = c(r_ij) Σ_k a_k b_k
        1ee      = c(r_ij) Σ_k a_k b_k û × v̂
        2ee      = c(r_ij) (w₁ r̂_ij r̂_ij + Σ_k a_k b_k (w₂ û û + w₃ v̂ v̂ + w₄ û v̂))

    for each channel, with û = r̂_ik, v̂ = r̂_jk, symmetric traceless parts in 2ee, c the
    cutoff polynomial, a linear in the edge scalars of i→k, times the cutoff polynomial
    at the reach, and b linear in the radial basis at r_jk, which ends at the reach.
    Swapping i and j gives other features; the energy of a pair is the mean.

    Args:
        reach: (types, types) Å, of i and k as of j and k; no longer than the cutoffs.
        num_tensor_features: channels.
        tensor_irreps: 0ee alone, or 0ee + 1ee + 2ee.
        num_bessels: radial functions of r_jk.
        polynomial_cutoff_p: power of the cutoff polynomial.
        avg_num_neighbors: normalises the sums.
        irreps_in: of the module before.
    """

    reach: torch.Tensor
    to_irreps: torch.Tensor
    to_features: torch.Tensor

    def __init__(
        self,
        *,
        reach: torch.Tensor,
        num_tensor_features: int,
        tensor_irreps: TIrreps,
        num_bessels: int,
        polynomial_cutoff_p: float,
        avg_num_neighbors: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_FEATURES_KEY,
                AtomicDataDict.NORM_LENGTH_KEY,
                _keys.TRIANGLE_TABLE_KEY,
            ],
        )
        num_scalars = self.irreps_in[AtomicDataDict.EDGE_FEATURES_KEY].num_irreps
        channels = num_tensor_features
        self.irreps_out.update(
            {
                _keys.PAIR_SCALARS_KEY: Irreps([(num_scalars + 2 * channels, (0, 1))]),
                _keys.PAIR_TENSORS_KEY: Irreps(
                    [(channels, ir.e3) for ir in tensor_irreps.irreps()]
                ),
            }
        )
        self._dtype = torch.get_default_dtype()
        self._norm = float(avg_num_neighbors) ** -0.5
        self.has_tensors = tensor_irreps.dim > 1
        self.register_buffer("reach", reach.to(torch.float64))
        self.basis = BesselBasis(num_bessels, polynomial_cutoff_p)
        self.cutoff = PolynomialCutoff(polynomial_cutoff_p)
        self.of_leg = ScalarMLPFunction(num_scalars, channels)
        self.of_distance = ScalarMLPFunction(num_bessels, channels)
        self.weights = torch.nn.Parameter(torch.randn(4, channels, 1))
        # outer products (3, 3), row-major, to 2ee
        self.register_buffer(
            "to_irreps", cartesian_basis(TIrreps("1x2ee")).T.contiguous()
        )
        self.register_buffer("to_features", features_of_monomials().to(self._dtype))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_SCALARS (M, width) and PAIR_TENSORS (M, channels·dim)."""
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
        vectors = torch.index_select(data[AtomicDataDict.EDGE_VECTORS_KEY], 0, rows)
        scalars = torch.index_select(data[AtomicDataDict.EDGE_FEATURES_KEY], 0, rows)
        of_centre = torch.index_select(types, 0, torch.index_select(centre, 0, rows))
        of_end = torch.index_select(types, 0, torch.index_select(end, 0, rows))
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        directions = (vectors / lengths).to(self._dtype)
        bonds, legs = vectors[:num_bonds], vectors[num_bonds:]
        bond_scalars, leg_scalars = scalars[:num_bonds], scalars[num_bonds:]
        reach = self.reach[of_centre[num_bonds:], of_end[num_bonds:]].unsqueeze(-1)
        near = self._norm * self.cutoff(lengths[num_bonds:] / reach)
        of_leg = near.to(self._dtype) * self.of_leg(leg_scalars)  # (L, channels)

        # === the two sides of each triangle i, j, k ===
        first = torch.index_select(legs, 0, leg)  # r_ik (T, 3)
        second = (first - for_entries(bonds, pair, slot, table)).to(self._dtype)  # r_jk
        of_end = of_end.unsqueeze(1)
        reach = self.reach[
            for_entries(of_end[:num_bonds], pair, slot, table).view(-1),
            torch.index_select(of_end[num_bonds:], 0, leg).view(-1),
        ].unsqueeze(-1)
        distance = torch.linalg.vector_norm(second, dim=-1, keepdim=True)
        radial = self.of_distance(self.basis(distance / reach.to(self._dtype)))
        weights = torch.index_select(of_leg, 0, leg) * radial
        along = torch.index_select(directions[num_bonds:], 0, leg)  # û
        across = second / distance  # v̂

        # === sums over k: one small matrix product for each edge ===
        if self.has_tensors:
            angular = monomials(along, across)
        else:
            cosine = (along * across).sum(1, keepdim=True)
            angular = torch.cat([torch.ones_like(cosine), cosine], dim=1)
        sums = torch.bmm(
            in_slots(weights, slot, table).transpose(1, 2),
            in_slots(angular, slot, table),
        )  # (M, channels, monomials)
        if self.has_tensors:
            sums = torch.matmul(sums, self.to_features)
        envelope = self.cutoff(
            torch.index_select(data[AtomicDataDict.NORM_LENGTH_KEY], 0, edges)
        )
        envelope = envelope.to(self._dtype).unsqueeze(2)
        sums = envelope * sums
        data[_keys.PAIR_SCALARS_KEY] = torch.cat(
            [bond_scalars, sums[:, :, :2].flatten(1)], dim=1
        )
        tensors = sums[:, :, :1]
        if self.has_tensors:
            axis = directions[:num_bonds]
            outer = (axis.unsqueeze(2) * axis.unsqueeze(1)).flatten(1)
            own = torch.mm(outer, self.to_irreps.to(self._dtype)).unsqueeze(1)
            own = envelope * own
            tensors = torch.cat(
                [
                    tensors,
                    sums[:, :, 2:5],
                    self.weights[0] * own
                    + self.weights[1] * sums[:, :, 5:10]
                    + self.weights[2] * sums[:, :, 10:15]
                    + self.weights[3] * sums[:, :, 15:20],
                ],
                dim=2,
            )
        data[_keys.PAIR_TENSORS_KEY] = tensors.flatten(1)
        return data
