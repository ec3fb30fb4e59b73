"""Which paths of a tensor product exist, by (l, p, t)."""

from __future__ import annotations

from spinff.irreps._tirreps import TIrreps


def tensor_product_paths(
    left: TIrreps, right: TIrreps, out: TIrreps
) -> list[tuple[int, int, int]]:
    """Index triples (i_left, i_right, i_out) allowed by the selection rules.

    e3nn and allegro filter by (l, p) only; passing these triples as their
    ``instructions`` makes the product respect time reversal.
    """
    return [
        (i, j, k)
        for k, ir_out in enumerate(out.irreps())
        for i, ir_left in enumerate(left.irreps())
        for j, ir_right in enumerate(right.irreps())
        if ir_out in ir_left * ir_right
    ]


def reachable(left: TIrreps, right: TIrreps, wanted: TIrreps) -> TIrreps:
    """The part of ``wanted`` that some path of ``left`` ⊗ ``right`` leads to."""
    return TIrreps(
        [
            (mul, ir)
            for mul, ir in wanted
            if tensor_product_paths(left, right, TIrreps([(1, ir)]))
        ]
    )


def useful(left: TIrreps, right: TIrreps, wanted: TIrreps) -> TIrreps:
    """The part of ``left`` from which some path with ``right`` leads to ``wanted``."""
    return TIrreps(
        [
            (mul, ir)
            for mul, ir in left
            if tensor_product_paths(TIrreps([(1, ir)]), right, wanted)
        ]
    )
