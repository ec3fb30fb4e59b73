"""Biquadratic exchange: E_K = ½ Σ_{i≠j} K_ij (s_i·s_j)²."""

from __future__ import annotations

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, scatter

from spinff import fields
from spinff.nn import _keys
from spinff.nn.terms.baseline import LinearBaseline
from spinff.nn.terms.pairs import PairReadout, pair_spins


@compile_mode("script")
class BiquadraticHead(GraphModuleMixin, torch.nn.Module):
    """K̃ of every magnetic edge: a linear K(r) plus the network.

    Args:
        magnetic_types: of the model.
        baseline: (type pair) -> coefficients of K(r) in eV.
        scale: eV; size of the network's part at the start.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        magnetic_types: list[str],
        baseline: dict[str, list[float]] | None,
        scale: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_HIDDEN_KEY, _keys.PAIR_BASIS_KEY],
            irreps_out={fields.BIQUADRATIC_KEY: None},
        )
        self.baseline = LinearBaseline(
            magnetic_types, baseline, self.irreps_in[_keys.PAIR_BASIS_KEY].num_irreps
        )
        hidden = self.irreps_in[_keys.PAIR_HIDDEN_KEY].num_irreps
        self.readout = PairReadout(hidden, 1, scale)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add BIQUADRATIC (M, 1), eV, of MAGNETIC_EDGES (M,)."""
        linear = self.baseline(data[_keys.PAIR_BASIS_KEY], data[_keys.PAIR_TYPE_KEY])
        network = self.readout(data[_keys.PAIR_HIDDEN_KEY])
        data[fields.BIQUADRATIC_KEY] = linear + network.to(torch.float64)
        return data


@compile_mode("script")
class BiquadraticEnergy(torch.nn.Module):
    """½ K̃_ij (s_i·s_j)² of each directed edge, to its centre i."""

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        centre, s_i, s_j = pair_spins(data)
        num_atoms = data[fields.SPINS_KEY].size(0)
        cosine = (s_i * s_j).sum(-1, keepdim=True)
        energy = 0.5 * data[fields.BIQUADRATIC_KEY] * cosine * cosine
        return scatter(energy, centre, dim=0, dim_size=num_atoms)
