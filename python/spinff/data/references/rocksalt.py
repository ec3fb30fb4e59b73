"""``rocksalt``: a rock-salt magnet, for demonstrations and tests.

The species are Ni (magnetic) and O (ligand); the numbers are of the size of NiO's and
made up. With e_i = m_i/|m_i| and every pair counted once

    E = ½ Σ_{i≠j} V(r_ij) + ½ Σ_{i≠j} e_iᵀ J_ij e_j,
    J_ij = J(r) 1 + [D_ij]_× + Γ(r) (r̂ r̂ᵀ − 1/3),

    V: Morse, per pair of species;      J(r): Gaussians about the first two shells;
    D_ij = Σ_k f(r_ik) f(r_jk) r_ik × r_jk over the ligands k (Moriya, Phys. Rev. 120,
    91, for the symmetry; the rule is the simplest one that has it): an axial vector,
    D_ji = −D_ij, and zero in the undisplaced crystal. ([D]_×)_bc = D_a ε_abc, so that
    the term is D_ij · (e_i × e_j).

Every function of a distance goes to zero with two continuous derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from torch import Tensor

from spinff.data.references.base import (
    Array,
    Batch,
    PairExchange,
    ReferenceHamiltonian,
    Sampling,
    cross_matrix,
    disordered,
    edge_pairs,
    smooth_step,
)
from spinff.fields import MAGNETIC_MOMENTS_KEY

MAGNETIC: Final[int] = 0
"""Type of the species with a moment."""
LIGAND: Final[int] = 1
"""Type of the species without."""


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian of the distance, ``height · exp(−((r − centre)/width)²)``."""

    height: float
    """eV."""
    centre: float
    """Å."""
    width: float
    """Å."""

    def __call__(self, r: Tensor) -> Tensor:
        """Value at the distances r in Å."""
        return self.height * torch.exp(-(((r - self.centre) / self.width) ** 2))


@dataclass(frozen=True)
class Morse:
    """A Morse pair potential, ``depth · ((1 − exp(−a (r − r0)))² − 1)``."""

    depth: float
    """eV."""
    r0: float
    """Å."""
    a: float
    """1/Å."""

    def __call__(self, r: Tensor) -> Tensor:
        """Energy in eV at the distances r in Å."""
        return self.depth * ((1 - torch.exp(-self.a * (r - self.r0))) ** 2 - 1)


@dataclass(frozen=True)
class RocksaltParameters:
    """Numbers of the rock-salt reference."""

    magnetic: str = "Ni"
    """Species with a moment."""
    ligand: str = "O"
    """Species without a moment, which mediates the DM term."""
    lattice_constant: float = 4.17
    """Of the cubic cell, Å."""
    moment: float = 1.5
    """Length of each moment in generated frames, µB."""
    cutoff: float = 5.0
    """Å, of the pair potential and of the exchange."""
    smoothing: float = 0.6
    """Å below a cutoff where the smoothing sets in."""
    ligand_cutoff: float = 3.0
    """Å, of f in the DM term."""
    bond: Morse = Morse(depth=0.8, r0=2.105, a=2.0)
    """Between unlike species."""
    like: Morse = Morse(depth=0.1, r0=3.3, a=1.3)
    """Between like species."""
    exchange: tuple[Gaussian, ...] = (
        Gaussian(height=-0.004, centre=2.95, width=0.5),
        Gaussian(height=0.018, centre=4.17, width=0.7),
    )
    """J(r), positive is antiferromagnetic."""
    anisotropic_exchange: tuple[Gaussian, ...] = (
        Gaussian(height=0.001, centre=2.95, width=0.6),
    )
    """Γ(r)."""
    dm: float = 0.002
    """Strength of the DM term, eV/Å²."""
    dm_decay: float = 0.6
    """Å, of f(r) = exp(−(r − a/2)/decay)."""


@dataclass(frozen=True)
class Rocksalt(ReferenceHamiltonian):
    """The rock-salt reference.

    The energy depends on the directions of the moments alone, so magnetic forces are
    transverse.
    """

    parameters: RocksaltParameters = field(default_factory=RocksaltParameters)

    @property
    def name(self) -> str:
        """As in the registry."""
        return "rocksalt"

    @property
    def species(self) -> tuple[str, ...]:
        """The magnetic species and the ligand."""
        return self.parameters.magnetic, self.parameters.ligand

    @property
    def cutoff(self) -> float:
        """Of the pair potential and of the exchange, Å."""
        return self.parameters.cutoff

    @property
    def sampling(self) -> Sampling:
        """16 atoms; disorder as in ``disordered``."""
        return Sampling((2, 2, 2), displacement=0.05, strain=0.01, disorder=1.5)

    def describe(self) -> str:
        """The terms and every parameter."""
        rows = [
            "rocksalt: Morse pairs, Heisenberg, ligand-mediated DM, anisotropic"
            " symmetric exchange",
        ]
        for f in fields(self.parameters):
            rows.append(f"  {f.name:<22} {getattr(self.parameters, f.name)}")
        return "\n".join(rows)

    # === crystal and moments ===

    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        """The primitive cell repeated, in antiferromagnetic order along z.

        Order of the second kind, ferromagnetic (111) planes that alternate, where
        the repetitions are even.
        """
        p = self.parameters
        atoms = bulk(p.magnetic + p.ligand, "rocksalt", a=p.lattice_constant)
        parity = np.indices(repeat).sum(axis=0).reshape(-1) % 2
        atoms = atoms.repeat(repeat)
        moments = np.zeros((len(atoms), 3))
        moments[atoms.symbols == p.magnetic, 2] = p.moment * (1.0 - 2.0 * parity)
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = moments
        return atoms

    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        """The order about a random axis, with noise; see ``disordered``."""
        along = atoms.arrays[MAGNETIC_MOMENTS_KEY][:, 2]
        axis = rng.normal(size=3)
        # A ligand's direction does not matter, but must be one.
        sign = np.where(along < 0, -1.0, 1.0)
        order = sign[:, None] * axis / np.linalg.norm(axis)
        return disordered(rng, order, np.abs(along), disorder)

    # === energy ===

    def energy(self, batch: Batch) -> Tensor:
        """Energy of each frame in eV, (F,)."""
        vectors = batch.vectors()
        pair = 0.5 * self._pair(batch, torch.linalg.vector_norm(vectors, dim=1))
        spin_edges = batch.edges_between(MAGNETIC, MAGNETIC)
        i, j = batch.centre[spin_edges], batch.neighbour[spin_edges]
        e = batch.directions()
        tensors = self._exchange(batch, vectors, spin_edges)
        spin = 0.5 * torch.einsum("pb,pbc,pc->p", e[i], tensors, e[j])
        return batch.sum_frames(pair, batch.centre) + batch.sum_frames(spin, i)

    def exchange(self, atoms: Atoms) -> PairExchange:
        """The true exchange tensors of one frame, for comparison with a model's."""
        batch = self.batch([atoms])
        vectors = batch.vectors()
        spin_edges = batch.edges_between(MAGNETIC, MAGNETIC)
        pairs = torch.stack([batch.centre, batch.neighbour], dim=1)[spin_edges]
        return PairExchange(
            pairs.numpy(),
            vectors[spin_edges].numpy(),
            self._exchange(batch, vectors, spin_edges).numpy(),
        )

    def _pair(self, batch: Batch, r: Tensor) -> Tensor:
        p = self.parameters
        alike = batch.types[batch.centre] == batch.types[batch.neighbour]
        return torch.where(alike, p.like(r), p.bond(r)) * self._smooth(r, p.cutoff)

    def _exchange(self, batch: Batch, vectors: Tensor, spin_edges: Tensor) -> Tensor:
        """J_ij of the directed pairs of magnetic atoms, (P, 3, 3)."""
        p = self.parameters
        r_ij = vectors[spin_edges]  # (P, 3)
        r = torch.linalg.vector_norm(r_ij, dim=1)
        cut = self._smooth(r, p.cutoff)
        one = torch.eye(3, dtype=torch.float64)
        direction = r_ij / r[:, None]
        axis = direction[:, :, None] * direction[:, None, :] - one / 3
        isotropic = cut * _sum(p.exchange, r)
        anisotropic = cut * _sum(p.anisotropic_exchange, r)
        return (
            isotropic[:, None, None] * one
            + anisotropic[:, None, None] * axis
            + cross_matrix(cut[:, None] * self._dm_vectors(batch, vectors, spin_edges))
        )

    def _dm_vectors(self, batch: Batch, vectors: Tensor, spin_edges: Tensor) -> Tensor:
        """D_ij of the directed pairs of magnetic atoms, (P, 3)."""
        ligand_edges = batch.edges_between(MAGNETIC, LIGAND)
        distance = torch.linalg.vector_norm(vectors[ligand_edges], dim=1)
        near = ligand_edges[distance < self.parameters.ligand_cutoff]
        to_spin, to_ligand = edge_pairs(batch.centre, spin_edges, near)
        r_ij = vectors[spin_edges][to_spin]  # (T, 3)
        r_ik = vectors[near[to_ligand]]
        r_jk = r_ik - r_ij
        weight = self._ligand(r_ik) * self._ligand(r_jk)
        terms = self.parameters.dm * weight[:, None] * torch.linalg.cross(r_ik, r_jk)
        zero = torch.zeros(len(spin_edges), 3, dtype=torch.float64)
        return zero.index_add(0, to_spin, terms)

    def _ligand(self, vectors: Tensor) -> Tensor:
        p = self.parameters
        r = torch.linalg.vector_norm(vectors, dim=1)
        decay = torch.exp(-(r - p.lattice_constant / 2) / p.dm_decay)
        return decay * self._smooth(r, p.ligand_cutoff)

    def _smooth(self, r: Tensor, cutoff: float) -> Tensor:
        return smooth_step(r, cutoff, self.parameters.smoothing)


def _sum(terms: Sequence[Gaussian], r: Tensor) -> Tensor:
    total = torch.zeros_like(r)
    for term in terms:
        total = total + term(r)
    return total
