"""Time-reversal graded irreducible representations (l, p, t)."""

from spinff.irreps._paths import irrep_list, reachable, tensor_product_paths, useful
from spinff.irreps._spin_space import AnyIrrep, SpinSpaceIrrep
from spinff.irreps._tirreps import TIrrep, TIrreps

__all__ = [
    "AnyIrrep",
    "SpinSpaceIrrep",
    "TIrrep",
    "TIrreps",
    "irrep_list",
    "reachable",
    "tensor_product_paths",
    "useful",
]
