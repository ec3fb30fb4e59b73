"""Sum of the energy terms, kept apart in columns."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin

from spinff import fields


@compile_mode("script")
class SpinTerms(GraphModuleMixin, torch.nn.Module):
    """Evaluates every term that depends on the spins.

    Args:
        terms: (name) -> module that maps the data to energies (N, 1) in eV.
        irreps_in: of the module before, with the lattice energy.
    """

    def __init__(
        self, terms: Mapping[str, torch.nn.Module], irreps_in: dict[str, Irreps]
    ) -> None:
        """Keep the terms in the order given."""
        super().__init__()
        self.terms = torch.nn.ModuleList(terms.values())
        self.names = ("lattice", *terms)
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.PER_ATOM_ENERGY_KEY],
            irreps_out={fields.TERM_ENERGIES_KEY: None},
        )

    def extra_repr(self) -> str:
        """The columns."""
        return " + ".join(self.names)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add TERM_ENERGIES (N, terms); atomic energies become their sum, eV."""
        columns = [data[AtomicDataDict.PER_ATOM_ENERGY_KEY].to(torch.float64)]
        for term in self.terms:
            columns.append(term(data))
        table = torch.cat(columns, dim=1)
        data[fields.TERM_ENERGIES_KEY] = table
        data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = table.sum(1, keepdim=True)
        return data
