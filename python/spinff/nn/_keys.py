"""Fields that pass between modules of one model and never leave it.

A module of their own: TorchScript knows constants only as attributes of a module.
"""

from typing import Final

# (M, features) scalars of the magnetic edges that couplings are read from
PAIR_SCALARS_KEY: Final[str] = "pair_scalars"
# (M, channels × dim) their tensors, channel-major
PAIR_TENSORS_KEY: Final[str] = "pair_tensors"
# (M, features) scalars of the TENN's magnetic edges, for heads that read them
TENN_SCALARS_KEY: Final[str] = "tenn_scalars"
