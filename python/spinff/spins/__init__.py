"""Spins on frozen couplings: Monte Carlo, ground states, order parameters.

The couplings are those of a table (docs/pair_spin_couplings.md) or of a model at one
structure; everything that takes time runs in the C++ core.
"""

from spinff.spins.layer import layer_triangles
from spinff.spins.samples import Samples, block_average
from spinff.spins.system import Minimum, SpinSystem

__all__ = ["Minimum", "Samples", "SpinSystem", "block_average", "layer_triangles"]
