"""Edge-sharing magnetic monolayers: the Hamiltonian behind ``cri3`` and ``crte2``.

Magnetic ions M in octahedra of ligands X that share edges, so that two neighbouring
ions are bridged by two ligands. With e_i = m_i/|m_i|, û a unit vector and every pair,
triplet and loop counted once, E is the sum of

    E_lattice,
    ½ Σ_{i≠j} e_iᵀ J_ij e_j,    Σ_i e_iᵀ A_i e_i,    ½ Σ_{i≠j} K_ij (e_i·e_j)²,
    T Σ_{i, j<k} v_ij v_ik [(e_i·e_j)(e_i·e_k) − e_j·e_k/3],
    R Σ_{loops ijkl} v_ij v_jk v_kl v_li
        [(e_i·e_j)(e_k·e_l) + (e_i·e_l)(e_j·e_k) − (e_i·e_k)(e_j·e_l)].

v(r) = exp(−(r − r₁)/λ) is 1 at the nearest-neighbour distance r₁ of the undisplaced
crystal and is cut off before the second one; w(r), of a bond M–X, is the same about its
length. λ differs from term to term: see ``LayerParameters``. Sums over k are over the
ligands that bridge i and j; n_b = 2 of them do in the crystal, at the angle θ₀.

    J_ij   isotropic: of near ions, J_d v + Σ_k w_ik w_jk [s + s′ (cos θ_ikj − cos θ₀)],
           direct exchange and superexchange at the angle M–X–M (Goodenough; Kanamori);
           of the second and third neighbours, J_n exp(−(r − r_n)/λ) (1 − x²)³,
           x = (r − r_n)/0.8 Å;
           Kitaev: K/(n_b sin²θ₀) Σ_k w_ik w_jk (n nᵀ − |n|²/3), n = û_ik × û_jk, the
           normal of the plaquette M₂X₂ (Jackeli and Khaliullin, PRL 102, 017205);
           DM: D₁ Σ_k w_ik w_jk û_ik × û_jk, zero in the undisplaced crystal (Moriya),
           and of the second neighbours, D₂ (2/√3) Σ_l v_il v_jl û_il × û_jl over the
           ion l between them (as in Haldane's model), with the window of J₂.
    A_i    a Σ_k w_ik (û_ik û_ikᵀ − 1/3) over all ligands of i, the superposition model
           of the ligand field (Newman and Ng, Rep. Prog. Phys. 52, 699), and
           b Σ_{j, k} w_ik w_jk (û_ij û_ijᵀ − 1/3): a ligand that is shared differs from
           one that is not.
    K_ij   K v.

The three-spin term has no part that a bilinear one could take over: e_i e_iᵀ − 1/3 is
zero on average over the directions of e_i. The loops are those of four different ions,
each a nearest neighbour of the next: the rhombi of the triangular lattice, none in the
honeycomb. Every amplitude is given as the coupling of the undisplaced crystal.

E_lattice: Morse pairs; w_ij w_ik cos²θ (1 + cos θ)² for the angles X–M–X, which is
least at 90° and 180°; and w_ik w_jk (cos θ − cos θ_r)² for the angles M–X–M. Every
function of a distance goes to zero with two continuous derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
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
from spinff.data.references.rocksalt import Morse
from spinff.fields import MAGNETIC_MOMENTS_KEY

MAGNETIC: Final[int] = 0
"""Type of the species with a moment."""
LIGAND: Final[int] = 1
"""Type of the species without."""

BOND_CUTOFF: Final[float] = 3.7
"""Å, of w: between the bond M–X and the next distance, above 4.5 Å in both crystals."""
NEAR_CUTOFF: Final[float] = 5.4
"""Å, of v: between the first and the second distance M–M."""
SHELL_WIDTH: Final[float] = 0.8
"""Å, half the width of the functions about the second and the third distance."""
PAIR_CUTOFF: Final[float] = 5.5
"""Å, of the Morse pairs."""
SMOOTHING: Final[float] = 1.0
"""Å below a cutoff where the smoothing sets in (half of it for w)."""


@dataclass(frozen=True)
class LayerParameters:
    """Numbers of one monolayer; energies are those of the undisplaced crystal."""

    name: str
    """In the registry."""
    magnetic: str
    """Species of the ions M, S = 3/2 folded into unit vectors."""
    ligand: str
    """Species of the ligands X."""
    lattice_constant: float
    """Of the hexagonal cell, Å."""
    magnetic_sites: tuple[tuple[float, float], ...]
    """Fractional coordinates of M in the plane z = 0."""
    ligand_sites: tuple[tuple[float, float, int], ...]
    """Fractional coordinates of X, and +1 for the plane above, −1 for the one below."""
    ligand_height: float
    """Of the planes of X, Å."""
    cell_height: float
    """Of the periodic cell, Å."""
    moment: float
    """Length of each moment in generated frames, µB."""
    bond: Morse
    """M–X."""
    ligand_pair: Morse
    """X–X."""
    magnetic_pair: Morse
    """M–M."""
    octahedron: float
    """Stiffness of the angles X–M–X, eV."""
    bridge: float
    """Stiffness of the angles M–X–M, eV."""
    bridge_cosine: float
    """cos θ_r, of an angle M–X–M at rest by itself."""
    exchange: tuple[float, float, float]
    """J₁, J₂, J₃, eV; positive is antiferromagnetic."""
    direct_exchange: float
    """J_d, the part of J₁ that needs no ligand, eV."""
    direct_decay: float
    """λ of J_d, Å."""
    angle_slope: float
    """s′, eV."""
    kitaev: float
    """K of the anisotropic exchange, eV."""
    dm_near: float
    """D₁, eV."""
    dm_second: float
    """D₂, eV."""
    anisotropy: float
    """D of the single-ion energy D (e·z)², eV; negative is an easy axis."""
    ligand_field: float
    """a, eV; b is what D then needs."""
    biquadratic: float
    """K_ij of nearest neighbours, eV; negative favours collinear moments."""
    three_spin: float
    """T, eV."""
    ring: float
    """R, eV."""
    bond_decay: float
    """λ of w, Å."""
    decay: float
    """λ of J₂, J₃ and D₂, Å."""
    many_spin_decay: float
    """λ of K, T and R, Å."""
    repeat: tuple[int, int, int]
    """Of the frames that are generated unless told otherwise."""

    @cached_property
    def ideal(self) -> Ideal:
        """Distances and angles of the undisplaced crystal."""
        return Ideal.of(self)


@dataclass(frozen=True)
class Ideal:
    """Distances and angles of an undisplaced crystal."""

    shells: tuple[float, float, float]
    """First three distances M–M, Å."""
    neighbours: int
    """Nearest neighbours of each M."""
    bond: float
    """Length of M–X, Å."""
    bridges: int
    """Ligands that bridge two nearest neighbours."""
    cos_bridge: float
    """cos θ₀ of the angle M–X–M."""
    ligand_zz: float
    """Σ_k (û_z² − 1/3) over the ligands of one M."""

    @classmethod
    def of(cls, p: LayerParameters) -> Ideal:
        """The numbers that follow from the sites."""
        crystal = _crystal(p, (1, 1, 1))
        reach = 2.1 * p.lattice_constant
        i, j, distance, vector = neighbor_list("ijdD", crystal, reach)
        ion = crystal.symbols == p.magnetic
        to_ion, to_ligand = (i == 0) & ion[j], (i == 0) & ~ion[j]
        _, first = np.unique(np.round(distance[to_ion], 6), return_index=True)
        shells = distance[to_ion][first]
        near = np.abs(distance[to_ion] - shells[0]) < 1e-6
        bonds = vector[to_ligand & (distance < BOND_CUTOFF)]
        unit = bonds / np.linalg.norm(bonds, axis=1, keepdims=True)
        across = bonds - vector[to_ion][near][0]
        length = np.linalg.norm(across, axis=1)
        cosine = np.sum(unit * across, axis=1) / length
        bridging = length < BOND_CUTOFF
        return cls(
            shells=(float(shells[0]), float(shells[1]), float(shells[2])),
            neighbours=int(near.sum()),
            bond=float(np.linalg.norm(bonds[0])),
            bridges=int(bridging.sum()),
            cos_bridge=float(cosine[bridging].mean()),
            ligand_zz=float((unit[:, 2] ** 2 - 1 / 3).sum()),
        )


@dataclass(frozen=True)
class Couplings:
    """The pair and single-ion couplings of one frame.

    Every directed pair of magnetic ions within the cutoff, images included, has an
    entry; the conventions are E = ½ Σ eᵀ J e + Σ eᵀ A e + ½ Σ K (e·e)².
    """

    pairs: NDArray[np.int64]
    """(P, 2) atoms i and j."""
    vectors: Array
    """(P, 3) r_ij = r_j − r_i + image, Å."""
    exchange: Array
    """(P, 3, 3) J_ij in eV; row for e_i, column for e_j."""
    biquadratic: Array
    """(P,) K_ij, eV."""
    anisotropy: Array
    """(N, 3, 3) A_i, symmetric and traceless, eV; zero for ligands."""


@dataclass
class _Paths:
    """Vectors, unit vectors and weights of a batch that several terms need."""

    batch: Batch
    vectors: Tensor  # (E, 3)
    r: Tensor  # (E,)
    pairs: Tensor  # (P,) edges M→M
    near: Tensor  # (Q,) positions in pairs: shorter than NEAR_CUTOFF
    bonds: Tensor  # (B,) edges M→X shorter than BOND_CUTOFF
    bond_unit: Tensor  # (B, 3)
    bond_weight: Tensor  # (B,) w
    bridge_near: Tensor  # (T,) positions in near: i→j
    bridge_ik: Tensor  # (T, 3) û_ik
    bridge_jk: Tensor  # (T, 3) û_jk
    bridge_weight: Tensor  # (T,) w_ik w_jk

    @property
    def near_edges(self) -> Tensor:
        """The near pairs as edges of the batch, (Q,)."""
        return self.pairs[self.near]


@dataclass(frozen=True)
class LayeredMagnet(ReferenceHamiltonian):
    """A monolayer of edge-sharing octahedra.

    The energy depends on the directions of the moments alone, so magnetic forces are
    transverse.
    """

    parameters: LayerParameters

    @property
    def name(self) -> str:
        """As in the registry."""
        return self.parameters.name

    @property
    def species(self) -> tuple[str, ...]:
        """The magnetic species and the ligand."""
        return self.parameters.magnetic, self.parameters.ligand

    @property
    def cutoff(self) -> float:
        """Where the exchange of the third neighbours ends, Å."""
        return self.parameters.ideal.shells[2] + SHELL_WIDTH

    @property
    def sampling(self) -> Sampling:
        """Strain in the plane; disorder 0 to 1, see ``random_moments``."""
        return Sampling(
            self.parameters.repeat,
            displacement=0.03,
            strain=0.01,
            disorder=1.0,
            strained=(True, True, False),
        )

    def describe(self) -> str:
        """The terms and every parameter."""
        p = self.parameters
        rows = [
            f"{p.name}: a monolayer; Morse pairs and angles, Heisenberg, Kitaev, DM,"
            " single-ion anisotropy, biquadratic, three-spin and ring exchange",
            *(f"  {f.name:<22} {getattr(p, f.name)}" for f in fields(p)),
            *(
                f"  ideal.{f.name:<16} {getattr(p.ideal, f.name)}"
                for f in fields(Ideal)
            ),
        ]
        return "\n".join(rows)

    # === crystal and moments ===

    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        """The cell repeated, ferromagnetic along z, the normal of the layer."""
        p = self.parameters
        atoms = _crystal(p, repeat)
        moments = np.zeros((len(atoms), 3))
        moments[atoms.symbols == p.magnetic, 2] = p.moment
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = moments
        return atoms

    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        """Directions from nearly collinear to fully random, (N, 3) µB.

        Every second frame is ferromagnetic about a random axis, the others have random
        signs along it. Of that order and Gaussian noise, each frame mixes the shares
        1 − u and u, with u between 0 and the disorder.
        """
        p = self.parameters
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        signs = rng.choice([-1.0, 1.0], size=len(atoms))
        order = np.where(rng.uniform() < 0.5, signs, 1.0)[:, None] * axis
        share = disorder * rng.uniform()
        e = (1 - share) * order + share * rng.normal(size=order.shape)
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        moments: Array = np.where(
            (atoms.symbols == p.magnetic)[:, None], p.moment * e, 0.0
        )
        return moments

    # === energy ===

    def energy(self, batch: Batch) -> Tensor:
        """Energy of each frame in eV, (F,)."""
        return torch.stack(list(self.terms(batch).values())).sum(dim=0)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The energy of each frame in eV, (F,), term by term."""
        p = self.parameters
        paths = self._paths(batch)
        e = batch.directions()
        i, j = batch.centre[paths.pairs], batch.neighbour[paths.pairs]
        product = (e[i] * e[j]).sum(dim=1)
        exchange = self._isotropic(paths) * product
        kitaev = torch.einsum("pa,pab,pb->p", e[i], self._kitaev(paths), e[j])
        dm = (self._dm(paths) * torch.linalg.cross(e[i], e[j])).sum(dim=1)
        biquadratic = self._biquadratic(paths) * product**2
        anisotropy = torch.einsum("na,nab,nb->n", e, self._anisotropy(paths), e)
        every = torch.arange(len(e))
        return {
            "lattice": self._lattice(paths),
            "exchange": batch.sum_frames(exchange / 2, i),
            "kitaev": batch.sum_frames(kitaev / 2, i),
            "dm": batch.sum_frames(dm / 2, i),
            "anisotropy": batch.sum_frames(anisotropy, every),
            "biquadratic": batch.sum_frames(biquadratic / 2, i),
            "three-spin": p.three_spin * self._three_spin(paths, e),
            "ring": p.ring * self._ring(paths, e),
        }

    def couplings(self, atoms: Atoms) -> Couplings:
        """The true couplings of one frame, for comparison with a model's."""
        batch = self.batch([atoms])
        paths = self._paths(batch)
        one = torch.eye(3, dtype=torch.float64)
        exchange = (
            self._isotropic(paths)[:, None, None] * one
            + self._kitaev(paths)
            + cross_matrix(self._dm(paths))
        )
        ends = torch.stack([batch.centre, batch.neighbour], dim=1)
        return Couplings(
            pairs=ends[paths.pairs].numpy(),
            vectors=paths.vectors[paths.pairs].numpy(),
            exchange=exchange.numpy(),
            biquadratic=self._biquadratic(paths).numpy(),
            anisotropy=self._anisotropy(paths).numpy(),
        )

    # === paths ===

    def _paths(self, batch: Batch) -> _Paths:
        vectors = batch.vectors()
        r = torch.linalg.vector_norm(vectors, dim=1)
        pairs = batch.edges_between(MAGNETIC, MAGNETIC)
        near = torch.nonzero(r[pairs] < NEAR_CUTOFF).flatten()
        bonds = batch.edges_between(MAGNETIC, LIGAND)
        bonds = bonds[r[bonds] < BOND_CUTOFF]
        to_near, to_bond = edge_pairs(batch.centre, pairs[near], bonds)
        jk = vectors[bonds[to_bond]] - vectors[pairs[near[to_near]]]
        r_jk = torch.linalg.vector_norm(jk, dim=1)
        kept = r_jk < BOND_CUTOFF
        to_near, to_bond, jk, r_jk = to_near[kept], to_bond[kept], jk[kept], r_jk[kept]
        unit = vectors[bonds] / r[bonds][:, None]
        weight = self._bond_weight(r[bonds])
        return _Paths(
            batch=batch,
            vectors=vectors,
            r=r,
            pairs=pairs,
            near=near,
            bonds=bonds,
            bond_unit=unit,
            bond_weight=weight,
            bridge_near=to_near,
            bridge_ik=unit[to_bond],
            bridge_jk=jk / r_jk[:, None],
            bridge_weight=weight[to_bond] * self._bond_weight(r_jk),
        )

    def _bond_weight(self, r: Tensor) -> Tensor:
        p = self.parameters
        cut = smooth_step(r, BOND_CUTOFF, SMOOTHING / 2)
        return torch.exp(-(r - p.ideal.bond) / p.bond_decay) * cut

    def _near_weight(self, r: Tensor, decay: float) -> Tensor:
        cut = smooth_step(r, NEAR_CUTOFF, SMOOTHING)
        return torch.exp(-(r - self.parameters.ideal.shells[0]) / decay) * cut

    def _shell_weight(self, r: Tensor, shell: int) -> Tensor:
        p = self.parameters
        from_centre = r - p.ideal.shells[shell]
        x = (from_centre / SHELL_WIDTH).clamp(-1.0, 1.0)
        return torch.exp(-from_centre / p.decay) * (1 - x**2) ** 3

    # === couplings ===

    def _isotropic(self, paths: _Paths) -> Tensor:
        """J of every pair, (P,)."""
        p = self.parameters
        r = paths.r[paths.pairs]
        second, third = (p.exchange[n] * self._shell_weight(r, n) for n in (1, 2))
        direct = p.direct_exchange * self._near_weight(r, p.direct_decay)
        static = (p.exchange[0] - p.direct_exchange) / p.ideal.bridges
        cosine = (paths.bridge_ik * paths.bridge_jk).sum(dim=1)
        each = static + p.angle_slope * (cosine - p.ideal.cos_bridge)
        total = direct + second + third
        return total.index_add(
            0, paths.near[paths.bridge_near], paths.bridge_weight * each
        )

    def _kitaev(self, paths: _Paths) -> Tensor:
        """The symmetric anisotropic part of J, (P, 3, 3)."""
        p = self.parameters
        normal = torch.linalg.cross(paths.bridge_ik, paths.bridge_jk)
        scale = p.kitaev / p.ideal.bridges / (1 - p.ideal.cos_bridge**2)
        each = (scale * paths.bridge_weight)[:, None, None] * _traceless(normal)
        return _onto(len(paths.pairs), paths.near[paths.bridge_near], each)

    def _dm(self, paths: _Paths) -> Tensor:
        """D of every pair, (P, 3)."""
        p = self.parameters
        normal = torch.linalg.cross(paths.bridge_ik, paths.bridge_jk)
        each = (p.dm_near * paths.bridge_weight)[:, None] * normal
        first = _onto(len(paths.pairs), paths.near[paths.bridge_near], each)
        return first + self._dm_second(paths)

    def _dm_second(self, paths: _Paths) -> Tensor:
        p = self.parameters
        shell = torch.nonzero(
            (paths.r[paths.pairs] - p.ideal.shells[1]).abs() < SHELL_WIDTH
        ).flatten()
        far, near = paths.pairs[shell], paths.near_edges
        to_far, to_near = edge_pairs(paths.batch.centre, far, near)
        il = paths.vectors[near[to_near]]
        jl = il - paths.vectors[far[to_far]]
        # The ion l may not be j, which only strong distortions bring so near.
        r_jl = (jl**2).sum(dim=1)
        kept = (r_jl < NEAR_CUTOFF**2) & (far[to_far] != near[to_near])
        to_far, to_near, il, jl = to_far[kept], to_near[kept], il[kept], jl[kept]
        r_il, r_jl = paths.r[near[to_near]], r_jl[kept].sqrt()
        weight = self._near_weight(r_il, p.decay) * self._near_weight(r_jl, p.decay)
        normal = torch.linalg.cross(il, jl) / (r_il * r_jl)[:, None]
        # The bonds i–l and j–l make an angle of 120° in both lattices.
        scale = p.dm_second / np.sin(2 * np.pi / 3)
        # Smooth where the pair enters the shell, too.
        window = self._shell_weight(paths.r[far], 1)[to_far]
        each = (scale * weight * window)[:, None] * normal
        return _onto(len(paths.pairs), shell[to_far], each)

    def _anisotropy(self, paths: _Paths) -> Tensor:
        """A of every atom, (N, 3, 3)."""
        p = self.parameters
        batch = paths.batch
        of_bond = p.ligand_field * paths.bond_weight
        field = _onto(
            len(batch.positions),
            batch.centre[paths.bonds],
            of_bond[:, None, None] * _traceless(paths.bond_unit),
        )
        # In the plane û_ij has no z component: −1/3 for each bridge of each neighbour.
        bridges = p.ideal.neighbours * p.ideal.bridges
        shared = -3 * (2 / 3 * p.anisotropy - p.ligand_field * p.ideal.ligand_zz)
        edges = paths.near_edges[paths.bridge_near]
        unit = paths.vectors[edges] / paths.r[edges][:, None]
        weight = shared / bridges * paths.bridge_weight
        return field + _onto(
            len(batch.positions),
            batch.centre[edges],
            weight[:, None, None] * _traceless(unit),
        )

    def _biquadratic(self, paths: _Paths) -> Tensor:
        """K of every pair, (P,)."""
        p = self.parameters
        weight = self._near_weight(paths.r[paths.near_edges], p.many_spin_decay)
        each = p.biquadratic * weight
        return _onto(len(paths.pairs), paths.near, each)

    # === lattice and many spins ===

    def _lattice(self, paths: _Paths) -> Tensor:
        p = self.parameters
        batch = paths.batch
        starts, ends = batch.types[batch.centre], batch.types[batch.neighbour]
        # Bonds M–X end before the next distance: they are no van der Waals forces.
        bond = p.bond(paths.r) * smooth_step(paths.r, BOND_CUTOFF, SMOOTHING / 2)
        of_ions = (starts == MAGNETIC) & (ends == MAGNETIC)
        like = torch.where(of_ions, p.magnetic_pair(paths.r), p.ligand_pair(paths.r))
        like = like * smooth_step(paths.r, PAIR_CUTOFF, SMOOTHING)
        pair = torch.where(starts == ends, like, bond)
        cosine = (paths.bridge_ik * paths.bridge_jk).sum(dim=1)
        bridge = p.bridge * paths.bridge_weight * (cosine - p.bridge_cosine) ** 2
        at = batch.centre[paths.near_edges[paths.bridge_near]]
        return (
            batch.sum_frames(pair / 2, batch.centre)
            + batch.sum_frames(bridge / 2, at)
            + self._octahedra(paths)
        )

    def _octahedra(self, paths: _Paths) -> Tensor:
        batch = paths.batch
        first, second = edge_pairs(batch.centre, paths.bonds, paths.bonds)
        once = first < second
        first, second = first[once], second[once]
        cosine = (paths.bond_unit[first] * paths.bond_unit[second]).sum(dim=1)
        weight = paths.bond_weight[first] * paths.bond_weight[second]
        angle = self.parameters.octahedron * weight * (cosine * (1 + cosine)) ** 2
        return batch.sum_frames(angle, batch.centre[paths.bonds[first]])

    def _three_spin(self, paths: _Paths, e: Tensor) -> Tensor:
        """The three-spin term for T = 1, (F,).

        With S = Σ_j v_ij e_j the sum over j < k is half of that over all j, k without
        j = k: no triplets need to be listed.
        """
        batch = paths.batch
        edges = paths.near_edges
        i, j = batch.centre[edges], batch.neighbour[edges]
        weight = self._near_weight(paths.r[edges], self.parameters.many_spin_decay)
        summed = torch.zeros_like(e).index_add(0, i, weight[:, None] * e[j])
        along = (e * summed).sum(dim=1) ** 2 - (summed**2).sum(dim=1) / 3
        same = weight**2 * ((e[i] * e[j]).sum(dim=1) ** 2 - (e[j] ** 2).sum(dim=1) / 3)
        # Without a moment on i there is no term, not −e_j·e_k/3 either.
        has_moment = (e**2).sum(dim=1)
        every = torch.arange(len(e))
        return (
            batch.sum_frames(along * has_moment, every)
            - batch.sum_frames(same * has_moment[i], i)
        ) / 2

    def _ring(self, paths: _Paths, e: Tensor) -> Tensor:
        """The ring exchange for R = 1, (F,)."""
        batch = paths.batch
        if self.parameters.ring == 0:
            return torch.zeros(batch.num_frames, dtype=torch.float64)
        edges = paths.near_edges
        one, other = _loops(batch, edges)
        weight = self._near_weight(paths.r[edges], self.parameters.many_spin_decay)
        # Each row of ``one`` and ``other`` is a way j→i, j→k over one corner j.
        ends, corner = batch.neighbour[edges], batch.centre[edges]
        i, k = e[ends[one[:, 0]]], e[ends[one[:, 1]]]
        j, l = e[corner[one[:, 0]]], e[corner[other[:, 0]]]
        product = (
            (i * j).sum(1) * (k * l).sum(1)
            + (i * l).sum(1) * (j * k).sum(1)
            - (i * k).sum(1) * (j * l).sum(1)
        )
        weights = weight[one].prod(dim=1) * weight[other].prod(dim=1)
        # Four times: the two corners i and k, in both orders, or j and l.
        return batch.sum_frames(weights * product / 4, ends[one[:, 0]])


def _cell(p: LayerParameters) -> Array:
    a = p.lattice_constant
    return np.array(
        [[a, 0.0, 0.0], [-a / 2, a * np.sqrt(3) / 2, 0.0], [0.0, 0.0, p.cell_height]]
    )


def _crystal(p: LayerParameters, repeat: tuple[int, int, int]) -> Atoms:
    cell = _cell(p)
    # The layer in the middle of the cell, so that no atom lies on its boundary.
    middle = np.array([0.0, 0.0, p.cell_height / 2])
    ions = [np.array([*site, 0.0]) @ cell + middle for site in p.magnetic_sites]
    ligands = [
        np.array([x, y, 0.0]) @ cell + middle + [0.0, 0.0, side * p.ligand_height]
        for x, y, side in p.ligand_sites
    ]
    symbols = [p.magnetic] * len(ions) + [p.ligand] * len(ligands)
    atoms = Atoms(symbols, positions=[*ions, *ligands], cell=cell, pbc=True)
    atoms.wrap()
    return atoms.repeat(repeat)


def _traceless(v: Tensor) -> Tensor:
    """V vᵀ − |v|²/3, (T, 3, 3)."""
    one = torch.eye(3, dtype=v.dtype)
    trace = (v**2).sum(dim=1)[:, None, None]
    return v[:, :, None] * v[:, None, :] - trace * one / 3


def _onto(size: int, index: Tensor, values: Tensor) -> Tensor:
    """Sums of the values (T, ...) by their index (T,), (size, ...)."""
    zero = torch.zeros(size, *values.shape[1:], dtype=values.dtype)
    return zero.index_add(0, index, values)


def _loops(batch: Batch, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The loops i–j–k–l of four different ions, as two ways from i to k.

    Args:
        batch: the frames.
        edges: (Q,) ascending edges between near ions, both directions of each.

    Returns:
        Two tables (L, 2) of positions in ``edges``: j→i and j→k, and l→i and l→k. Each
        loop appears four times.
    """
    to_i, to_k = edge_pairs(batch.centre, edges, edges)
    different = to_i != to_k
    ways = torch.stack([to_i[different], to_k[different]], dim=1)  # (W, 2)
    ends = batch.neighbour[edges][ways]
    between = (batch.shift[edges][ways[:, 1]] - batch.shift[edges][ways[:, 0]]).detach()
    # Two ways lead between the same images if their translations agree; 1e-3 Å is far
    # below any translation and far above the rounding.
    key = torch.cat([ends, torch.round(between * 1e3).to(torch.int64)], dim=1)
    _, group = np.unique(key.numpy(), axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    ways, groups = ways[torch.tensor(order)], torch.tensor(group.reshape(-1)[order])
    everything = torch.arange(len(groups))
    first, second = edge_pairs(groups, everything, everything)
    once = first < second
    return ways[first[once]], ways[second[once]]
