"""Which paths of a tensor product exist, by (l, p, t)."""

from __future__ import annotations

from collections.abc import Sequence

from spinff.irreps._spin_space import AnyIrrep
from spinff.irreps._tirreps import TIrreps


def irrep_list(irreps: TIrreps | Sequence[AnyIrrep]) -> list[AnyIrrep]:
    """The irreps alone; a plain sequence passes through."""
    return list(irreps.irreps()) if isinstance(irreps, TIrreps) else list(irreps)


def tensor_product_paths(
    left: TIrreps | Sequence[AnyIrrep],
    right: TIrreps | Sequence[AnyIrrep],
    out: TIrreps | Sequence[AnyIrrep],
) -> list[tuple[int, int, int]]:
    """Index triples (i_left, i_right, i_out) allowed by the selection rules.

    e3nn and allegro filter by (l, p) only; passing these triples as their
    ``instructions`` makes the product respect time reversal.
    """
    lefts, rights = irrep_list(left), irrep_list(right)
    return [
        (i, j, k)
        for k, ir_out in enumerate(irrep_list(out))
        for i, ir_left in enumerate(lefts)
        for j, ir_right in enumerate(rights)
        if ir_out in ir_left * ir_right  # type: ignore[operator]
    ]


def reachable(
    left: TIrreps | Sequence[AnyIrrep],
    right: TIrreps | Sequence[AnyIrrep],
    wanted: TIrreps | Sequence[AnyIrrep],
) -> list[AnyIrrep]:
    """The irreps of ``wanted`` that some path of ``left`` ⊗ ``right`` leads to."""
    return [ir for ir in irrep_list(wanted) if tensor_product_paths(left, right, [ir])]


def useful(
    left: TIrreps | Sequence[AnyIrrep],
    right: TIrreps | Sequence[AnyIrrep],
    wanted: TIrreps | Sequence[AnyIrrep],
) -> list[AnyIrrep]:
    """The irreps of ``left`` from which a path with ``right`` leads to ``wanted``."""
    return [ir for ir in irrep_list(left) if tensor_product_paths([ir], right, wanted)]
