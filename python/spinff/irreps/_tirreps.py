"""Irreps of O(3) × {1, T}: e3nn's (l, p) with a time-reversal parity t beside it.

Wigner 3j coefficients depend on l alone, so t, like p, only selects which paths of a
tensor product exist: ``p_out = p_1 p_2`` and ``t_out = t_1 t_2``. The algebra is that
of T-e3nn (Yu et al., Phys. Rev. B 110, 104427, Sec. II) with the released e3nn kept as
it is: ``.e3`` drops the label where e3nn is asked to compute.

Examples:
    >>> position, spin = TIrrep("1oe"), TIrrep("1eo")
    >>> [str(ir) for ir in spin * spin]
    ['0ee', '1ee', '2ee']
    >>> TIrreps("2x1eo + 0ee").dim
    7
    >>> TIrreps("0ee + 1oe") * "1eo"
    1x0oo + 1x1oo + 1x1eo + 1x2oo
    >>> 2 * spin + position == "2x1eo + 1oe"
    True
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, SupportsIndex, overload

import torch
from e3nn import o3

from spinff.errors import SpinffError
from spinff.irreps.operations import Operation, wigner_D

_PARITY = {"e": 1, "o": -1}
_LETTER = {1: "e", -1: "o"}
_TERM = re.compile(r"^(?:(?P<mul>\d+)x)?(?P<ir>\S+)$")
_IRREP = re.compile(r"^(?P<l>\d+)(?P<p>[eo])(?P<t>[eo])?$")


class _LPT(NamedTuple):
    l: int
    p: int
    t: int


class TIrrep(_LPT):
    """One irrep (l, p, t): degree, spatial parity ±1, time-reversal parity ±1.

    Built from ``TIrrep(1, 1, -1)`` or from text: ``"1eo"``; without the third letter
    t is even, so ``"1o"`` is e3nn's own ``1o``.
    """

    __slots__ = ()

    def __new__(
        cls,
        l: int | str | tuple[int, ...],
        p: int | None = None,
        t: int = 1,
    ) -> TIrrep:
        """Validate and build; SpinffError for text or labels that are no irrep."""
        if isinstance(l, TIrrep):
            return l
        if isinstance(l, tuple):
            return cls(*l)
        if isinstance(l, str):
            match = _IRREP.match(l.strip())
            if match is None:
                raise SpinffError(
                    f"TIrrep: cannot read an irrep from text, got {l!r}, expected "
                    "degree, spatial parity and time-reversal parity such as '1eo' "
                    "(or '1e', t even); correct the text"
                )
            t_letter = match["t"] or "e"
            l, p, t = int(match["l"]), _PARITY[match["p"]], _PARITY[t_letter]
        if l < 0 or p not in _LETTER or t not in _LETTER:
            raise SpinffError(
                f"TIrrep: labels out of range, got (l, p, t) = ({l}, {p}, {t}), "
                "expected l ≥ 0 and p, t in {1, -1}; correct the labels"
            )
        return super().__new__(cls, l, p, t)

    @property
    def dim(self) -> int:
        """Dimension 2l + 1."""
        return 2 * self.l + 1

    @property
    def e3(self) -> o3.Irrep:
        """The same (l, p) for e3nn, which has no t."""
        return o3.Irrep(self.l, self.p)

    def is_scalar(self) -> bool:
        """Whether it is 0ee: unchanged by every operation."""
        return self == (0, 1, 1)

    def D(self, operation: Operation) -> torch.Tensor:
        """Matrix of an operation, (2l+1, 2l+1) float64: p and t signs times D^l(R)."""
        sign = (self.p if operation.inversion else 1) * (
            self.t if operation.time_reversal else 1
        )
        return sign * wigner_D(self.l, operation.rotation)

    def __mul__(self, other: TIrrep) -> list[TIrrep]:  # type: ignore[override]
        """Selection rules: |l₁−l₂| ≤ l ≤ l₁+l₂, p = p₁p₂, t = t₁t₂."""
        low, high = abs(self.l - other.l), self.l + other.l
        return [
            TIrrep(degree, self.p * other.p, self.t * other.t)
            for degree in range(low, high + 1)
        ]

    def __rmul__(self, multiplicity: SupportsIndex) -> TIrreps:  # type: ignore[override]
        """``3 * TIrrep("1eo")`` is ``3x1eo``."""
        return TIrreps([(int(multiplicity), self)])

    def __add__(self, other: TIrrep | TIrreps | str) -> TIrreps:  # type: ignore[override]
        """Direct sum."""
        return TIrreps(self) + other

    def __eq__(self, other: object) -> bool:
        """Same labels; text is read first."""
        return super().__eq__(TIrrep(other) if isinstance(other, str) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    # equal values hash equal; text beside irreps in one set is not supported
    __hash__ = _LPT.__hash__

    def __str__(self) -> str:
        return f"{self.l}{_LETTER[self.p]}{_LETTER[self.t]}"

    __repr__ = __str__


class MulTIrrep(NamedTuple):
    """``mul`` copies of one irrep."""

    mul: int
    ir: TIrrep

    @property
    def dim(self) -> int:
        """mul (2l + 1)."""
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"


class TIrreps(tuple[MulTIrrep, ...]):
    """An ordered direct sum of (multiplicity, TIrrep), for example ``8x0ee + 8x1eo``.

    ``str`` and the constructor are inverse to each other. Methods that e3nn's
    ``Irreps`` has, too, mean the same here, so that code written for it can be used.
    """

    __slots__ = ()

    def __new__(
        cls,
        irreps: str | TIrrep | Iterable[tuple[int, Any] | TIrrep | str] | None = None,
    ) -> TIrreps:
        """Build from text, an irrep, or a list of irreps or (multiplicity, irrep)."""
        if isinstance(irreps, TIrreps):
            return irreps
        if isinstance(irreps, TIrrep):
            irreps = [irreps]
        elif isinstance(irreps, str):
            irreps = [_parse_term(term) for term in irreps.split("+") if term.strip()]
        return super().__new__(cls, [_mul_irrep(item) for item in irreps or ()])

    @staticmethod
    def spherical_harmonics(lmax: int, p: int = -1, t: int = 1) -> TIrreps:
        """Y_0 … Y_lmax of a vector of parities p and t: (l, pˡ, tˡ) once each.

        The defaults are those of a bond; a moment has p = 1 and t = −1.
        """
        return TIrreps([(1, TIrrep(l, p**l, t**l)) for l in range(lmax + 1)])

    # === sizes and views ===

    @property
    def dim(self) -> int:
        """Total dimension Σ mul (2l + 1)."""
        return sum(item.dim for item in self)

    @property
    def num_irreps(self) -> int:
        """Σ mul."""
        return sum(mul for mul, _ in self)

    @property
    def lmax(self) -> int:
        """Highest degree; SpinffError if there is no irrep."""
        if not self:
            raise SpinffError(
                "TIrreps: lmax of an empty list, expected one irrep or more; add one"
            )
        return max(ir.l for _, ir in self)

    @property
    def e3(self) -> o3.Irreps:
        """The same list for e3nn, without t."""
        return o3.Irreps([(mul, ir.e3) for mul, ir in self])

    def irreps(self) -> Iterator[TIrrep]:
        """The irreps without their multiplicities, in order."""
        return (ir for _, ir in self)

    def slices(self) -> list[slice]:
        """Where each (multiplicity, irrep) lies in a feature of this representation."""
        result, start = [], 0
        for item in self:
            result.append(slice(start, start + item.dim))
            start += item.dim
        return result

    def count(self, ir: TIrrep | str) -> int:
        """Total multiplicity of an irrep."""
        return sum(mul for mul, own in self if own == TIrrep(ir))

    def __contains__(self, ir: object) -> bool:
        """Whether an irrep occurs, whatever its multiplicity."""
        return any(own == ir for own in self.irreps())

    @overload
    def __getitem__(self, index: SupportsIndex) -> MulTIrrep: ...
    @overload
    def __getitem__(self, index: slice) -> TIrreps: ...
    def __getitem__(self, index: SupportsIndex | slice) -> MulTIrrep | TIrreps:
        if isinstance(index, slice):
            return TIrreps(super().__getitem__(index))
        return super().__getitem__(index)

    # === order ===

    def simplify(self) -> TIrreps:
        """Neighbours of the same irrep joined, empty ones dropped; same layout."""
        joined: list[tuple[int, TIrrep]] = []
        for mul, ir in self:
            if joined and joined[-1][1] == ir:
                joined[-1] = (joined[-1][0] + mul, ir)
            elif mul > 0:
                joined.append((mul, ir))
        return TIrreps(joined)

    def sort(self) -> SortedTIrreps:
        """By (l, p, t), as e3nn sorts by (l, p); equal irreps keep their order."""
        inverse = sorted(range(len(self)), key=lambda index: self[index].ir)
        positions = tuple(inverse.index(index) for index in range(len(self)))
        return SortedTIrreps(
            TIrreps([self[index] for index in inverse]), positions, tuple(inverse)
        )

    def regroup(self) -> TIrreps:
        """Sorted, then simplified: one entry for each irrep."""
        return self.sort().irreps.simplify()

    # === algebra ===

    def __add__(self, other: TIrreps | TIrrep | str) -> TIrreps:  # type: ignore[override]
        """Direct sum: the other list behind this one."""
        return TIrreps([*self, *TIrreps(other)])

    def __mul__(self, other: int | TIrreps | TIrrep | str) -> TIrreps:  # type: ignore[override]
        """The tensor product, regrouped; with an integer the list repeated."""
        if isinstance(other, int):
            return TIrreps(super().__mul__(other))
        return tensor_product(self, other)

    def __rmul__(self, count: SupportsIndex) -> TIrreps:
        """The list repeated: a direct sum of ``count`` copies."""
        return TIrreps(super().__mul__(count))

    def D(self, operation: Operation) -> torch.Tensor:
        """Matrix of an operation, (dim, dim) float64, block diagonal."""
        blocks = [ir.D(operation) for mul, ir in self for _ in range(mul)]
        if not blocks:
            return torch.zeros(0, 0, dtype=torch.float64)
        return torch.block_diag(*blocks)

    def __eq__(self, other: object) -> bool:
        """Same entries in the same order; text is read first."""
        return super().__eq__(TIrreps(other) if isinstance(other, str) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __str__(self) -> str:
        return " + ".join(str(item) for item in self)

    __repr__ = __str__


class SortedTIrreps(NamedTuple):
    """A sorted list and the permutation that leads there."""

    irreps: TIrreps
    p: tuple[int, ...]
    """Entry n of the list before is entry p[n] of the sorted one."""
    inv: tuple[int, ...]
    """Entry n of the sorted list was entry inv[n] before."""


def tensor_product(
    left: TIrreps | TIrrep | str, right: TIrreps | TIrrep | str
) -> TIrreps:
    """What left ⊗ right decomposes into, one entry for each irrep, sorted."""
    return TIrreps(
        [
            (mul_left * mul_right, ir)
            for mul_left, ir_left in TIrreps(left)
            for mul_right, ir_right in TIrreps(right)
            for ir in ir_left * ir_right
        ]
    ).regroup()


def _mul_irrep(item: tuple[int, Any] | TIrrep | str) -> MulTIrrep:
    if isinstance(item, (TIrrep, str)):
        return MulTIrrep(1, TIrrep(item))
    mul, ir = item
    if mul < 0:
        raise SpinffError(
            f"TIrreps: negative multiplicity, got {mul} of {ir}, "
            "expected 0 or more; correct the list"
        )
    return MulTIrrep(int(mul), TIrrep(ir))


def _parse_term(term: str) -> tuple[int, TIrrep]:
    match = _TERM.match(term.strip())
    if match is None:
        raise SpinffError(
            f"TIrreps: cannot read a term, got {term.strip()!r}, expected "
            "'irrep' or 'multiplicity x irrep' such as '8x1eo'; correct the text"
        )
    return int(match["mul"] or 1), TIrrep(match["ir"])
