"""Tests of magnetic potentials, for our models and for anybody's.

A potential is an ASE calculator that reads noncollinear moments (N, 3) in µB from
``atoms.get_initial_magnetic_moments()`` and gives ``energy``, ``forces``,
``magnetic_forces`` (−∂E/∂m, eV/µB), and where it can ``stress`` and ``energies``.
:func:`check_model` runs every check on one structure; the functions it is made of take
a structure and give the errors of each quantity, for use in a test suite.
"""

from spinff.couplings import Couplings, model_couplings
from spinff.testing.consistency import (
    cross_frame_errors,
    graph_frame,
    size_errors,
)
from spinff.testing.couplings import coupling_errors
from spinff.testing.derivatives import Steps, derivative_errors
from spinff.testing.features import feature_equivariance_error
from spinff.testing.files import check_file
from spinff.testing.report import Check, Report
from spinff.testing.results import errors_between, evaluate
from spinff.testing.smoothness import cutoff_errors, has_lengths, zero_moment_errors
from spinff.testing.structures import random_structure, rattled
from spinff.testing.suite import TOLERANCES, check_model
from spinff.testing.transformations import (
    Transformation,
    equivariance_errors,
    permutation,
    spins_alone,
    standard_transformations,
    transformation,
    translation,
)

__all__ = [
    "TOLERANCES",
    "Check",
    "Couplings",
    "Report",
    "Steps",
    "Transformation",
    "check_file",
    "check_model",
    "coupling_errors",
    "cross_frame_errors",
    "cutoff_errors",
    "derivative_errors",
    "equivariance_errors",
    "errors_between",
    "evaluate",
    "feature_equivariance_error",
    "graph_frame",
    "has_lengths",
    "model_couplings",
    "permutation",
    "random_structure",
    "rattled",
    "size_errors",
    "spins_alone",
    "standard_transformations",
    "transformation",
    "translation",
    "zero_moment_errors",
]
