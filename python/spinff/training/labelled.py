"""Losses and metrics over the labels that a batch has, in meV.

``nequip.train.MetricsManager`` does the work; these modifiers hand it predictions and
targets in meV (per atom, per Å, per µB, per Å³), without the entries that carry no
label (NaN). A batch without any label of a kind contributes zero to that term instead
of 0/0. In meV a loss of order one is a good model, well above Adam's epsilon.
"""

from __future__ import annotations

import torch
from nequip.data import AtomicDataDict, BaseModifier
from nequip.train import MeanAbsoluteError, MeanSquaredError, MetricsManager
from nequip.train import RootMeanSquaredError as _RootMeanSquaredError

from spinff import fields
from spinff.errors import SpinffError

_MEV = 1000.0

# name in configurations and logs -> (field, divide by the number of atoms)
_QUANTITIES: dict[str, tuple[str, bool]] = {
    "energy": (AtomicDataDict.TOTAL_ENERGY_KEY, True),
    "forces": (AtomicDataDict.FORCE_KEY, False),
    "stress": (AtomicDataDict.STRESS_KEY, False),
    "magnetic_forces": (fields.MAGNETIC_FORCE_LABELS_KEY, False),
}


class LabelledInMeV(BaseModifier):
    """The labelled entries of one quantity as flat tensors in meV (/atom, /Å, …)."""

    def __init__(self, field: str, per_atom: bool = False) -> None:
        """Select ``field``; with ``per_atom``, per atom of its frame."""
        super().__init__(field)
        self.per_atom = per_atom

    def __call__(
        self,
        data1: AtomicDataDict.Type,
        data2: AtomicDataDict.Type | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Predictions and targets; one zero each where the batch has no label."""
        if data2 is None:
            return self._func(data1)
        prediction = self._func(data1)
        if self.field not in data2:
            return _no_label(prediction)
        target = self._func(data2).view_as(prediction)
        labelled = ~torch.isnan(target)
        if not bool(labelled.any()):
            return _no_label(prediction)
        return prediction[labelled], target[labelled]

    def _func(self, data: AtomicDataDict.Type) -> torch.Tensor:
        values = data[self.field]
        if self.per_atom:
            count = data[AtomicDataDict.NUM_NODES_KEY]
            values = values / count.view(-1, *([1] * (values.dim() - 1)))
        return _MEV * values


def _no_label(prediction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # keeps the graph connected, so that backward still runs
    zero = 0.0 * torch.nan_to_num(prediction).sum().view(1)
    return zero, torch.zeros_like(zero)


def SpinLoss(
    coeffs: dict[str, float], type_names: list[str] | None = None
) -> MetricsManager:
    """Weighted mean squared errors, in meV².

    Args:
        coeffs: weight of each term to train on, any of ``energy`` (per atom),
            ``forces``, ``stress`` and ``magnetic_forces`` (the transverse labels).
            Weights of one over the square of the error you aim at balance the terms.
        type_names: filled in by the training module.
    """
    _check(coeffs, "SpinLoss")
    return MetricsManager(
        [
            _entry(quantity, "mse", MeanSquaredError(), coeff)
            for quantity, coeff in coeffs.items()
        ],
        type_names=type_names,
    )


def SpinMetrics(
    coeffs: dict[str, float], type_names: list[str] | None = None
) -> MetricsManager:
    """Mean absolute errors in meV, their weighted sum, and root mean square errors.

    Args:
        coeffs: weights of the mean absolute errors in ``weighted_sum``, which
            checkpoints and schedulers watch; keys as in :func:`SpinLoss`.
        type_names: filled in by the training module.
    """
    _check(coeffs, "SpinMetrics")
    entries = []
    for quantity, coeff in coeffs.items():
        entries.append(_entry(quantity, "mae", MeanAbsoluteError(), coeff))
        entries.append(_entry(quantity, "rmse", _RootMeanSquaredError(), None))
    return MetricsManager(entries, type_names=type_names)


def _check(coeffs: dict[str, float], who: str) -> None:
    unknown = sorted(set(coeffs) - set(_QUANTITIES))
    if unknown or not coeffs:
        raise SpinffError(
            f"{who}: unknown or no terms, got {unknown or 'an empty coeffs'}, expected "
            f"some of {', '.join(_QUANTITIES)}; correct coeffs"
        )


def _entry(
    quantity: str, kind: str, metric: torch.nn.Module, coeff: float | None
) -> dict[str, object]:
    field, per_atom = _QUANTITIES[quantity]
    return {
        "name": f"{quantity}_{kind}",
        "field": LabelledInMeV(field, per_atom),
        "metric": metric,
        "coeff": coeff,
    }
