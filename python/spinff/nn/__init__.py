"""Layers and heads."""

from spinff.nn.allegro import AllegroLayers
from spinff.nn.contraction import EnvironmentContraction
from spinff.nn.exchange import (
    BesselBasis,
    ExchangeHead,
    SpinEnergy,
    exchange_energy,
    exchange_irreps,
    magnetic_edge_indices,
)
from spinff.nn.label_scale import MagneticForceLabelScale

__all__ = [
    "AllegroLayers",
    "BesselBasis",
    "EnvironmentContraction",
    "ExchangeHead",
    "MagneticForceLabelScale",
    "SpinEnergy",
    "exchange_energy",
    "exchange_irreps",
    "magnetic_edge_indices",
]
