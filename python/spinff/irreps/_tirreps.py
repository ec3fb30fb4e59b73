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
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from e3nn import o3

from spinff.errors import SpinffError

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
        l: int | str,
        p: int | None = None,
        t: int = 1,
    ) -> TIrrep:
        """Validate and build; SpinffError for text or labels that are no irrep."""
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

    def __mul__(self, other: TIrrep) -> list[TIrrep]:  # type: ignore[override]
        """Selection rules: |l₁−l₂| ≤ l ≤ l₁+l₂, p = p₁p₂, t = t₁t₂."""
        low, high = abs(self.l - other.l), self.l + other.l
        return [
            TIrrep(degree, self.p * other.p, self.t * other.t)
            for degree in range(low, high + 1)
        ]

    def __str__(self) -> str:
        return f"{self.l}{_LETTER[self.p]}{_LETTER[self.t]}"

    __repr__ = __str__


class TIrreps(tuple[tuple[int, TIrrep], ...]):
    """An ordered direct sum of (multiplicity, TIrrep), for example ``8x0ee + 8x1eo``.

    ``str`` and the constructor are inverse to each other.
    """

    __slots__ = ()

    def __new__(cls, irreps: str | TIrreps | list[tuple[int, TIrrep]] = "") -> TIrreps:
        """Build from text or from (multiplicity, irrep) pairs."""
        if isinstance(irreps, str):
            irreps = [_parse_term(term) for term in irreps.split("+") if term.strip()]
        pairs = []
        for mul, ir in irreps:
            if mul < 0:
                raise SpinffError(
                    f"TIrreps: negative multiplicity, got {mul} of {ir}, "
                    "expected 0 or more; correct the list"
                )
            pairs.append((int(mul), TIrrep(*ir)))
        return super().__new__(cls, pairs)

    @property
    def dim(self) -> int:
        """Total dimension Σ mul (2l + 1)."""
        return sum(mul * ir.dim for mul, ir in self)

    @property
    def e3(self) -> o3.Irreps:
        """The same list for e3nn, without t."""
        return o3.Irreps([(mul, ir.e3) for mul, ir in self])

    def irreps(self) -> Iterator[TIrrep]:
        """The irreps without their multiplicities, in order."""
        return (ir for _, ir in self)

    def __str__(self) -> str:
        return " + ".join(f"{mul}x{ir}" for mul, ir in self)

    __repr__ = __str__


def _parse_term(term: str) -> tuple[int, TIrrep]:
    match = _TERM.match(term.strip())
    if match is None:
        raise SpinffError(
            f"TIrreps: cannot read a term, got {term.strip()!r}, expected "
            "'irrep' or 'multiplicity x irrep' such as '8x1eo'; correct the text"
        )
    return int(match["mul"] or 1), TIrrep(match["ir"])
