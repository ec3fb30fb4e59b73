"""Time-reversal graded irreducible representations (l, p, t)."""

from spinff.irreps._paths import reachable, tensor_product_paths, useful
from spinff.irreps._tirreps import TIrrep, TIrreps

__all__ = ["TIrrep", "TIrreps", "reachable", "tensor_product_paths", "useful"]
