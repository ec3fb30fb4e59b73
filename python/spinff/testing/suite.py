"""Every check of a calculator in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from ase import Atoms
from tqdm import tqdm

from spinff.errors import SpinffError
from spinff.testing.consistency import size_errors
from spinff.testing.derivatives import Steps, derivative_errors
from spinff.testing.report import Check, Report
from spinff.testing.results import Errors, SpinPotential, evaluate, moments_of
from spinff.testing.smoothness import cutoff_errors, has_lengths, zero_moment_errors
from spinff.testing.structures import rattled
from spinff.testing.transformations import (
    Transformation,
    equivariance_errors,
    standard_transformations,
)

TOLERANCES: Final[dict[str, dict[str, float]]] = {
    # rounding of sums in another order
    "symmetry": {"float64": 1e-12, "float32": 1e-4},
    # of two systems instead of one
    "size": {"float64": 1e-12, "float32": 1e-4},
    "couplings": {"float64": 1e-12, "float32": 1e-4},
    # error of the five-point formula and noise of the energy over the step
    "derivatives": {"float64": 1e-6, "float32": 2e-3},
    # curvature times the square of the step, and noise
    "cutoff": {"float64": 1e-6, "float32": 1e-3},
    "zero moment": {"float64": 1e-6, "float32": 5e-3},
    # other frames of a batch do not enter at all
    "cross-frame": {"float64": 0.0, "float32": 0.0},
}
"""Kind of check -> type of the network's numbers -> largest relative error allowed."""

_CUTOFF_STEP = {"float64": 1e-4, "float32": 1e-2}
_MOMENT_STEP = {"float64": 1e-3, "float32": 2e-2}
# of a set of many species, pairs for which the cutoff is crossed
_MAX_PAIRS = 16


class Refused(Exception):
    """A potential does not take that input, and says so; no fault."""


@dataclass(frozen=True)
class Planned:
    """A check to be made."""

    name: str
    """For the report."""
    kind: str
    """Key of TOLERANCES."""
    errors: Callable[[], Errors]
    """Makes it; may raise Refused."""


def check_model(
    calculator: SpinPotential,
    atoms: Atoms,
    *,
    spin_orbit_coupling: bool = True,
    dtype: str = "float64",
    cutoffs: Mapping[tuple[str, str], float] | None = None,
    moments: Mapping[str, float] | None = None,
    rattle: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Every check of a calculator on one structure.

    Args:
        calculator: ASE calculator that reads moments (N, 3) in µB from
            ``get_initial_magnetic_moments`` and gives ``energy``, ``forces``,
            ``magnetic_forces`` and, better, ``stress`` and ``energies``.
        atoms: a structure with noncollinear moments; small, as about a hundred energies
            are computed.
        spin_orbit_coupling: False for a model whose spins may turn alone, to check it.
        dtype: numbers the model computes with, ``float64`` or ``float32``.
        cutoffs: (species of the centre, of the neighbour) -> Å, where smoothness is
            checked; not checked if not given.
        moments: species -> µB for that check; else mean lengths of the structure.
        rattle: displace atoms and turn moments a little first, as nothing is tested
            where forces vanish by symmetry.
        seed: of everything random.
        progress: show a progress bar on standard error.

    Raises:
        SpinffError: for a structure without moments, or a calculator that does not give
            what is needed.
    """
    atoms = structure_to_check(atoms, rattle=rattle, seed=seed)
    planned = plan(
        calculator,
        atoms,
        spin_orbit_coupling=spin_orbit_coupling,
        dtype=dtype,
        cutoffs=cutoffs,
        moments=moments,
        seed=seed,
    )
    about = {"atoms": str(atoms.symbols)}
    return run(planned, dtype=dtype, about=about, progress=progress)


def plan(
    calculator: SpinPotential,
    atoms: Atoms,
    *,
    spin_orbit_coupling: bool,
    dtype: str,
    cutoffs: Mapping[tuple[str, str], float] | None,
    moments: Mapping[str, float] | None,
    seed: int,
) -> list[Planned]:
    """The checks that :func:`check_model` makes on a structure as it is."""
    if dtype not in _CUTOFF_STEP:
        raise SpinffError(
            f"check_model: unknown dtype, got '{dtype}', expected float32 or float64; "
            "name the type of the model's numbers"
        )
    evaluate(calculator, atoms)  # a calculator that cannot do it at all says so here

    def symmetric(move: Transformation) -> Errors:
        return equivariance_errors(calculator, atoms, [move])[move.name]

    planned = [
        Planned(move.name, "symmetry", partial(symmetric, move))
        for move in standard_transformations(
            spin_orbit_coupling=spin_orbit_coupling, seed=seed
        )
    ]
    planned += [
        Planned("two copies", "size", lambda: size_errors(calculator, atoms)),
        Planned(
            "finite differences",
            "derivatives",
            lambda: derivative_errors(
                calculator, atoms, steps=Steps.of(dtype), seed=seed
            ),
        ),
        Planned(
            "moments of zero",
            "zero moment",
            lambda: _zero_moment(calculator, atoms, _MOMENT_STEP[dtype]),
        ),
    ]
    if cutoffs:
        lengths = mean_lengths(atoms) if moments is None else moments
        planned.append(
            Planned(
                "crossing a cutoff",
                "cutoff",
                lambda: _cutoffs(calculator, cutoffs, lengths, _CUTOFF_STEP[dtype]),
            )
        )
    return planned


def run(
    planned: Sequence[Planned],
    *,
    dtype: str,
    about: Mapping[str, object],
    progress: bool = False,
) -> Report:
    """Make the checks.

    Args:
        planned: what to check.
        dtype: selects the tolerances.
        about: what is checked, for the report.
        progress: show a progress bar on standard error.
    """
    start = time.perf_counter()
    bar = tqdm(planned, unit="check", disable=not progress, leave=False)
    checks = []
    for item in bar:
        bar.set_description(item.name)
        checks.append(_made(item, TOLERANCES[item.kind][dtype]))
    seconds = round(time.perf_counter() - start, 1)
    return Report(tuple(checks), {**about, "dtype": dtype, "seconds": seconds})


def _made(item: Planned, tolerance: float) -> Check:
    try:
        return Check(item.name, item.errors(), tolerance)
    except Refused as reason:
        return Check(item.name, {}, tolerance, note=str(reason), skipped=True)
    except Exception as error:  # whatever a calculator of somebody else raises
        note = f"{type(error).__name__}: {error}"
        return Check(item.name, {}, tolerance, note=note)


def structure_to_check(atoms: Atoms, *, rattle: bool, seed: int) -> Atoms:
    """The structure with moments, without symmetry if wanted.

    Raises:
        SpinffError: if no atom has a moment.
    """
    if not moments_of(atoms).any():
        raise SpinffError(
            "check_model: the structure has no moments, got zero on each of "
            f"{len(atoms)} atoms, expected some in µB; set them with "
            "atoms.set_initial_magnetic_moments"
        )
    if not rattle:
        return atoms
    return rattled(atoms, position=0.05, angle=0.3, seed=seed)


def mean_lengths(atoms: Atoms) -> dict[str, float]:
    """Species -> mean length of its moments in µB, of those that have any."""
    lengths = np.linalg.norm(moments_of(atoms), axis=1)
    symbols = np.array(atoms.get_chemical_symbols())
    return {
        str(name): float(lengths[symbols == name].mean())
        for name in sorted(set(symbols[lengths > 0]))
    }


def _zero_moment(calculator: SpinPotential, atoms: Atoms, step: float) -> Errors:
    if has_lengths(calculator, atoms):
        return zero_moment_errors(calculator, atoms, step=step)
    try:
        return zero_moment_errors(calculator, atoms, step=step)
    except SpinffError as error:
        # a direction is asked for, and a sentence says so: better than a guess
        raise Refused(str(error)) from error


def _cutoffs(
    calculator: SpinPotential,
    cutoffs: Mapping[tuple[str, str], float],
    moments: Mapping[str, float],
    step: float,
) -> Errors:
    every = -(-len(cutoffs) // _MAX_PAIRS)
    errors: Errors = {}
    for (centre, neighbour), cutoff in list(cutoffs.items())[::every]:
        jumps = cutoff_errors(
            calculator, centre, neighbour, cutoff, moments=moments, step=step
        )
        errors |= {f"{centre}-{neighbour} {name}": e for name, e in jumps.items()}
    return errors
