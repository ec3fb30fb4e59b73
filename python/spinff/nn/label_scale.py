"""Scale between magnetic-force labels and the derivative of the energy."""

from __future__ import annotations

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin

from spinff import fields
from spinff.errors import SpinffError


@compile_mode("script")
class MagneticForceLabelScale(GraphModuleMixin, torch.nn.Module):
    """label = c[data set, species] · f_m, with c learned or fixed.

    Published labels of constrained DFT have the sign of −∂E/∂m but not its size (0.82
    to 0.87 of it in NiO), because the constraint's moment is that of a sphere and the
    energy's is not. Energies fix the exchange, labels its shape, and c absorbs the
    factor between them.

    Args:
        type_names: all types of the model.
        scales: one dictionary (species -> c) for each data set; other species get 1.
        trainable: learn c with the weights.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        type_names: list[str],
        scales: list[dict[str, float]],
        trainable: bool,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the table (data sets, types)."""
        super().__init__()
        table = torch.ones(len(scales), len(type_names), dtype=torch.float64)
        for row, by_species in enumerate(scales):
            for name, value in by_species.items():
                if name not in type_names or not value > 0:
                    raise SpinffError(
                        "magnetic_force_scale: bad entry of data set "
                        f"{row}, got {name}: {value}, expected a species of "
                        f"{', '.join(type_names)} and a number > 0; correct the entry"
                    )
                table[row, type_names.index(name)] = value
        self.num_types = len(type_names)
        self.table = torch.nn.Parameter(table, requires_grad=trainable)
        self._init_irreps(
            irreps_in=irreps_in,
            irreps_out={fields.MAGNETIC_FORCE_LABELS_KEY: Irreps("1e")},
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add the prediction of the label, (N, 3) eV/µB."""
        row = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        if fields.LABEL_SET_KEY in data and AtomicDataDict.BATCH_KEY in data:
            label_set = torch.index_select(
                data[fields.LABEL_SET_KEY].view(-1), 0, data[AtomicDataDict.BATCH_KEY]
            )
            row = row + self.num_types * label_set
        scale = torch.index_select(self.table.view(-1), 0, row).unsqueeze(-1)
        data[fields.MAGNETIC_FORCE_LABELS_KEY] = (
            scale * data[fields.MAGNETIC_FORCES_KEY]
        )
        return data
