"""The explicit terms of the spin Hamiltonian, one module each.

Each holds a head, which makes the term's couplings from geometry, and the energy that
the couplings give with the spins. A further term is one more such module, its name in
``TERMS`` and its line in ``spinff.models.assembly``.
"""

from spinff.nn.terms.anisotropy import AnisotropyEnergy, AnisotropyHead
from spinff.nn.terms.baseline import LinearBaseline
from spinff.nn.terms.biquadratic import BiquadraticEnergy, BiquadraticHead
from spinff.nn.terms.exchange import ExchangeEnergy, ExchangeHead, exchange_irreps
from spinff.nn.terms.longitudinal import LongitudinalEnergy, LongitudinalHead
from spinff.nn.terms.pairs import PairInputs
from spinff.nn.terms.ring import RingEnergy, RingHead

__all__ = [
    "AnisotropyEnergy",
    "AnisotropyHead",
    "BiquadraticEnergy",
    "BiquadraticHead",
    "ExchangeEnergy",
    "ExchangeHead",
    "LinearBaseline",
    "LongitudinalEnergy",
    "LongitudinalHead",
    "PairInputs",
    "RingEnergy",
    "RingHead",
    "exchange_irreps",
]
