"""Structures to test on: without symmetry, noncollinear, of any species."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from spinff.testing.results import Array, moments_of, with_moments


def random_structure(
    species: Sequence[str],
    moments: Mapping[str, float],
    *,
    count: int = 8,
    seed: int = 0,
) -> Atoms:
    """A crystal of some species without any symmetry, with noncollinear moments.

    Atoms stand near the sites of a cubic lattice whose spacing is a bond of two of the
    largest species; the cell is skewed, and no larger than a usual cutoff.

    Args:
        species: chemical symbols; each stands there at least once.
        moments: species -> length in µB; atoms have 0.9 to 1.1 of it, others none.
        count: number of atoms at least.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    side = int(np.ceil(max(count, len(species)) ** (1 / 3) - 1e-9))
    sites = np.array(list(itertools.product(range(side), repeat=3)), dtype=float)
    radius = max(covalent_radii[atomic_numbers[name]] for name in species)
    spacing = 2 * radius
    cell = side * spacing * (np.eye(3) + rng.normal(scale=0.05, size=(3, 3)))
    symbols = rng.permutation(
        [species[n % len(species)] for n in range(len(sites))]
    ).tolist()
    scaled = (sites + rng.normal(scale=0.05, size=sites.shape)) / side
    atoms = Atoms(symbols, scaled_positions=scaled, cell=cell, pbc=True)
    return with_moments(atoms, random_moments(atoms, moments, rng))


def random_moments(
    atoms: Atoms, moments: Mapping[str, float], rng: np.random.Generator
) -> Array:
    """(N, 3) µB: random directions, 0.9 to 1.1 of the length of each species."""
    lengths = np.array([moments.get(name, 0.0) for name in atoms.symbols])
    lengths *= rng.uniform(0.9, 1.1, size=len(atoms))
    directions = rng.normal(size=(len(atoms), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return lengths[:, None] * directions


def rattled(atoms: Atoms, *, position: float, angle: float, seed: int = 0) -> Atoms:
    """A copy with atoms displaced and moments turned, so that nothing vanishes.

    Args:
        atoms: any structure.
        position: Å, standard deviation of each component.
        angle: rad, standard deviation of the turn about each axis; lengths stay.
        seed: of both.
    """
    rng = np.random.default_rng(seed)
    moments = moments_of(atoms)
    lengths = np.linalg.norm(moments, axis=1, keepdims=True)
    turned = moments + angle * lengths * rng.normal(size=moments.shape)
    norm = np.linalg.norm(turned, axis=1, keepdims=True)
    changed = with_moments(atoms, lengths * turned / np.where(norm > 0, norm, 1.0))
    changed.positions += rng.normal(scale=position, size=moments.shape)
    return changed
