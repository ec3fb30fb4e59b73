"""Bilinear exchange: E_J = ½ Σ_{i≠j} s_iᵀ J_ij s_j, J = J_iso·1 + [D]× + Γ.

In J, 0e is Heisenberg, 1e Dzyaloshinskii–Moriya, 2e the symmetric traceless anisotropy
(SpinGNN++, Yu et al., Phys. Rev. B 110, 104427, Sec. II). A directed edge carries J̃_ij;
only the mean over both directions enters the energy, so the owner of atom i never needs
the edge that another rank owns.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import math

import torch
from e3nn.o3 import Irreps, wigner_3j
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, scatter

from spinff import fields
from spinff.irreps import TIrrep, TIrreps
from spinff.nn import _keys
from spinff.nn.terms.baseline import LinearBaseline
from spinff.nn.terms.pairs import PairReadout, pair_spins

SPIN = TIrrep("1eo")


def exchange_irreps(spin_orbit_coupling: bool) -> TIrreps:
    """What couples two spins to a scalar: e ⊗ e = 0ee + 1ee + 2ee.

    Without spin–orbit coupling the energy does not change when spins rotate alone, so
    only the scalar is left.
    """
    couplings = SPIN * SPIN
    return TIrreps([(1, ir) for ir in couplings if spin_orbit_coupling or ir.l == 0])


@compile_mode("script")
class ExchangeHead(GraphModuleMixin, torch.nn.Module):
    """J̃ of every magnetic edge: a linear J(r) plus the network, with D and Γ if given.

    Args:
        magnetic_types: of the model.
        baseline: (type pair, e.g. ``"Ni-Ni"``) -> coefficients of J(r) in eV.
        scale: eV; size of the network's part of J_iso at the start.
        relativistic_scale: eV; multiplies D and Γ.
        irreps_in: of the module before, with RELATIVISTIC for D and Γ.
    """

    identity: torch.Tensor

    def __init__(
        self,
        *,
        magnetic_types: list[str],
        baseline: dict[str, list[float]] | None,
        scale: float,
        relativistic_scale: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self.relativistic_scale = float(relativistic_scale)
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_HIDDEN_KEY, _keys.PAIR_BASIS_KEY],
            irreps_out={fields.EXCHANGE_KEY: None},
        )
        self.relativistic = _keys.RELATIVISTIC_KEY in self.irreps_in
        self.baseline = LinearBaseline(
            magnetic_types, baseline, self.irreps_in[_keys.PAIR_BASIS_KEY].num_irreps
        )
        hidden = self.irreps_in[_keys.PAIR_HIDDEN_KEY].num_irreps
        self.isotropic = PairReadout(hidden, 1, scale)
        self.register_buffer("identity", torch.eye(3, dtype=torch.float64))

    def extra_repr(self) -> str:
        """Irreps of J."""
        return f"J = {exchange_irreps(self.relativistic)}"

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EXCHANGE (M, 3, 3), eV, of MAGNETIC_EDGES (M,)."""
        linear = self.baseline(data[_keys.PAIR_BASIS_KEY], data[_keys.PAIR_TYPE_KEY])
        network = self.isotropic(data[_keys.PAIR_HIDDEN_KEY])
        isotropic = linear + network.to(torch.float64)
        exchange = isotropic.unsqueeze(-1) * self.identity  # (M, 3, 3)
        if self.relativistic:
            rest = self.relativistic_scale * data[_keys.RELATIVISTIC_KEY]
            exchange = exchange + rest.to(torch.float64).view(-1, 3, 3)
        data[fields.EXCHANGE_KEY] = exchange
        return data


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
class ExchangeEnergy(torch.nn.Module):
    """½ s_iᵀ J̃_ij s_j of each directed edge, to its centre i."""

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        centre, s_i, s_j = pair_spins(data)
        num_atoms = data[fields.SPINS_KEY].size(0)
        j_s_j = torch.matmul(data[fields.EXCHANGE_KEY], s_j.unsqueeze(-1)).squeeze(-1)
        energy = 0.5 * (s_i * j_s_j).sum(-1, keepdim=True)
        return scatter(energy, centre, dim=0, dim_size=num_atoms)
