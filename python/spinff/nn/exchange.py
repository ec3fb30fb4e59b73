"""Couplings of spin pairs from geometry, and the energy and field they give.

E_J = ½ Σ_{i≠j} e_iᵀ J_ij e_j with J = J_iso·1 + [D]× + Γ, and E_K = ½ Σ_{i≠j} K_ij
(e_i·e_j)² (SpinGNN++, Yu et al., Phys. Rev. B 110, 104427, Sec. II): in J, 0e is
Heisenberg, 1e Dzyaloshinskii–Moriya, 2e the symmetric traceless anisotropy; K is the
biquadratic term. A directed edge carries J̃_ij and K̃_ij; only the mean over both
directions enters the energy, so the owner of atom i never needs the edge that another
rank owns.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import math

import torch
from e3nn.o3 import Irreps, wigner_3j
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, ScalarMLPFunction, scatter
from nequip.nn.embedding import PolynomialCutoff

from spinff import fields
from spinff.irreps import TIrrep, TIrreps
from spinff.nn import _keys

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

    n: torch.Tensor

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
    """J̃ and K̃ of every magnetic edge: a linear J(r), K(r) plus the network.

    The linear part is fitted to the data before training (``SpinStatistics``): the
    network alone starts three orders of magnitude below the exchange of an oxide,
    because an MLP without bias decays with its input at the cutoff, and needs thousands
    of steps to climb.

    Args:
        type_names: all types of the model.
        magnetic_types: those that carry a moment.
        exchange_baseline: (type pair, e.g. ``"Ni-Ni"``) -> coefficients of B_n in eV.
        exchange_scale: eV; size of the network's part of J at the start.
        biquadratic_baseline: the same for K; None for a model without that term.
        biquadratic_scale: eV; size of the network's part of K at the start.
        spin_orbit_coupling: full tensor, or Heisenberg only.
        relativistic_scale: eV; multiplies D and Γ.
        num_tensor_features: channels of the edge tensors.
        polynomial_cutoff_p: of the baseline's cutoff.
        mlp_hidden_layers_width: of the readout MLP.
        irreps_in: of the module before.
    """

    is_magnetic: torch.Tensor
    exchange_baseline: torch.Tensor
    biquadratic_baseline: torch.Tensor
    tensor_of_component: torch.Tensor
    to_cartesian: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        magnetic_types: list[str],
        exchange_baseline: dict[str, list[float]],
        exchange_scale: float,
        biquadratic_baseline: dict[str, list[float]] | None,
        biquadratic_scale: float,
        spin_orbit_coupling: bool,
        relativistic_scale: float,
        num_tensor_features: int,
        polynomial_cutoff_p: float,
        mlp_hidden_layers_width: int,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self.num_types = len(type_names)
        self.exchange_scale = float(exchange_scale)
        self.biquadratic_scale = float(biquadratic_scale)
        self.has_biquadratic = biquadratic_baseline is not None
        self.channels = num_tensor_features
        self.irreps = exchange_irreps(spin_orbit_coupling)
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.EDGE_FEATURES_KEY,
                _keys.EDGE_TENSORS_KEY,
            ],
            irreps_out={
                fields.MAGNETIC_EDGES_KEY: None,
                fields.EXCHANGE_KEY: None,
                fields.BIQUADRATIC_KEY: None,
            },
        )
        self.register_buffer(
            "is_magnetic", torch.tensor([name in magnetic_types for name in type_names])
        )

        # === linear J(r), K(r) ===
        # not trained: a step of an optimiser tuned to the network's weights would move
        # J at a neighbour's distance by as much as J itself
        exchange = baseline_table(type_names, exchange_baseline)  # (T·T, n)
        biquadratic = torch.zeros_like(exchange)
        if biquadratic_baseline is not None:
            biquadratic = baseline_table(type_names, biquadratic_baseline)
        self.register_buffer("exchange_baseline", exchange)
        self.register_buffer("biquadratic_baseline", biquadratic)
        self.basis = BesselBasis(exchange.size(1), polynomial_cutoff_p)

        # === the network's part ===
        # one output for J_iso, one for K, and one per channel for each of D and Γ
        self._num_tensors = len(self.irreps) - 1
        self.mlp = ScalarMLPFunction(
            input_dim=self.irreps_in[AtomicDataDict.EDGE_FEATURES_KEY].num_irreps,
            output_dim=2 + self._num_tensors * num_tensor_features,
            hidden_layers_depth=1,
            hidden_layers_width=mlp_hidden_layers_width,
        )
        # D and Γ have weights beside the MLP's: the tensors themselves vanish at the
        # cutoff, and a product of two small numbers would take thousands of steps to
        # train. relativistic_scale meets the size of edge tensors, about 1e-3.
        self.relativistic_scale = float(relativistic_scale)
        self.tensor_weights = torch.nn.Parameter(
            torch.zeros(self._num_tensors * num_tensor_features)
        )
        self._tensor_dim = self.irreps.dim
        tensor_of_component = [
            n
            for n, ir in enumerate(list(self.irreps.irreps())[1:])
            for _ in range(ir.dim)
        ]
        self.register_buffer(
            "tensor_of_component", torch.tensor(tensor_of_component, dtype=torch.long)
        )
        self.register_buffer("to_cartesian", cartesian_basis(self.irreps))

    def extra_repr(self) -> str:
        """Irreps of J, and whether there is K."""
        terms = f"J = {self.irreps}" + (" | K = 0ee" if self.has_biquadratic else "")
        return f"{terms} | {self.channels} channels"

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EXCHANGE (M, 3, 3) and BIQUADRATIC (M, 1), eV, of MAGNETIC_EDGES (M,)."""
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
        basis = self.basis(
            torch.index_select(data[AtomicDataDict.NORM_LENGTH_KEY], 0, edges)
        )  # (M, n)
        scalars = torch.index_select(data[AtomicDataDict.EDGE_FEATURES_KEY], 0, edges)
        outputs = self.mlp(scalars)  # (M, 2 + tensors·channels)

        components = self.exchange_scale * outputs[:, :1]
        if self._num_tensors > 0:
            tensors = torch.index_select(data[_keys.EDGE_TENSORS_KEY], 0, edges)
            components = torch.cat(
                [
                    components,
                    self._mixed(tensors, outputs[:, 2:] + self.tensor_weights),
                ],
                dim=1,
            )
        exchange = torch.mm(components.to(torch.float64), self.to_cartesian)
        exchange = exchange.view(-1, 3, 3)
        linear = (basis * torch.index_select(self.exchange_baseline, 0, pair)).sum(1)
        identity = torch.eye(3, dtype=exchange.dtype, device=exchange.device)
        data[fields.EXCHANGE_KEY] = exchange + linear.view(-1, 1, 1) * identity

        if self.has_biquadratic:
            linear = (
                basis * torch.index_select(self.biquadratic_baseline, 0, pair)
            ).sum(1, keepdim=True)
            network = self.biquadratic_scale * outputs[:, 1:2].to(torch.float64)
            data[fields.BIQUADRATIC_KEY] = linear + network
        else:
            data[fields.BIQUADRATIC_KEY] = torch.zeros_like(basis[:, :1])
        return data

    def _mixed(self, tensors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Components (M, dim − 1) of D and Γ: channels mixed by weights (M, …)."""
        tensors = tensors.view(-1, self.channels, self._tensor_dim)[:, :, 1:]
        mixing = weights.view(-1, self.channels, self._num_tensors)
        mixing = torch.index_select(mixing, 2, self.tensor_of_component)
        return self.relativistic_scale * self.channels**-0.5 * (mixing * tensors).sum(1)


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
    """Adds E_J + E_K to the atomic energies; magnetic forces in closed form.

    f_m = −∂E/∂m = −(1 − e eᵀ) ∂E/∂e / |m|, with ∂E/∂e of :func:`exchange_energy`. An
    atom with |m| = 0 has no direction: it neither feels nor exerts exchange.
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
            data[fields.BIQUADRATIC_KEY],
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
    biquadratic: torch.Tensor,
    edge_index: torch.Tensor,
    magnetic_edges: torch.Tensor,
    directions: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energy of each centre and the gradient on each spin.

    With c = e_i·e_j a directed edge holds ½ (e_iᵀ J̃ e_j + K̃ c²), and gives
    ½ J̃ e_j + K̃ c e_j to ∂E/∂e_i and ½ J̃ᵀ e_i + K̃ c e_i to ∂E/∂e_j.

    Args:
        exchange: (M, 3, 3) J̃ in eV of the magnetic edges.
        biquadratic: (M, 1) K̃ in eV.
        edge_index: (2, E).
        magnetic_edges: (M,) indices into the edges.
        directions: (N, 3) unit vectors, or zero.

    Returns:
        Energies (N, 1) in eV, and ∂E/∂e (N, 3) in eV.
    """
    num_atoms = directions.size(0)
    centre = torch.index_select(edge_index[0], 0, magnetic_edges)
    neighbour = torch.index_select(edge_index[1], 0, magnetic_edges)
    e_i = torch.index_select(directions, 0, centre)
    e_j = torch.index_select(directions, 0, neighbour)
    cosine = (e_i * e_j).sum(-1, keepdim=True)
    half_exchange_e_j = 0.5 * torch.matmul(exchange, e_j.unsqueeze(-1)).squeeze(-1)
    half_e_i_exchange = 0.5 * torch.matmul(e_i.unsqueeze(1), exchange).squeeze(1)
    slope = biquadratic * cosine
    edge_energy = (e_i * half_exchange_e_j).sum(-1, keepdim=True) + 0.5 * slope * cosine
    energy = scatter(edge_energy, centre, dim=0, dim_size=num_atoms)
    gradient = scatter(
        half_exchange_e_j + slope * e_j, centre, dim=0, dim_size=num_atoms
    ) + scatter(half_e_i_exchange + slope * e_i, neighbour, dim=0, dim_size=num_atoms)
    return energy, gradient
