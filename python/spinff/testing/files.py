"""Every check of a model file."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from spinff.calculator import SpinCalculator
from spinff.couplings import model_couplings
from spinff.data import read_frames
from spinff.errors import SpinffError
from spinff.export import RunnableModel, load_model
from spinff.fields import MAGNETIC_MOMENTS_KEY
from spinff.header import ModelHeader, archive_kind, has_couplings
from spinff.irreps.operations import Operation
from spinff.models import load_checkpoint
from spinff.testing.consistency import cross_frame_errors, graph_frame
from spinff.testing.couplings import coupling_errors, energy_error
from spinff.testing.report import Report
from spinff.testing.results import Errors, evaluate, with_moments
from spinff.testing.structures import random_moments, random_structure
from spinff.testing.suite import Planned, plan, run, structure_to_check


def check_file(
    path: str | Path,
    structure: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Every check of a checkpoint or a deployed file.

    Besides those of :func:`check_model`: symmetry of the couplings and their energy,
    where the model has couplings, and gradients across the frames of a batch, where the
    file is a checkpoint.

    Args:
        path: ``model.pth`` of ``spinff train``, or a file of ``spinff deploy``.
        structure: extended XYZ file or deepmd folder with moments, of which the first
            frame is taken, or any structure file ASE reads, to which random moments are
            given; None makes a random structure of the model's species.
        device: ``cpu`` or ``cuda``.
        dtype: of the network, for a checkpoint only; None keeps the trained one.
        seed: of everything random.
        progress: show a progress bar on standard error.

    Raises:
        SpinffError: for a file that cannot be read, or that the model does not cover.
    """
    model = load_model(path, device=device, dtype=dtype)
    header = model.header
    if structure is None:
        atoms = random_structure(header.type_names, header.moments, seed=seed)
    else:
        atoms = read_structure(Path(structure), header, seed)
    atoms = structure_to_check(atoms, rattle=structure is not None, seed=seed)
    calculator = SpinCalculator(model)
    planned = plan(
        calculator,
        atoms,
        spin_orbit_coupling=header.spin_orbit_coupling,
        dtype=header.dtype,
        cutoffs=cutoffs_of(header),
        moments=header.moments,
        seed=seed,
    )
    if has_couplings(header):
        planned += _coupling_checks(model, calculator, atoms, seed)
    if archive_kind(path) == "checkpoint":
        planned.append(
            Planned(
                "other frames of a batch",
                "cross-frame",
                lambda: _cross_frame(path, dtype, atoms, seed),
            )
        )
    about = {
        "model": str(path),
        "atoms": f"{atoms.symbols} ({structure or 'random'})",
    }
    return run(planned, dtype=header.dtype, about=about, progress=progress)


def cutoffs_of(header: ModelHeader) -> dict[tuple[str, str], float]:
    """(Species of the centre, species of the neighbour) -> Å."""
    return {
        (centre, neighbour): cutoff
        for centre, row in zip(header.type_names, header.cutoffs, strict=True)
        for neighbour, cutoff in zip(header.type_names, row, strict=True)
    }


def read_structure(path: Path, header: ModelHeader, seed: int) -> Atoms:
    """One structure with moments, from a file or a deepmd folder.

    Raises:
        SpinffError: if it cannot be read.
    """
    if path.is_dir() or "xyz" in path.name:
        frame = read_frames(path, type_names=header.type_names)[0]
        return with_moments(frame, frame.arrays[MAGNETIC_MOMENTS_KEY])
    try:
        atoms = ase.io.read(path)
    except Exception as error:  # ASE's readers raise whatever a file provokes
        raise SpinffError(
            f"structure '{path}': cannot be read, got {type(error).__name__}: {error}, "
            "expected a structure file that ASE knows; check the path"
        ) from error
    assert isinstance(atoms, Atoms)
    rng = np.random.default_rng(seed)
    return with_moments(atoms, random_moments(atoms, header.moments, rng))


def _coupling_checks(
    model: RunnableModel, calculator: SpinCalculator, atoms: Atoms, seed: int
) -> list[Planned]:
    operation = Operation(
        Operation.random(seed).rotation, inversion=True, time_reversal=True
    )

    def symmetry() -> Errors:
        return coupling_errors(lambda a: model_couplings(model, a), atoms, operation)

    def energy() -> Errors:
        expected = float(evaluate(calculator, atoms)["energy"])
        return {"energy": energy_error(model, atoms, expected)}

    return [
        Planned("couplings", "couplings", symmetry),
        Planned("energy of the couplings", "couplings", energy),
    ]


def _cross_frame(
    path: str | Path, dtype: str | None, atoms: Atoms, seed: int
) -> Errors:
    checkpoint = load_checkpoint(path, dtype)
    config = checkpoint.config
    other = structure_to_check(atoms, rattle=True, seed=seed + 1)
    first, second = (
        graph_frame(
            frame,
            config["type_names"],
            config["r_max"],
            config.get("per_edge_type_cutoff"),
        )
        for frame in (atoms, other)
    )
    return cross_frame_errors(checkpoint.model, first, second)
