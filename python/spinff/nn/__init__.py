"""Layers and heads."""

from spinff.nn.allegro import AllegroLayers
from spinff.nn.bonds import BondEnvironment, BondExchange, BondTensors
from spinff.nn.contraction import EnvironmentContraction
from spinff.nn.label_scale import MagneticForceLabelScale
from spinff.nn.magnet import GaussianEdgeEncoding, MagneticInteractions
from spinff.nn.message_passing import (
    EdgesFromNodes,
    ExchangeFromTensors,
    PairsFromNodes,
    PairTensorsFromNodes,
)
from spinff.nn.moment_length import MomentLengths
from spinff.nn.pair_potential import PairPotential
from spinff.nn.spin_terms import SpinTerms
from spinff.nn.spins import (
    MagneticForces,
    SpinsFromMoments,
)
from spinff.nn.tenn import TENN
from spinff.nn.tensor_layers import TensorLayers
from spinff.nn.three_body import ThreeBodyPotential
from spinff.nn.topology import Topology, magnetic_edge_indices

__all__ = [
    "TENN",
    "AllegroLayers",
    "BondEnvironment",
    "BondExchange",
    "BondTensors",
    "EdgesFromNodes",
    "EnvironmentContraction",
    "ExchangeFromTensors",
    "GaussianEdgeEncoding",
    "MagneticForceLabelScale",
    "MagneticForces",
    "MagneticInteractions",
    "MomentLengths",
    "PairPotential",
    "PairTensorsFromNodes",
    "PairsFromNodes",
    "SpinTerms",
    "SpinsFromMoments",
    "TensorLayers",
    "ThreeBodyPotential",
    "Topology",
    "magnetic_edge_indices",
]
