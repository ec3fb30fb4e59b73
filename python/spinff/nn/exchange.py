"""Exchange tensors from geometry, and the energy and field they give.

E_J = ½ Σ_{i≠j} e_iᵀ J_ij e_j with J = J_iso·1 + [D]× + Γ (SpinGNN++, Yu et al.,
Phys. Rev. B 110, 104427, Eqs. 4–8): 0e is Heisenberg, 1e Dzyaloshinskii–Moriya, 2e the
symmetric traceless anisotropy. A directed edge carries J̃_ij; only the mean of J̃_ij and
J̃_jiᵀ enters the energy, so the owner of atom i never needs the edge that another rank
owns.
"""

from __future__ import annotations

import math

import torch
from e3nn.o3 import Irreps, wigner_3j
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter
from nequip.nn.embedding import PolynomialCutoff

from spinff import fields
from spinff.irreps import TIrrep, TIrreps
from spinff.nn.allegro import EDGE_TENSORS_KEY

SPIN = TIrrep("1eo")


def exchange_irreps(spin_orbit_coupling: bool) -> TIrreps:
    """What couples two spins to a scalar: e ⊗ e = 0ee + 1ee + 2ee.

    Without spin–orbit coupling the energy does not change when spins rotate alone, so
    only the scalar is left.
    """
    couplings = SPIN * SPIN
    return TIrreps([(1, ir) for ir in couplings if spin_orbit_coupling or ir.l == 0])


@compile_mode("script")
class BesselBasis(torch.nn.Module):
    """B_n(x) = n sinc(n x) times a polynomial cutoff, x = r / r_cut, n = 1 … count.

    The radial basis of nequip (DimeNet, arXiv 2003.03123), in float64.
    """

    def __init__(self, count: int, polynomial_cutoff_p: float) -> None:
        """Set up ``count`` functions with a cutoff polynomial of power p."""
        super().__init__()
        self.cutoff = PolynomialCutoff(polynomial_cutoff_p)
        self.register_buffer("n", torch.arange(1, count + 1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (M, 1) -> (M, count)."""
        return torch.sinc(x * self.n) * self.n * self.cutoff(x)


def magnetic_edge_indices(
    edge_index: torch.Tensor, types: torch.Tensor, is_magnetic: torch.Tensor
) -> torch.Tensor:
    """Ascending indices (M,) of the edges whose two atoms have magnetic types."""
    ends = torch.index_select(is_magnetic, 0, types.view(-1))
    both = torch.index_select(ends, 0, edge_index[0]) & torch.index_select(
        ends, 0, edge_index[1]
    )
    return torch.nonzero(both).view(-1)


@compile_mode("script")
class ExchangeHead(GraphModuleMixin, torch.nn.Module):
    """J̃ of every magnetic edge: a linear J(r) of its pair of types plus the network.

    The linear part is fitted to the data before training (``SpinStatistics``): the
    network alone starts three orders of magnitude below the exchange of an oxide,
    because an MLP without bias decays with its input at the cutoff, and needs thousands
    of steps to climb.

    Args:
        type_names: all types of the model.
        magnetic_types: those that carry a moment.
        baseline: (type pair, e.g. ``"Ni-Ni"``) -> coefficients of B_n in eV.
        correction_scale: eV; size of the network's part at the start.
        spin_orbit_coupling: full tensor, or Heisenberg only.
        num_tensor_features: channels of the edge tensors.
        polynomial_cutoff_p: of the baseline's cutoff.
        mlp_hidden_layers_width: of the readout MLP.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        type_names: list[str],
        magnetic_types: list[str],
        baseline: dict[str, list[float]],
        correction_scale: float,
        spin_orbit_coupling: bool,
        num_tensor_features: int,
        polynomial_cutoff_p: float,
        mlp_hidden_layers_width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self.num_types = len(type_names)
        self.correction_scale = float(correction_scale)
        self.channels = num_tensor_features
        self.irreps = exchange_irreps(spin_orbit_coupling)
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.EDGE_FEATURES_KEY, EDGE_TENSORS_KEY],
            irreps_out={fields.MAGNETIC_EDGES_KEY: None, fields.EXCHANGE_KEY: None},
        )
        self.register_buffer(
            "is_magnetic", torch.tensor([name in magnetic_types for name in type_names])
        )

        # === baseline ===
        coefficients = baseline_table(type_names, baseline)
        self.baseline = torch.nn.Parameter(coefficients)  # (T·T, count)
        self.basis = BesselBasis(coefficients.size(1), polynomial_cutoff_p)

        # === correction ===
        # one weight for J_iso, and one per channel for each of D and Γ
        self._num_tensors = len(self.irreps) - 1
        self.mlp = ScalarMLPFunction(
            input_dim=self.irreps_in[AtomicDataDict.EDGE_FEATURES_KEY].num_irreps,
            output_dim=1 + self._num_tensors * num_tensor_features,
            hidden_layers_depth=1,
            hidden_layers_width=mlp_hidden_layers_width,
        )
        self._tensor_dim = self.irreps.dim
        irrep_of_component = [
            n for n, ir in enumerate(self.irreps.irreps()) for _ in range(ir.dim)
        ]
        self.register_buffer("irrep_of_component", torch.tensor(irrep_of_component))
        self.register_buffer("to_cartesian", cartesian_basis(self.irreps))

    def extra_repr(self) -> str:
        """Irreps of J."""
        return f"J = {self.irreps} | {self.channels} channels"

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EXCHANGE (M, 3, 3) eV on the edges listed in MAGNETIC_EDGES (M,)."""
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        if fields.MAGNETIC_EDGES_KEY not in data:
            data[fields.MAGNETIC_EDGES_KEY] = magnetic_edge_indices(
                edge_index, types, self.is_magnetic
            )
        edges = data[fields.MAGNETIC_EDGES_KEY]
        pair = torch.index_select(types, 0, torch.index_select(edge_index[0], 0, edges))
        pair = pair * self.num_types + torch.index_select(
            types, 0, torch.index_select(edge_index[1], 0, edges)
        )

        x = torch.index_select(data[AtomicDataDict.NORM_LENGTH_KEY], 0, edges)
        linear = self.basis(x) * torch.index_select(self.baseline, 0, pair)  # (M, n)

        scalars = torch.index_select(data[AtomicDataDict.EDGE_FEATURES_KEY], 0, edges)
        weights = self.mlp(scalars)  # (M, 1 + tensors·channels)
        components = weights[:, :1]
        if self._num_tensors > 0:
            components = self._components(data[EDGE_TENSORS_KEY], edges, weights)
        exchange = torch.mm(
            self.correction_scale * components.to(torch.float64), self.to_cartesian
        ).view(-1, 3, 3)
        identity = torch.eye(3, dtype=exchange.dtype, device=exchange.device)
        data[fields.EXCHANGE_KEY] = exchange + linear.sum(1).view(-1, 1, 1) * identity
        return data

    def _components(
        self, tensors: torch.Tensor, edges: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Irrep components (M, dim): the scalar from the MLP, tensors mixed by it."""
        tensors = torch.index_select(tensors, 0, edges).view(
            -1, self.channels, self._tensor_dim
        )[:, :, 1:]
        mixing = weights[:, 1:].view(-1, self.channels, self._num_tensors)
        mixing = torch.index_select(mixing, 2, self.irrep_of_component[1:] - 1)
        mixed = (mixing * tensors).sum(1) * self.channels**-0.5
        return torch.cat([weights[:, :1], mixed], dim=1)


def baseline_table(
    type_names: list[str], baseline: dict[str, list[float]]
) -> torch.Tensor:
    """Coefficients (T·T, count) of both orders of each pair; zero for other pairs."""
    count = max(len(values) for values in baseline.values())
    table = torch.zeros(len(type_names), len(type_names), count, dtype=torch.float64)
    for pair, values in baseline.items():
        a, b = (type_names.index(name) for name in pair.split("-"))
        table[a, b] = table[b, a] = torch.tensor(values, dtype=torch.float64)
    return table.view(len(type_names) ** 2, count)


def cartesian_basis(irreps: TIrreps) -> torch.Tensor:
    """Matrix (dim, 9) from irrep components to J_ab, row-major.

    Columns are Wigner 3j of 1 ⊗ 1 -> l times √(2l+1), and for l = 0 the identity
    itself, so that its component is J_iso. e3nn orders l = 1 as x, y, z, so a and b
    are Cartesian as they stand.
    """
    blocks = []
    for ir in irreps.irreps():
        w3j = wigner_3j(1, 1, ir.l, dtype=torch.float64)  # (a, b, m)
        norm = math.sqrt(3.0) if ir.l == 0 else math.sqrt(2 * ir.l + 1)
        blocks.append(norm * w3j.reshape(9, ir.dim).T)
    return torch.cat(blocks)


@compile_mode("script")
class SpinEnergy(GraphModuleMixin, torch.nn.Module):
    """Adds E_J to the atomic energies and gives the magnetic forces in closed form.

    ∂E/∂e_i = ½ Σ_j (J̃_ij e_j + J̃_jiᵀ e_j), f_m = −∂E/∂m = −(1 − e eᵀ) ∂E/∂e / |m|.
    An atom with |m| = 0 has no direction: it neither feels nor exerts exchange.
    """

    def __init__(self, irreps_in: dict[str, Irreps]) -> None:
        """Declare the moments as an input of the model."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.PER_ATOM_ENERGY_KEY],
            irreps_out={fields.MAGNETIC_FORCES_KEY: Irreps("1e")},
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Moments (N, 3) µB -> energies (N, 1) eV, magnetic forces (N, 3) eV/µB."""
        moments = data[fields.MAGNETIC_MOMENTS_KEY]
        length = moments.norm(dim=-1, keepdim=True)
        has_moment = length > 0
        inverse = torch.where(has_moment, 1.0 / length, torch.zeros_like(length))
        directions = moments * inverse
        energy, gradient = exchange_energy(
            data[fields.EXCHANGE_KEY],
            data[AtomicDataDict.EDGE_INDEX_KEY],
            data[fields.MAGNETIC_EDGES_KEY],
            directions,
        )
        data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = (
            data[AtomicDataDict.PER_ATOM_ENERGY_KEY] + energy
        )
        along = (gradient * directions).sum(-1, keepdim=True)
        data[fields.MAGNETIC_FORCES_KEY] = (along * directions - gradient) * inverse
        return data


def exchange_energy(
    exchange: torch.Tensor,
    edge_index: torch.Tensor,
    magnetic_edges: torch.Tensor,
    directions: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energy of each centre and the gradient on each spin.

    Args:
        exchange: (M, 3, 3) J̃ in eV of the magnetic edges.
        edge_index: (2, E).
        magnetic_edges: (M,) indices into the edges.
        directions: (N, 3) unit vectors, or zero.

    Returns:
        ½ Σ_j e_iᵀ J̃_ij e_j (N, 1) in eV, and ∂E/∂e (N, 3) in eV.
    """
    num_atoms = directions.size(0)
    centre = torch.index_select(edge_index[0], 0, magnetic_edges)
    neighbour = torch.index_select(edge_index[1], 0, magnetic_edges)
    e_i = torch.index_select(directions, 0, centre)
    e_j = torch.index_select(directions, 0, neighbour)
    on_centre = 0.5 * torch.matmul(exchange, e_j.unsqueeze(-1)).squeeze(-1)
    on_neighbour = 0.5 * torch.matmul(e_i.unsqueeze(1), exchange).squeeze(1)
    edge_energy = (e_i * on_centre).sum(-1, keepdim=True)
    energy = scatter(edge_energy, centre, dim=0, dim_size=num_atoms)
    gradient = scatter(on_centre, centre, dim=0, dim_size=num_atoms) + scatter(
        on_neighbour, neighbour, dim=0, dim_size=num_atoms
    )
    return energy, gradient
