"""Time-reversal graded irreducible representations (l, p, t).

Layers are in :mod:`spinff.irreps.o3` and :mod:`spinff.irreps.nn`, under e3nn's names.
"""

from spinff.irreps._paths import irrep_list, reachable, tensor_product_paths, useful
from spinff.irreps._spin_space import AnyIrrep, SpinSpaceIrrep
from spinff.irreps._tirreps import TIrrep, TIrreps, tensor_product
from spinff.irreps.harmonics import BondHarmonics, SpinHarmonics
from spinff.irreps.operations import Operation

__all__ = [
    "AnyIrrep",
    "BondHarmonics",
    "Operation",
    "SpinHarmonics",
    "SpinSpaceIrrep",
    "TIrrep",
    "TIrreps",
    "irrep_list",
    "reachable",
    "tensor_product",
    "tensor_product_paths",
    "useful",
]
