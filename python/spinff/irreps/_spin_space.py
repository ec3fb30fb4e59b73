"""Irreps of spins and lattice turned independently: O(3) × (SO(3) × {1, T}).

Without spin–orbit coupling the energy does not change when all spins are rotated and
the lattice is not. A feature then carries two irreps, one for each rotation, and a
tensor product couples each with its own Clebsch–Gordan coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from e3nn.o3 import wigner_3j

from spinff.irreps._tirreps import TIrrep


class SpinSpaceIrrep(NamedTuple):
    """(irrep of the lattice, irrep of the spins), for example ``2ee|1eo``.

    Components are ordered with those of the spins running fastest.
    """

    space: TIrrep
    """Even under time reversal."""
    spin: TIrrep
    """Even under inversion."""

    @property
    def dim(self) -> int:
        """(2l + 1)(2l' + 1)."""
        return self.space.dim * self.spin.dim

    def __mul__(self, other: SpinSpaceIrrep) -> list[SpinSpaceIrrep]:  # type: ignore[override]
        """Selection rules of both factors."""
        return [
            SpinSpaceIrrep(space, spin)
            for space in self.space * other.space
            for spin in self.spin * other.spin
        ]

    def __str__(self) -> str:
        return f"{self.space}|{self.spin}"

    def __repr__(self) -> str:
        return str(self)


AnyIrrep = TIrrep | SpinSpaceIrrep
"""What a tensor track may carry: one irrep of joint, or two of separate rotations."""


def coupling_coefficients(
    left: AnyIrrep, right: AnyIrrep, out: AnyIrrep
) -> torch.Tensor:
    """C[i, j, k] of left ⊗ right -> out: Wigner 3j, or the product of two of them."""
    if isinstance(left, TIrrep):
        return wigner_3j(left.l, right.l, out.l)  # type: ignore[union-attr]
    assert isinstance(right, SpinSpaceIrrep)
    assert isinstance(out, SpinSpaceIrrep)
    space = wigner_3j(left.space.l, right.space.l, out.space.l)
    spin = wigner_3j(left.spin.l, right.spin.l, out.spin.l)
    product = torch.einsum("abc,ijk->aibjck", space, spin)
    return product.reshape(left.dim, right.dim, out.dim)


def slices(irreps: Sequence[AnyIrrep]) -> list[slice]:
    """Where each irrep lies in a feature of multiplicity one."""
    result, start = [], 0
    for irrep in irreps:
        result.append(slice(start, start + irrep.dim))
        start += irrep.dim
    return result
