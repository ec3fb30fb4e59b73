"""A pair potential under the network's lattice energy."""

from __future__ import annotations

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, scatter

from spinff.nn import _keys
from spinff.nn.terms.baseline import LinearBaseline, pair_types


@compile_mode("script")
class PairPotential(GraphModuleMixin, torch.nn.Module):
    """Adds ½ Σ_j V(r_ij) to the energy of each atom; V is linear, fitted, not trained.

    Most of the force on an atom in a crystal is a sum over pairs. Fitted beforehand
    (``SpinStatistics``), it leaves the network a task an order of magnitude smaller.

    Args:
        type_names: all types of the model.
        coefficients: (type pair) -> coefficients of V(r) in Bessel functions, eV.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        type_names: list[str],
        coefficients: dict[str, list[float]],
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the table of coefficients."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[
                AtomicDataDict.PER_ATOM_ENERGY_KEY,
                _keys.EDGE_BASIS_KEY,
            ],
            irreps_out={AtomicDataDict.PER_ATOM_ENERGY_KEY: Irreps("0e")},
        )
        self.num_types = len(type_names)
        self.potential = LinearBaseline(
            type_names, coefficients, self.irreps_in[_keys.EDGE_BASIS_KEY].num_irreps
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Atomic energies (N, 1), eV."""
        energies = data[AtomicDataDict.PER_ATOM_ENERGY_KEY]
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        kinds = pair_types(types, edge_index, self.num_types)
        pairs = scatter(
            0.5 * self.potential(data[_keys.EDGE_BASIS_KEY], kinds),
            edge_index[0],
            dim=0,
            dim_size=energies.size(0),
        )
        data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = energies + pairs
        return data
