"""``e3nn.o3`` with time reversal: the same names for the graded classes.

Code written for e3nn becomes time-reversal equivariant by importing ``o3`` and ``nn``
from here; the page docs/irreps.md says what else to change. What knows nothing of
irreps (rotations, Wigner matrices) is e3nn's own; a class of e3nn that takes irreps and
has no graded version is refused, because it would drop the label.
"""

from typing import Any

from e3nn import o3 as _e3nn

from spinff.errors import SpinffError
from spinff.irreps._tirreps import TIrrep as Irrep
from spinff.irreps._tirreps import TIrreps as Irreps
from spinff.irreps.harmonics import SphericalHarmonics, spherical_harmonics
from spinff.irreps.layers import (
    ElementwiseTensorProduct,
    FullTensorProduct,
    FullyConnectedTensorProduct,
    Linear,
    Norm,
    TensorProduct,
)

__all__ = [
    "ElementwiseTensorProduct",
    "FullTensorProduct",
    "FullyConnectedTensorProduct",
    "Irrep",
    "Irreps",
    "Linear",
    "Norm",
    "SphericalHarmonics",
    "TensorProduct",
    "spherical_harmonics",
]

_WITHOUT_IRREPS = ("e3nn.o3._rotation", "e3nn.o3._wigner")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name.startswith("__") or not hasattr(_e3nn, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_e3nn, name)
    if getattr(value, "__module__", None) in _WITHOUT_IRREPS:
        return value
    raise SpinffError(
        f"spinff.irreps.o3: no version with time reversal, got e3nn.o3.{name}, "
        f"expected one of {', '.join(__all__)}; build it from these, or pass "
        "irreps.e3 to e3nn's own where parities play no part"
    )
