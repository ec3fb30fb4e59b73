"""``e3nn.nn`` with time reversal: the same names for the graded classes.

See :mod:`spinff.irreps.o3`.
"""

from typing import Any

from e3nn import nn as _e3nn
from e3nn.nn import FullyConnectedNet

from spinff.errors import SpinffError
from spinff.irreps.layers import Activation, Gate, NormActivation

__all__ = ["Activation", "FullyConnectedNet", "Gate", "NormActivation"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name.startswith("__") or not hasattr(_e3nn, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise SpinffError(
        f"spinff.irreps.nn: no version with time reversal, got e3nn.nn.{name}, "
        f"expected one of {', '.join(__all__)}; build it from these, or pass "
        "irreps.e3 to e3nn's own where parities play no part"
    )
