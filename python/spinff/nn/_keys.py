"""Fields that pass between modules of one model and never leave it.

A module of their own: TorchScript knows constants only as attributes of a module.
"""

from typing import Final

# (E, channels × dim) edge tensors after the last Allegro layer, channel-major
EDGE_TENSORS_KEY: Final[str] = "edge_tensors"
# (M, features) scalars of the TENN's magnetic edges, for heads that read them
TENN_SCALARS_KEY: Final[str] = "tenn_scalars"
