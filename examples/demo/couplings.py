"""The exchange of a model beside the true one of the reference Hamiltonian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from spinff.couplings import PairKey, model_couplings
from spinff.data.references.rocksalt import Rocksalt
from spinff.export import RunnableModel
from spinff.fields import MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Exchange tensors of the same directed pairs, in meV."""

    pairs: NDArray[np.int64]
    """(P, 2) atoms i and j; frames follow each other."""
    distance: Array
    """(P,) Å."""
    true: Array
    """(P, 3, 3)."""
    model: Array
    """(P, 3, 3)."""


def compare(
    model: RunnableModel, reference: Rocksalt, frames: Sequence[Atoms]
) -> Comparison:
    """Exchange tensors of every magnetic pair of some frames.

    A model's tensor of a pair is the mean of both directed edges': the energy holds
    only that.
    """
    pairs, distance, true, found = [], [], [], []
    offset = 0
    for frame in frames:
        exact = reference.exchange(frame)
        tensors = model_couplings(model, frame).exchange
        for pair, vector, tensor in zip(
            exact.pairs, exact.vectors, exact.tensors, strict=True
        ):
            key = _key(frame, pair[0], pair[1], vector)
            if key not in tensors:
                continue  # at the cutoff, where both are zero but for rounding
            pairs.append(offset + pair)
            distance.append(np.linalg.norm(vector))
            true.append(1000.0 * tensor)
            found.append(1000.0 * tensors[key])
        offset += len(frame)
    return Comparison(
        np.array(pairs), np.array(distance), np.array(true), np.array(found)
    )


def sum_images(pairs: Comparison) -> Comparison:
    """The tensors of each two atoms, summed over the periodic images of the second.

    The images carry one spin, so the energy of the cell holds this sum only: a model
    may share it out among the images as it likes, where symmetry lets it.
    """
    atoms, row = np.unique(pairs.pairs, axis=0, return_inverse=True)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, row, pairs.distance)
    true, model = np.zeros((2, len(atoms), 3, 3))
    np.add.at(true, row, pairs.true)
    np.add.at(model, row, pairs.model)
    return Comparison(atoms, nearest, true, model)


def perfect_crystal(reference: Rocksalt) -> Atoms:
    """The undistorted crystal, large enough that no pair has two images."""
    p = reference.parameters
    atoms = bulk(
        p.magnetic + p.ligand, "rocksalt", a=p.lattice_constant, cubic=True
    ).repeat(3)
    moment = np.where(atoms.symbols == p.magnetic, p.moment, 0.0)
    atoms.arrays[MAGNETIC_MOMENTS_KEY] = moment[:, None] * np.array([0.0, 0.0, 1.0])
    return atoms


def isotropic(tensors: Array) -> Array:
    """J of each tensor, tr/3, (P,)."""
    return np.trace(tensors, axis1=1, axis2=2) / 3


def dm_vectors(tensors: Array) -> Array:
    """D of each tensor, with eᵀ J e' = … + D · (e × e'), (P, 3)."""
    odd = (tensors - tensors.transpose(0, 2, 1)) / 2
    return np.stack([odd[:, 1, 2], odd[:, 2, 0], odd[:, 0, 1]], axis=1)


def anisotropic(tensors: Array) -> Array:
    """Γ of each tensor: symmetric and without trace, (P, 3, 3)."""
    even = (tensors + tensors.transpose(0, 2, 1)) / 2
    return even - isotropic(tensors)[:, None, None] * np.eye(3)


def _key(frame: Atoms, i: int, j: int, vector: Array) -> PairKey:
    """Both atoms and the image of the second: exact, whatever the rounding."""
    image = vector - (frame.positions[j] - frame.positions[i])
    n = np.rint(np.linalg.solve(np.asarray(frame.cell).T, image)).astype(int)
    return int(i), int(j), int(n[0]), int(n[1]), int(n[2])
