"""What surrounds a bond: scalars and tensors of magnetic edges from common neighbours.

Allegro describes the environment of an atom i by sums over its neighbours k, which do
not know the other end j of an edge. Which ligands bridge i and j, and on which side of
the bond they lie, is then left to high harmonics: with l ≤ 2 the Dzyaloshinskii–Moriya
vector between second neighbours of a honeycomb is zero by the threefold symmetry of its
sites. Here every k that both ends see counts with the vectors to both of them. A
strictly local model can do this, because r_jk = r_ik − r_ij.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter
from nequip.nn.embedding import PolynomialCutoff

from spinff import fields
from spinff.irreps import TIrreps
from spinff.nn import _keys
from spinff.nn.contraction import padded_slots
from spinff.nn.terms.baseline import BesselBasis
from spinff.nn.terms.exchange import cartesian_basis


def common_neighbours(
    edge_index: torch.Tensor,
    edge_vectors: torch.Tensor,
    types: torch.Tensor,
    pairs: torch.Tensor,
    cutoffs: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Atoms k that both ends of an edge i→j see, each once.

    Args:
        edge_index: (2, E).
        edge_vectors: (E, 3) r_ij, Å.
        types: (N,).
        pairs: (M,) indices of the edges i→j.
        cutoffs: (types, types) Å.

    Returns:
        pair (T,), row of ``pairs``, and leg (T,), index of the edge i→k; every k with
        |r_ik − r_ij| below the cutoff of j and k.
    """
    if pairs.size(0) == 0:
        return pairs, pairs
    centre = edge_index[0]
    num_centres = int(centre.max()) + 1
    slot, width = padded_slots(centre, num_centres)
    table = centre.new_full((num_centres * width,), -1)
    table[slot] = torch.arange(centre.size(0), device=centre.device)
    legs = torch.index_select(
        table.view(num_centres, width), 0, torch.index_select(centre, 0, pairs)
    )  # (M, width) edges of i, −1 where it has fewer
    pair, column = torch.where((legs >= 0) & (legs != pairs.unsqueeze(1)))
    leg = legs[pair, column]
    end = torch.index_select(edge_index[1], 0, torch.index_select(pairs, 0, pair))
    third = torch.index_select(edge_index[1], 0, leg)
    cutoff = cutoffs[types[end], types[third]]
    vectors = torch.index_select(edge_vectors, 0, leg) - torch.index_select(
        edge_vectors, 0, torch.index_select(pairs, 0, pair)
    )
    near = torch.where(vectors.square().sum(-1) < cutoff.square())[0]
    return torch.index_select(pair, 0, near), torch.index_select(leg, 0, near)


@compile_mode("script")
class BondEnvironment(GraphModuleMixin, torch.nn.Module):
    """Features of magnetic edges i→j that know the atoms k around both ends.

        scalars  = edge scalars, c(r_ij) Σ_k a_k b_k, c(r_ij) Σ_k a_k b_k û·v̂
        0ee      = c(r_ij) Σ_k a_k b_k
        1ee      = c(r_ij) Σ_k a_k b_k û × v̂
        2ee      = c(r_ij) (w₁ r̂_ij r̂_ij + Σ_k a_k b_k (w₂ û û + w₃ v̂ v̂ + w₄ û v̂))

    for each channel, with û = r̂_ik, v̂ = r̂_jk, symmetric traceless parts in 2ee, c the
    cutoff polynomial, a linear in the edge scalars of i→k and b in the radial basis at
    r_jk. Swapping i and j gives other features; the energy of a pair is the mean.

    Args:
        cutoffs: (types, types) Å.
        num_tensor_features: channels.
        tensor_irreps: 0ee alone, or 0ee + 1ee + 2ee.
        num_bessels: radial functions of r_jk.
        polynomial_cutoff_p: power of the cutoff polynomial.
        avg_num_neighbors: normalises the sums.
        irreps_in: of the module before.
    """

    cutoffs: torch.Tensor
    to_irreps: torch.Tensor

    def __init__(
        self,
        *,
        cutoffs: torch.Tensor,
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
        self.register_buffer("cutoffs", cutoffs.to(torch.float64))
        self.basis = BesselBasis(num_bessels, polynomial_cutoff_p)
        self.cutoff = PolynomialCutoff(polynomial_cutoff_p)
        self.of_leg = ScalarMLPFunction(num_scalars, channels)
        self.of_distance = ScalarMLPFunction(num_bessels, channels)
        self.weights = torch.nn.Parameter(torch.randn(4, channels, 1))
        # outer products (3, 3), row-major, to 2ee
        self.register_buffer(
            "to_irreps", cartesian_basis(TIrreps("1x2ee")).T.contiguous()
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add PAIR_SCALARS (M, width) and PAIR_TENSORS (M, channels·dim)."""
        edges = data[fields.MAGNETIC_EDGES_KEY]
        vectors = data[AtomicDataDict.EDGE_VECTORS_KEY]
        scalars = data[AtomicDataDict.EDGE_FEATURES_KEY]
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        pair, leg = common_neighbours(
            edge_index, vectors.detach(), types, edges, self.cutoffs
        )

        # === the two sides of each triangle i, j, k ===
        bond = torch.index_select(vectors, 0, edges)  # (M, 3)
        first = torch.index_select(vectors, 0, leg)  # r_ik (T, 3)
        second = first - torch.index_select(bond, 0, pair)  # r_jk
        end = torch.index_select(edge_index[1], 0, edges)
        cutoff = self.cutoffs[
            types[torch.index_select(end, 0, pair)],
            types[torch.index_select(edge_index[1], 0, leg)],
        ].unsqueeze(-1)
        distance = torch.linalg.vector_norm(second, dim=-1, keepdim=True)
        weights = self._norm * (
            torch.index_select(self.of_leg(scalars), 0, leg)
            * self.of_distance(self.basis(distance / cutoff).to(self._dtype))
        )  # (T, channels)
        u = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True)
        v = second / distance

        # === sums over k ===
        parts = [torch.ones_like(distance), (u * v).sum(-1, keepdim=True)]
        if self.has_tensors:
            parts.append(torch.linalg.cross(u, v, dim=-1))
            for a, b in [(u, u), (v, v), (u, v)]:
                outer = (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1)
                parts.append(torch.mm(outer, self.to_irreps))
        angular = torch.cat(parts, dim=1).to(self._dtype)
        sums = scatter(
            weights.unsqueeze(2) * angular.unsqueeze(1),
            pair,
            dim=0,
            dim_size=edges.size(0),
        )  # (M, channels, 2 or 20)
        envelope = self.cutoff(
            torch.index_select(data[AtomicDataDict.NORM_LENGTH_KEY], 0, edges)
        )
        envelope = envelope.to(self._dtype).unsqueeze(2)
        sums = envelope * sums
        data[_keys.PAIR_SCALARS_KEY] = torch.cat(
            [torch.index_select(scalars, 0, edges), sums[:, :, :2].flatten(1)], dim=1
        )
        tensors = sums[:, :, :1]
        if self.has_tensors:
            axis = bond / torch.linalg.vector_norm(bond, dim=-1, keepdim=True)
            outer = (axis.unsqueeze(2) * axis.unsqueeze(1)).flatten(1)
            own = torch.mm(outer, self.to_irreps).to(self._dtype).unsqueeze(1)
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
