"""What a data set holds, in numbers: the table of ``spinff data check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from spinff.data.frames import (
    combine_sha256,
    frame_sha256,
    has_moment,
    label,
    split_magnetic_forces,
)
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MomentLengths:
    """Lengths of the moments of one species, in µB, over the atoms that have one."""

    n_atoms: int
    """Atoms with a moment."""
    n_zero: int
    """Atoms of the species without one."""
    mean: float
    """Mean length."""
    minimum: float
    """Smallest length."""
    maximum: float
    """Largest length."""


@dataclass(frozen=True)
class Summary:
    """One data set; a figure is None where no frame has the label."""

    n_frames: int
    """Frames."""
    n_atoms_min: int
    """Atoms of the smallest frame."""
    n_atoms_max: int
    """Atoms of the largest frame."""
    species: dict[str, int]
    """Atoms of each species over all frames."""
    moments: dict[str, MomentLengths]
    """Moment lengths of each species that has moments."""
    energy_mean_ev_per_atom: float | None
    """Mean energy per atom."""
    energy_std_mev_per_atom: float | None
    """Standard deviation of the energy per atom over the frames."""
    forces_rms_mev_per_a: float | None
    """Root mean square of the force components."""
    stress_rms_mev_per_a3: float | None
    """Root mean square of the nine stress components."""
    magnetic_forces_longitudinal_rms_mev_per_mub: float | None
    """Root mean square of the part along the moment (one number per atom)."""
    magnetic_forces_transverse_rms_mev_per_mub: float | None
    """Root mean square of the components of the part across the moment."""
    missing_energy: int
    """Frames without an energy."""
    missing_forces: int
    """Frames without forces."""
    missing_stress: int
    """Frames without a stress."""
    missing_magnetic_forces: int
    """Atoms with a moment and without a magnetic force."""
    sha256: str
    """Hash of the frames, whatever their order."""


def summarise(frames: Sequence[Atoms]) -> Summary:
    """Figures of canonical frames."""
    energies = [
        float(e) / len(frame)
        for frame in frames
        if (e := label(frame, "energy")) is not None
    ]
    forces = _labels(frames, "forces")
    stresses = _labels(frames, "stress")
    longitudinal, transverse, n_moments = _magnetic_forces(frames)
    sizes = [len(frame) for frame in frames]
    return Summary(
        n_frames=len(frames),
        n_atoms_min=min(sizes),
        n_atoms_max=max(sizes),
        species=dict(Counter(s for frame in frames for s in frame.symbols)),
        moments=moment_lengths(frames),
        energy_mean_ev_per_atom=float(np.mean(energies)) if energies else None,
        energy_std_mev_per_atom=1e3 * float(np.std(energies)) if energies else None,
        forces_rms_mev_per_a=_rms_milli(forces),
        stress_rms_mev_per_a3=_rms_milli(stresses),
        magnetic_forces_longitudinal_rms_mev_per_mub=_rms_milli([longitudinal]),
        magnetic_forces_transverse_rms_mev_per_mub=_rms_milli([transverse]),
        missing_energy=len(frames) - len(energies),
        missing_forces=len(frames) - len(forces),
        missing_stress=len(frames) - len(stresses),
        missing_magnetic_forces=n_moments - len(longitudinal),
        sha256=combine_sha256(frame_sha256(frame) for frame in frames),
    )


def moment_lengths(frames: Sequence[Atoms]) -> dict[str, MomentLengths]:
    """Moment lengths of every species of which some atom has a moment."""
    symbols = np.concatenate(
        [np.array(frame.get_chemical_symbols()) for frame in frames]
    )
    moments = np.concatenate([frame.arrays[MAGNETIC_MOMENTS_KEY] for frame in frames])
    magnetic = has_moment(moments)
    lengths = np.linalg.norm(moments, axis=1)
    found = {}
    for symbol in dict.fromkeys(symbols.tolist()):
        own = lengths[(symbols == symbol) & magnetic]
        if len(own):
            found[symbol] = MomentLengths(
                n_atoms=len(own),
                n_zero=int(np.sum((symbols == symbol) & ~magnetic)),
                mean=float(own.mean()),
                minimum=float(own.min()),
                maximum=float(own.max()),
            )
    return found


def _labels(frames: Sequence[Atoms], name: str) -> list[Array]:
    values = [label(frame, name) for frame in frames]
    return [np.asarray(value) for value in values if value is not None]


def _magnetic_forces(frames: Sequence[Atoms]) -> tuple[Array, Array, int]:
    """Labelled longitudinal (A,) and transverse (A, 3) parts; atoms with a moment."""
    longitudinal, transverse = [np.zeros(0)], [np.zeros((0, 3))]
    n_moments = 0
    for frame in frames:
        moments = frame.arrays[MAGNETIC_MOMENTS_KEY]
        n_moments += int(has_moment(moments).sum())
        if MAGNETIC_FORCES_KEY in frame.arrays:
            along, across = split_magnetic_forces(
                moments, frame.arrays[MAGNETIC_FORCES_KEY]
            )
            longitudinal.append(along[np.isfinite(along)])
            transverse.append(across[np.isfinite(along)])
    return np.concatenate(longitudinal), np.concatenate(transverse), n_moments


def _rms_milli(values: Sequence[Array]) -> float | None:
    """Root mean square over all numbers, in thousandths; None for no numbers."""
    flat = np.concatenate([np.zeros(0), *(value.reshape(-1) for value in values)])
    return 1e3 * float(np.sqrt(np.mean(flat**2))) if len(flat) else None
