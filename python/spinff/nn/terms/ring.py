"""Four-spin ring exchange with separable couplings.

A plaquette of four atoms i, j, k, l in this order round it gives

    K_ijkl [ (s_i·s_j)(s_k·s_l) + (s_i·s_l)(s_j·s_k) − (s_i·s_k)(s_j·s_l) ]

(Takahashi, J. Phys. C 10, 1289 (1977)). Seen from corner i, with coupling
K_ijkl = Σ_c p_c(ij) q_c(ik) p_c(il), the sum over all j, k, l factorises: with
P_c = Σ_j p_c(ij) s_j and Q_c = Σ_k q_c(ik) s_k,

    E_i = ¼ Σ_c [ 2 (s_i·P_c)(P_c·Q_c) − (s_i·Q_c)(P_c·P_c) ].

p and q come from the network's edge scalars, which know the surroundings of the edge;
the cost is that of a pair term. Terms with j = l, or with k = j, are among the sum:
they are three-atom four-spin terms.
"""

from __future__ import annotations

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, scatter

from spinff import fields
from spinff.nn import _keys
from spinff.nn.terms.pairs import PairReadout, pair_spins


@compile_mode("script")
class RingHead(GraphModuleMixin, torch.nn.Module):
    """p and q of every magnetic edge, for each of a few channels.

    Args:
        channels: how many separable terms c.
        scale: eV; size of K at the start for p, q of order one.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        channels: int,
        scale: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the head."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[_keys.PAIR_HIDDEN_KEY],
            irreps_out={fields.RING_KEY: None},
        )
        hidden = self.irreps_in[_keys.PAIR_HIDDEN_KEY].num_irreps
        self.readout = PairReadout(hidden, 2 * channels, scale ** (1.0 / 3.0))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add RING (M, 2·channels), eV^(1/3): p of every channel, then q."""
        ring = self.readout(data[_keys.PAIR_HIDDEN_KEY])
        data[fields.RING_KEY] = ring.to(torch.float64)
        return data


@compile_mode("script")
class RingEnergy(torch.nn.Module):
    """E_i of the module's formula."""

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        spins = data[fields.SPINS_KEY]
        centre, _, s_j = pair_spins(data)
        weighted = data[fields.RING_KEY].unsqueeze(-1) * s_j.unsqueeze(1)  # (M, 2c, 3)
        sums = scatter(weighted, centre, dim=0, dim_size=spins.size(0))
        p, q = sums.chunk(2, dim=1)  # (N, c, 3) each
        s = spins.unsqueeze(1)
        adjacent = 2.0 * (s * p).sum(-1) * (p * q).sum(-1)
        across = (s * q).sum(-1) * (p * p).sum(-1)
        return 0.25 * (adjacent - across).sum(1, keepdim=True)
