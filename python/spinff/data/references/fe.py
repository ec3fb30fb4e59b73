"""``fe``: bcc iron with moments of variable length.

With the moments m_i in µB themselves, x_i = |m_i|²/m₀², every pair counted once,

    E = E_lattice + Σ_i [a(n_i) x_i + b x_i² + c x_i³] + ½ Σ_{i≠j} J(r_ij) m_i·m_j/m₀²,

    E_lattice: Finnis and Sinclair, Phil. Mag. A 50, 45 (1984), corrected in 53, 161,
           for iron, with all lengths scaled: magnetism expands the lattice;
    J(r)   −2 · 4α (r/δ)² (1 − β (r/δ)²) exp(−(r/δ)²), the Bethe–Slater curve of
           LAMMPS' example SPIN/iron, a fit to Pajda et al., PRB 64, 174402; −2 is the
           step from H = −Σ_{i≠j} J e_i·e_j to this project's ½ Σ J e_i·e_j;
    a(n)   a₀ + a₁ (n − 1), n_i = Σ_j exp(−(r_ij − r₁)/λ)/n₀, 1 in the undisplaced
           crystal: atoms that have more room have larger moments.

The Landau energy at the equilibrium is chosen, not published: with J, the ferromagnet
has its minimum at |m| = m₀ = 2.2 µB and lies 0.46 eV below the state without moments;
without the exchange of its neighbours an atom keeps 1.96 µB. Energy and derivatives are
polynomials of m, smooth at m = 0. There is no spin–orbit coupling: the moments may be
rotated alone. Every function of a distance goes to zero with two continuous
derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

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
    smooth_step,
)
from spinff.fields import MAGNETIC_MOMENTS_KEY


@dataclass(frozen=True)
class FinnisSinclair:
    """A Finnis–Sinclair potential, ``½ Σ V(r) − A √Σ φ(r)`` for each atom."""

    strength: float = 1.828905
    """A, eV/Å."""
    density_cutoff: float = 3.569745
    """d of φ = (r − d)² + β (r − d)³/d, Å."""
    beta: float = 1.8
    """β of φ."""
    pair_cutoff: float = 3.40
    """c of V = (r − c)² (c₀ + c₁ r + c₂ r²), Å."""
    pair: tuple[float, float, float] = (1.2371147, -0.3592185, -0.0385607)
    """c₀, c₁, c₂ in eV/Å², eV/Å³, eV/Å⁴."""
    smoothing: float = 0.25
    """Å below each cutoff where V and φ, which end with one continuous derivative only,
    are taken to zero with two."""

    def density(self, r: Tensor) -> Tensor:
        """Of the distances r in Å, Å²."""
        d = self.density_cutoff
        x = (r - d).clamp(max=0.0)
        return (x**2 + self.beta * x**3 / d) * smooth_step(r, d, self.smoothing)

    def repulsion(self, r: Tensor) -> Tensor:
        """V of the distances r in Å, eV."""
        c0, c1, c2 = self.pair
        x = (r - self.pair_cutoff).clamp(max=0.0)
        smooth = smooth_step(r, self.pair_cutoff, self.smoothing)
        return x**2 * (c0 + c1 * r + c2 * r**2) * smooth


@dataclass(frozen=True)
class IronParameters:
    """Numbers of the iron reference."""

    lattice_constant: float = 2.87
    """Of the cubic cell in the ferromagnetic state, Å."""
    moment: float = 2.2
    """m₀, µB."""
    moment_spread: float = 0.2
    """Standard deviation of the lengths in generated frames, µB."""
    lattice: FinnisSinclair = FinnisSinclair()
    """Of the state without moments, in lengths divided by the scale."""
    scale: float = 0.9620324
    """What the lengths of the lattice part are multiplied by, so that the ferromagnet
    has the lattice constant above."""
    exchange: tuple[float, float, float] = (0.02726, 0.2171, 1.841)
    """α in eV, β, δ in Å."""
    exchange_cutoff: float = 4.0
    """Å: two shells."""
    exchange_smoothing: float = 0.6
    """Å below the cutoff."""
    landau: tuple[float, float, float] = (-0.59864, 0.26, 0.1)
    """a₀, b, c, eV."""
    density_slope: float = 1.2
    """a₁, eV."""
    density_decay: float = 0.6
    """λ, Å."""


@dataclass(frozen=True)
class Iron(ReferenceHamiltonian):
    """The bcc iron reference; magnetic forces have longitudinal parts."""

    parameters: IronParameters = field(default_factory=IronParameters)

    @property
    def name(self) -> str:
        """As in the registry."""
        return "fe"

    @property
    def species(self) -> tuple[str, ...]:
        """Iron alone."""
        return ("Fe",)

    @property
    def cutoff(self) -> float:
        """Of the exchange and of n, Å."""
        return self.parameters.exchange_cutoff

    @property
    def sampling(self) -> Sampling:
        """16 atoms; disorder 0 to 1, see ``random_moments``."""
        return Sampling((2, 2, 2), displacement=0.06, strain=0.01, disorder=1.0)

    def describe(self) -> str:
        """The terms and every parameter."""
        p = self.parameters
        rows = [
            "fe: Finnis-Sinclair lattice, Landau energy of |m|, Bethe-Slater exchange"
        ]
        rows += [f"  {f.name:<20} {getattr(p, f.name)}" for f in fields(p)]
        return "\n".join(rows)

    # === crystal and moments ===

    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        """The cubic cell of two atoms repeated, ferromagnetic along z."""
        p = self.parameters
        atoms = bulk("Fe", "bcc", a=p.lattice_constant, cubic=True).repeat(repeat)
        moments = np.zeros((len(atoms), 3))
        moments[:, 2] = p.moment
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = moments
        return atoms

    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        """Directions from ferromagnetic to random, lengths about m₀, (N, 3) µB.

        Of a random axis and Gaussian noise each frame mixes the shares 1 − u and u,
        with u between 0 and the disorder; the mean length falls by 0.25 µB from one
        end to the other, about as in equilibrium.
        """
        p = self.parameters
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        share = disorder * rng.uniform()
        e = (1 - share) * axis + share * rng.normal(size=(len(atoms), 3))
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        spread = p.moment_spread * rng.normal(size=(len(atoms), 1))
        return (p.moment - 0.25 * share + spread).clip(min=0.1) * e

    # === energy ===

    def energy(self, batch: Batch) -> Tensor:
        """Energy of each frame in eV, (F,)."""
        return torch.stack(list(self.terms(batch).values())).sum(dim=0)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The energy of each frame in eV, (F,), term by term."""
        r = torch.linalg.vector_norm(batch.vectors(), dim=1)
        m = batch.moments / self.parameters.moment
        square = (m**2).sum(dim=1)
        a, b, c = self._landau(batch, r).unbind(dim=1)
        local = a * square + b * square**2 + c * square**3
        product = (m[batch.centre] * m[batch.neighbour]).sum(dim=1)
        every = torch.arange(len(m))
        return {
            "lattice": self._lattice(batch, r),
            "landau": batch.sum_frames(local, every),
            "exchange": batch.sum_frames(self._exchange(r) * product / 2, batch.centre),
        }

    def exchange(self, atoms: Atoms) -> PairExchange:
        """The true exchange of one frame, for moments in units of m₀."""
        batch = self.batch([atoms])
        vectors = batch.vectors()
        j = self._exchange(torch.linalg.vector_norm(vectors, dim=1))
        return PairExchange(
            torch.stack([batch.centre, batch.neighbour], dim=1).numpy(),
            vectors.numpy(),
            (j[:, None, None] * torch.eye(3, dtype=torch.float64)).numpy(),
        )

    def landau(self, atoms: Atoms) -> Array:
        """The coefficients a, b, c of every atom in eV, (N, 3)."""
        batch = self.batch([atoms])
        r = torch.linalg.vector_norm(batch.vectors(), dim=1)
        return np.asarray(self._landau(batch, r))

    def _exchange(self, r: Tensor) -> Tensor:
        p = self.parameters
        height, beta, width = p.exchange
        x = (r / width) ** 2
        curve = 4 * height * x * (1 - beta * x) * torch.exp(-x)
        return -2 * curve * smooth_step(r, p.exchange_cutoff, p.exchange_smoothing)

    def _landau(self, batch: Batch, r: Tensor) -> Tensor:
        p = self.parameters
        first = p.lattice_constant * np.sqrt(3) / 2
        # Eight first and six second neighbours; the third ones are beyond the cutoff.
        ideal = 8 + 6 * np.exp(-(p.lattice_constant - first) / p.density_decay)
        near = torch.exp(-(r - first) / p.density_decay) / ideal
        near = near * smooth_step(r, p.exchange_cutoff, p.exchange_smoothing)
        zero = torch.zeros(len(batch.positions), dtype=r.dtype)
        n = zero.index_add(0, batch.centre, near)
        a, b, c = p.landau
        one = torch.ones_like(n)
        return torch.stack([a + p.density_slope * (n - 1), b * one, c * one], dim=1)

    def _lattice(self, batch: Batch, r: Tensor) -> Tensor:
        p = self.parameters
        scaled = r / p.scale
        zero = torch.zeros(len(batch.positions), dtype=r.dtype)
        density = zero.index_add(0, batch.centre, p.lattice.density(scaled))
        # An atom without neighbours has no density, where the root has no slope.
        bound = density > 0
        root = torch.where(bound, torch.where(bound, density, 1.0).sqrt(), 0.0)
        pair = p.lattice.repulsion(scaled)
        every = torch.arange(len(zero))
        return batch.sum_frames(pair / 2, batch.centre) - batch.sum_frames(
            p.lattice.strength * root, every
        )
