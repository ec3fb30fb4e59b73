"""``dm-square``: a square lattice on a substrate, with spirals and skyrmions.

Fe on the fourfold hollows of one layer of Ir; the geometry is that of Ir(001), the
numbers are the textbook's: J = 1 meV and D = √(2/3) meV on the nearest-neighbour bonds.
With e_i = m_i/|m_i| and every pair counted once

    E = E_lattice + ½ Σ_{i≠j} [J(r_ij) e_i·e_j + D_ij · (e_i × e_j)] + Σ_i e_iᵀ A_i e_i,

    J(r)   −J exp(−(r − a)/λ), nearest neighbours only, ferromagnetic;
    D_ij   D Σ_k w_ik w_jk r_ik × r_jk/(2 a h) over the substrate atoms k, h below
           (Moriya's symmetry): D ẑ × r̂_ij on the undisplaced bonds;
    A_i    K Σ_k w_ik (r̂_ik r̂_ikᵀ − 1/3)/c, c that sum's zz element: the energy
           K (e·z)² but for a constant; K is zero unless asked for.

A vector D_ij along r_ij would need a crystal without mirrors to tell left from right;
across the bond it needs a surface only. Both have the same energies: spins turned by a
right angle about z go from one to the other. Along (11) a spiral that turns by q per
site and axis has E = −2 (J cos q + D sin q/√2) per site, least at tan q = D/(√2 J),
which is 30° here, where E = −4J/√3 = −2.309401 J; along (10) the best is −2.290994 J.

E_lattice: Morse bonds between nearest neighbours only, each at rest in the undisplaced
crystal. Every function of a distance goes to zero with two continuous derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from spinff.data.references.base import (
    Array,
    Batch,
    ReferenceHamiltonian,
    Sampling,
    cross_matrix,
    edge_pairs,
    smooth_step,
)
from spinff.data.references.layered import Couplings
from spinff.data.references.rocksalt import Morse
from spinff.fields import MAGNETIC_MOMENTS_KEY

MAGNETIC: Final[int] = 0
"""Type of the species with a moment."""
SUBSTRATE: Final[int] = 1
"""Type of the species below."""
MEV: Final[float] = 1e-3
"""eV."""
_LIKE: Final[Morse] = Morse(depth=0.3, r0=2.715, a=1.5)
_UNLIKE: Final[Morse] = Morse(depth=0.6, r0=float(np.hypot(2.715 / 2**0.5, 1.7)), a=1.5)


@dataclass(frozen=True)
class SquareParameters:
    """Numbers of the square-lattice reference."""

    magnetic: str = "Fe"
    """Species with a moment."""
    substrate: str = "Ir"
    """Species below, which makes the DM term."""
    lattice_constant: float = 2.715
    """a, of Ir(001), Å."""
    height: float = 1.7
    """h, Å."""
    cell_height: float = 22.0
    """Of the periodic cell, Å."""
    moment: float = 2.0
    """Length of each moment in generated frames, µB."""
    exchange: float = 1.0 * MEV
    """J, eV; ferromagnetic."""
    dm: float = (2 / 3) ** 0.5 * MEV
    """D, eV."""
    uniaxial: float = 0.0
    """K, eV; negative is an easy axis along the normal."""
    exchange_decay: float = 0.5
    """λ, Å."""
    bond_decay: float = 0.5
    """Å, of w(r) = exp(−(r − d)/decay), d the distance to the substrate's atoms."""
    cutoff: float = 3.6
    """Å: nearest neighbours of each kind, the second ones are at 3.84 Å."""
    smoothing: float = 0.6
    """Å below the cutoff."""
    like: Morse = _LIKE
    """Between like species."""
    unlike: Morse = _UNLIKE
    """Between a moment and the substrate."""


@dataclass(frozen=True)
class DMSquare(ReferenceHamiltonian):
    """The square-lattice reference.

    The energy depends on the directions of the moments alone, so magnetic forces are
    transverse.
    """

    parameters: SquareParameters = field(default_factory=SquareParameters)

    @property
    def name(self) -> str:
        """As in the registry."""
        return "dm-square"

    @property
    def species(self) -> tuple[str, ...]:
        """The magnetic species and the substrate's."""
        return self.parameters.magnetic, self.parameters.substrate

    @property
    def cutoff(self) -> float:
        """Of all pairs, Å."""
        return self.parameters.cutoff

    @property
    def sampling(self) -> Sampling:
        """32 atoms, strained in the plane; disorder 0 to 1, see ``random_moments``."""
        return Sampling(
            (4, 4, 1),
            displacement=0.04,
            strain=0.01,
            disorder=1.0,
            strained=(True, True, False),
        )

    def describe(self) -> str:
        """The terms and every parameter."""
        p = self.parameters
        rows = [
            "dm-square: Morse bonds, Heisenberg, substrate-mediated DM, uniaxial term"
        ]
        rows += [f"  {f.name:<18} {getattr(p, f.name)}" for f in fields(p)]
        return "\n".join(rows)

    # === crystal and moments ===

    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        """The cell of two atoms repeated, with the spiral that fits best.

        That is 30° per site along each axis where the repetitions are multiples of
        12, and else the nearest angle that is periodic.
        """
        p = self.parameters
        a = p.lattice_constant
        low = (p.cell_height - p.height) / 2
        cell = np.diag([a, a, p.cell_height])
        positions = [[0.0, 0.0, low + p.height], [a / 2, a / 2, low]]
        symbols = [p.magnetic, p.substrate]
        atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True).repeat(repeat)
        # Atoms.repeat runs through the cells in this order.
        steps = np.indices(repeat).reshape(3, -1).T[:, :2]
        turns = np.round(np.array(repeat[:2]) / 12) / repeat[:2]
        moments = np.zeros((len(atoms), 3))
        moments[atoms.symbols == p.magnetic] = p.moment * self.spiral(
            steps, 2 * np.pi * turns
        )
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = moments
        return atoms

    @staticmethod
    def spiral(steps: NDArray[np.int64], angles: Array) -> Array:
        """Unit vectors of a cycloid in the sense that the DM term favours, (N, 3).

        Args:
            steps: (N, 2) sites along x and y.
            angles: (2,) turn per site along x and y, rad.
        """
        along = angles / max(float(np.linalg.norm(angles)), 1e-12)
        phase = -steps @ angles
        return np.stack(
            [np.sin(phase) * along[0], np.sin(phase) * along[1], np.cos(phase)], axis=1
        )

    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        """Directions from ferromagnetic to random, (N, 3) µB.

        Of a random axis and Gaussian noise each frame mixes the shares 1 − u and u,
        with u between 0 and the disorder.
        """
        p = self.parameters
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        share = disorder * rng.uniform()
        e = (1 - share) * axis + share * rng.normal(size=(len(atoms), 3))
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        is_magnetic = (atoms.symbols == p.magnetic)[:, None]
        moments: Array = np.where(is_magnetic, p.moment * e, 0.0)
        return moments

    # === energy ===

    def energy(self, batch: Batch) -> Tensor:
        """Energy of each frame in eV, (F,)."""
        return torch.stack(list(self.terms(batch).values())).sum(dim=0)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The energy of each frame in eV, (F,), term by term."""
        vectors = batch.vectors()
        e = batch.directions()
        edges = batch.edges_between(MAGNETIC, MAGNETIC)
        i, j = batch.centre[edges], batch.neighbour[edges]
        exchange = self._exchange(vectors[edges]) * (e[i] * e[j]).sum(dim=1)
        dm = self._dm(batch, vectors, edges) * torch.linalg.cross(e[i], e[j])
        anisotropy = torch.einsum(
            "na,nab,nb->n", e, self._anisotropy(batch, vectors), e
        )
        every = torch.arange(len(e))
        return {
            "lattice": batch.sum_frames(self._bonds(batch, vectors) / 2, batch.centre),
            "exchange": batch.sum_frames(exchange / 2, i),
            "dm": batch.sum_frames(dm.sum(dim=1) / 2, i),
            "anisotropy": batch.sum_frames(anisotropy, every),
        }

    def couplings(self, atoms: Atoms) -> Couplings:
        """The true couplings of one frame, for comparison with a model's."""
        batch = self.batch([atoms])
        vectors = batch.vectors()
        edges = batch.edges_between(MAGNETIC, MAGNETIC)
        one = torch.eye(3, dtype=torch.float64)
        isotropic = self._exchange(vectors[edges])[:, None, None] * one
        exchange = isotropic + cross_matrix(self._dm(batch, vectors, edges))
        ends = torch.stack([batch.centre, batch.neighbour], dim=1)
        return Couplings(
            pairs=ends[edges].numpy(),
            vectors=vectors[edges].numpy(),
            exchange=exchange.numpy(),
            biquadratic=np.zeros(len(edges)),
            anisotropy=self._anisotropy(batch, vectors).numpy(),
        )

    def _exchange(self, r_ij: Tensor) -> Tensor:
        """J of the pairs of moments, (P,)."""
        p = self.parameters
        r = torch.linalg.vector_norm(r_ij, dim=1)
        decay = torch.exp(-(r - p.lattice_constant) / p.exchange_decay)
        return -p.exchange * decay * smooth_step(r, p.cutoff, p.smoothing)

    def _dm(self, batch: Batch, vectors: Tensor, edges: Tensor) -> Tensor:
        """D of the pairs of moments, (P, 3)."""
        p = self.parameters
        below = batch.edges_between(MAGNETIC, SUBSTRATE)
        to_pair, to_below = edge_pairs(batch.centre, edges, below)
        r_ik = vectors[below[to_below]]  # (T, 3)
        r_jk = r_ik - vectors[edges[to_pair]]
        weight = self._bond_weight(r_ik) * self._bond_weight(r_jk)
        # Of the two atoms k of a bond each contributes a h across it.
        scale = p.dm / (2 * p.lattice_constant * p.height)
        each = scale * weight[:, None] * torch.linalg.cross(r_ik, r_jk)
        # Pairs end smoothly at the cutoff: the second neighbours share an atom k, too.
        r = torch.linalg.vector_norm(vectors[edges], dim=1)
        total = torch.zeros(len(edges), 3, dtype=torch.float64)
        cut = smooth_step(r, p.cutoff, p.smoothing)
        return cut[:, None] * total.index_add(0, to_pair, each)

    def _anisotropy(self, batch: Batch, vectors: Tensor) -> Tensor:
        """A of every atom, (N, 3, 3)."""
        p = self.parameters
        below = batch.edges_between(MAGNETIC, SUBSTRATE)
        r_ik = vectors[below]
        unit = r_ik / torch.linalg.vector_norm(r_ik, dim=1)[:, None]
        one = torch.eye(3, dtype=torch.float64)
        each = unit[:, :, None] * unit[:, None, :] - one / 3
        # (e·z)² is e_z² − 1/3 and a constant, which no derivative sees.
        ideal = 4 * (p.height**2 / p.unlike.r0**2 - 1 / 3)
        weight = p.uniaxial * 2 / 3 / ideal * self._bond_weight(r_ik)
        zero = torch.zeros(len(batch.positions), 3, 3, dtype=torch.float64)
        return zero.index_add(0, batch.centre[below], weight[:, None, None] * each)

    def _bond_weight(self, vectors: Tensor) -> Tensor:
        p = self.parameters
        r = torch.linalg.vector_norm(vectors, dim=1)
        decay = torch.exp(-(r - p.unlike.r0) / p.bond_decay)
        return decay * smooth_step(r, p.cutoff, p.smoothing)

    def _bonds(self, batch: Batch, vectors: Tensor) -> Tensor:
        p = self.parameters
        r = torch.linalg.vector_norm(vectors, dim=1)
        alike = batch.types[batch.centre] == batch.types[batch.neighbour]
        pair = torch.where(alike, p.like(r), p.unlike(r))
        return pair * smooth_step(r, p.cutoff, p.smoothing)
