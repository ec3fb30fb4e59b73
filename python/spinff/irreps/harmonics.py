"""Spherical harmonics of bonds and of moments, with their irreps declared.

They differ in what the vector is: a bond is 1oe and only its direction counts; a moment
is 1eo and its length counts, too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from e3nn import o3
from e3nn.util.jit import compile_mode

from spinff.errors import SpinffError
from spinff.irreps._tirreps import TIrrep, TIrreps


@compile_mode("script")
class SphericalHarmonics(o3.SphericalHarmonics):
    """Y_l(x) of a vector x = (1, p, t): (l, pˡ, tˡ).

    Args:
        irreps_out: irreps or text; also degrees, for which x is ``irreps_in``.
        normalize: of the direction of x only.
        normalization: e3nn's ``integral``, ``component`` or ``norm``.
        irreps_in: what x is; None finds it from irreps_out, a bond where both fit.
    """

    def __init__(
        self,
        irreps_out: TIrreps | str | int | Iterable[int],
        normalize: bool,
        normalization: str = "integral",
        irreps_in: TIrrep | str | None = None,
    ) -> None:
        """Build; SpinffError if no vector, or not this one, has these harmonics."""
        own = _harmonics(irreps_out, irreps_in)
        vectors = [TIrrep(1, p, t) for t in (1, -1) for p in (-1, 1)]
        if irreps_in is not None:
            vectors = [TIrrep(irreps_in)]
        fitting = [v for v in vectors if own == _powers(v, own)]
        if not fitting:
            raise SpinffError(
                f"SphericalHarmonics: irreps that {irreps_in or 'no vector'} has, got "
                f"{own}, expected for each degree l the parities of the vector to the "
                "power l, such as 0ee + 1oe + 2ee of a bond or 0ee + 1eo + 2ee of a "
                "moment; correct the irreps"
            )
        vector = fitting[0]
        super().__init__(own.e3, normalize, normalization, TIrreps(vector).e3)
        self.irreps_in, self.irreps_out = TIrreps(vector), own.simplify()


def _harmonics(
    irreps: TIrreps | str | int | Iterable[int], vector: TIrrep | str | None
) -> TIrreps:
    """What was asked for, degrees turned into irreps."""
    if isinstance(irreps, (TIrreps, str)):
        return TIrreps(irreps)
    degrees = [irreps] if isinstance(irreps, int) else list(irreps)
    return _powers(TIrrep(vector or "1oe"), TIrreps([(1, (l, 1)) for l in degrees]))


def _powers(vector: TIrrep, irreps: TIrreps) -> TIrreps:
    """The same degrees with the parities of a vector to the power l."""
    return TIrreps(
        [(mul, TIrrep(ir.l, vector.p**ir.l, vector.t**ir.l)) for mul, ir in irreps]
    )


def spherical_harmonics(
    irreps_out: TIrreps | str | int | Iterable[int],
    x: torch.Tensor,
    normalize: bool,
    normalization: str = "integral",
) -> torch.Tensor:
    """x (..., 3) -> (..., irreps_out.dim); see :class:`SphericalHarmonics`."""
    return SphericalHarmonics(irreps_out, normalize, normalization)(x)


@compile_mode("script")
class BondHarmonics(torch.nn.Module):
    """Y_l(r / |r|) for l = 0 … l_max, |Y_l|² = 2l + 1: (l, (−1)ˡ, even)."""

    def __init__(self, l_max: int) -> None:
        """Declare the irreps."""
        super().__init__()
        self.irreps_in = TIrreps("1oe")
        self.irreps_out = TIrreps.spherical_harmonics(l_max)
        self.harmonics = SphericalHarmonics(
            self.irreps_out, normalize=True, normalization="component", irreps_in="1oe"
        )

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (..., 3) Å -> (..., (l_max + 1)²)."""
        return self.harmonics(vectors)


@compile_mode("script")
class SpinHarmonics(torch.nn.Module):
    """Y_l(m) for l = 0 … l_max, |Y_l|² = (2l + 1) |m|²ˡ: (l, even, (−1)ˡ).

    Polynomials of m, not of m / |m|: these have all derivatives at m = 0, harmonics of
    the direction have none.
    """

    def __init__(self, l_max: int) -> None:
        """Declare the irreps."""
        super().__init__()
        self.irreps_in = TIrreps("1eo")
        self.irreps_out = TIrreps.spherical_harmonics(l_max, p=1, t=-1)
        self.harmonics = SphericalHarmonics(
            self.irreps_out, normalize=False, normalization="component", irreps_in="1eo"
        )

    def forward(self, moments: torch.Tensor) -> torch.Tensor:
        """Moments (..., 3), or spins, in any unit -> (..., (l_max + 1)²)."""
        return self.harmonics(moments)
