"""Losses and metrics over the labels that a batch has, in meV.

``nequip.train.MetricsManager`` does the work; the parts here hand it predictions and
labels in meV (per atom, per Å, per µB, per Å³; moment lengths in mµB), without the
entries that carry no label (NaN). A batch, or an epoch, without any label of a kind
contributes zero to that term instead of 0/0. In meV a loss of order one is a good
model, well above Adam's epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from nequip.data import AtomicDataDict, BaseModifier
from nequip.train import MetricsManager
from torchmetrics import Metric

from spinff import fields
from spinff.errors import SpinffError

_MILLI = 1000.0

Transform: TypeAlias = Callable[[torch.Tensor, AtomicDataDict.Type], torch.Tensor]
"""What a term makes of a prediction or a label (first), given the batch's data."""


def as_it_is(values: torch.Tensor, batch: AtomicDataDict.Type) -> torch.Tensor:
    """The values themselves."""
    return values


def per_atom(values: torch.Tensor, batch: AtomicDataDict.Type) -> torch.Tensor:
    """Values of frames (F, …) over the number of atoms of each."""
    count = batch[AtomicDataDict.NUM_NODES_KEY]
    return values / count.view(-1, *([1] * (values.dim() - 1)))


def torque(values: torch.Tensor, batch: AtomicDataDict.Type) -> torch.Tensor:
    """m × f_m (N, 3), eV, of magnetic forces (N, 3); only the part across m counts."""
    moments = batch[fields.MAGNETIC_MOMENTS_KEY].detach().to(values.dtype)
    return torch.linalg.cross(moments, values)


def across(values: torch.Tensor, batch: AtomicDataDict.Type) -> torch.Tensor:
    """The part (N, 3) of magnetic forces perpendicular to the moments."""
    directions = _directions(values, batch)
    return values - directions * (values * directions).sum(-1, keepdim=True)


def along(values: torch.Tensor, batch: AtomicDataDict.Type) -> torch.Tensor:
    """The part (N, 1) of magnetic forces along the moments."""
    return (values * _directions(values, batch)).sum(-1, keepdim=True)


def _directions(values: torch.Tensor, batch: AtomicDataDict.Type) -> torch.Tensor:
    """m/|m| (N, 3) of the batch, zero where there is no moment."""
    # detached: a model may have asked for gradients of its input in place
    moments = batch[fields.MAGNETIC_MOMENTS_KEY].detach().to(values.dtype)
    return torch.nn.functional.normalize(moments, dim=-1)


@dataclass(frozen=True)
class _Term:
    """One term of a loss."""

    field: str
    """Field of the prediction."""
    remedy: str
    """What to do if the model does not give that field."""
    transform: Transform = as_it_is
    label: str | None = None
    """Field of the label, where its name is another."""


_DERIVATIVE = "build the model with do_derivatives: true"

_TERMS: dict[str, _Term] = {
    "energy": _Term(
        AtomicDataDict.TOTAL_ENERGY_KEY, "use a model of energies", per_atom
    ),
    "forces": _Term(AtomicDataDict.FORCE_KEY, _DERIVATIVE),
    "stress": _Term(AtomicDataDict.STRESS_KEY, _DERIVATIVE),
    "magnetic_forces": _Term(fields.MAGNETIC_FORCE_LABELS_KEY, _DERIVATIVE, across),
    "magnetic_forces_longitudinal": _Term(
        fields.MAGNETIC_FORCE_LABELS_KEY,
        _DERIVATIVE,
        along,
        # the whole label: the field of the transverse one has no such part
        label=fields.MAGNETIC_FORCES_KEY,
    ),
    "torque": _Term(fields.MAGNETIC_FORCE_LABELS_KEY, _DERIVATIVE, torque),
    "moment_length": _Term(
        fields.MOMENT_LENGTHS_KEY, "build the model with moment_mode: predicted"
    ),
}


class LabelledInMeV(BaseModifier):
    """The labelled entries of one quantity as flat tensors in meV (/atom, /Å, …)."""

    def __init__(
        self,
        field: str,
        transform: Transform = as_it_is,
        *,
        label: str | None = None,
        remedy: str = "use a model that does",
    ) -> None:
        """Select a field.

        Args:
            field: of the prediction.
            transform: applied to prediction and label alike.
            label: field of the label; None takes the prediction's.
            remedy: end of the error's sentence for a model without that field.
        """
        super().__init__(field)
        self.transform = transform
        self.label = field if label is None else label
        self.remedy = remedy

    def __call__(
        self,
        data1: AtomicDataDict.Type,
        data2: AtomicDataDict.Type | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Predictions and labels (entries,); empty where the batch has no label.

        Raises:
            SpinffError: if the model (``data1``) does not give the field.
        """
        if self.field not in data1:
            given = sorted({term.field for term in _TERMS.values()} & set(data1))
            raise SpinffError(
                f"loss: the model gives no {self.field}, got "
                f"{', '.join(given) or 'no prediction'}, expected {self.field} too; "
                f"{self.remedy}, or take the term out of coeffs"
            )
        batch = data1 if data2 is None else data2
        prediction = self.transform(data1[self.field], batch)
        if data2 is None:
            return _MILLI * prediction
        # nequip gives an empty stress for a batch of which no frame has a cell
        if self.label not in data2 or prediction.numel() == 0:
            nothing = prediction.flatten()[:0]
            return nothing, nothing
        # the two may differ by axes of length one
        target = self.transform(data2[self.label], batch).view_as(prediction)
        labelled = ~torch.isnan(target)
        return _MILLI * prediction[labelled], _MILLI * target[labelled]


class ErrorOverLabels(Metric):
    """Mean absolute, mean square or root mean square error; zero over no labels.

    Over no labels the zero hangs on the predictions' graph: a loss without any label
    has a gradient, which is zero, and the optimiser goes on.
    """

    full_state_update = False
    sum: torch.Tensor
    count: torch.Tensor

    def __init__(self, kind: Literal["mae", "mse", "rmse"]) -> None:
        """Choose what is averaged."""
        super().__init__()
        self.kind = kind
        self.add_state("sum", torch.zeros((), dtype=torch.float64), "sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), "sum")

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add entries, flat tensors of one length."""
        error = (preds - target).to(torch.float64)
        error = error.abs() if self.kind == "mae" else error.square()
        self.sum = self.sum + error.sum()
        self.count = self.count + error.numel()

    def compute(self) -> torch.Tensor:
        """The error over all entries so far."""
        mean = self.sum / self.count.clamp(min=1)
        return mean.sqrt() if self.kind == "rmse" else mean

    def __str__(self) -> str:
        return self.kind


def SpinLoss(
    coeffs: Mapping[str, float], type_names: list[str] | None = None
) -> MetricsManager:
    """Weighted mean squared errors, in meV².

    Args:
        coeffs: weight of each term to train on, any of ``energy`` (per atom),
            ``forces``, ``stress``, ``magnetic_forces`` (the part across the moment),
            ``magnetic_forces_longitudinal`` (the part along it), ``torque`` (m × f_m)
            and ``moment_length`` (in mµB²). Weights of one over the square of the error
            you aim at balance the terms; only their ratios count.
        type_names: filled in by the training module.

    Raises:
        SpinffError: for an unknown term, or a weight that is no number ≥ 0.
    """
    for name, coeff in coeffs.items():
        if coeff is None:
            raise _bad_weight("SpinLoss", name, coeff)
    _check(coeffs, "SpinLoss")
    return MetricsManager(
        [_entry(name, "mse", coeff) for name, coeff in coeffs.items()],
        type_names=type_names,
    )


def SpinMetrics(
    coeffs: Mapping[str, float | None], type_names: list[str] | None = None
) -> MetricsManager:
    """Mean absolute errors in meV, their weighted sum, and root mean square errors.

    Args:
        coeffs: weights of the mean absolute errors in ``weighted_sum``, which
            checkpoints and schedulers watch; keys as in :func:`SpinLoss`. A term of
            weight null is reported and not in the sum.
        type_names: filled in by the training module.

    Raises:
        SpinffError: for an unknown term, or a weight that is no number ≥ 0.
    """
    _check(coeffs, "SpinMetrics")
    entries = []
    for name, coeff in coeffs.items():
        entries.append(_entry(name, "mae", coeff))
        entries.append(_entry(name, "rmse", None))
    return MetricsManager(entries, type_names=type_names)


def _check(coeffs: Mapping[str, float | None], who: str) -> None:
    unknown = sorted(set(coeffs) - set(_TERMS))
    if unknown or not coeffs:
        raise SpinffError(
            f"{who}: unknown or no terms, got {unknown or 'an empty coeffs'}, expected "
            f"some of {', '.join(_TERMS)}; correct coeffs"
        )
    for name, coeff in coeffs.items():
        if coeff is not None and not (coeff >= 0 and math.isfinite(coeff)):
            raise _bad_weight(who, name, coeff)
    if not any(coeffs.values()):
        raise SpinffError(
            f"{who}: no term has a weight, got {dict(coeffs)}, expected at least one "
            "> 0; correct coeffs"
        )


def _bad_weight(who: str, name: str, coeff: float | None) -> SpinffError:
    return SpinffError(
        f"{who}: the weight of {name} is unusable, got {coeff}, expected a number ≥ 0; "
        "correct coeffs"
    )


def _entry(
    name: str, kind: Literal["mae", "mse", "rmse"], coeff: float | None
) -> dict[str, object]:
    term = _TERMS[name]
    return {
        "name": f"{name}_{kind}",
        "field": LabelledInMeV(
            term.field, term.transform, label=term.label, remedy=term.remedy
        ),
        "metric": ErrorOverLabels(kind),
        "coeff": coeff,
    }
