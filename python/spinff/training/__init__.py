"""Parts that a nequip training configuration names."""

from spinff.training.callbacks import StopOnNaN
from spinff.training.labelled import LabelledInMeV, SpinLoss, SpinMetrics
from spinff.training.statistics import SpinStatistics

__all__ = ["LabelledInMeV", "SpinLoss", "SpinMetrics", "SpinStatistics", "StopOnNaN"]
