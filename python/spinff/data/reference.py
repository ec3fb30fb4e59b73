"""A reference spin–lattice Hamiltonian with exact labels, for demonstrations and tests.

A rock-salt magnet with the species Ni (magnetic) and O (ligand); its numbers are of
the size of NiO's and made up. With e_i = m_i/|m_i| and every pair counted once

    E = ½ Σ_{i≠j} V(r_ij) + ½ Σ_{i≠j} e_iᵀ J_ij e_j,
    J_ij = J(r) 1 + [D_ij]_× + Γ(r) (r̂ r̂ᵀ − 1/3),

    V: Morse, per pair of species;      J(r): Gaussians about the first two shells;
    D_ij = Σ_k f(r_ik) f(r_jk) r_ik × r_jk over the ligands k (Moriya, Phys. Rev. 120,
    91, for the symmetry; the rule is the simplest one that has it): an axial vector,
    D_ji = −D_ij, and zero in the undisplaced crystal. ([D]_×)_bc = D_a ε_abc, so that
    the term is D_ij · (e_i × e_j).

Every function of a distance goes to zero with two continuous derivatives, and forces,
stress and magnetic forces are derivatives of E by float64 automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from nequip.data import AtomicDataDict, compute_neighborlist_
from nequip.data.ase import from_ase
from nequip.utils import torch_default_dtype
from numpy.typing import NDArray
from torch import Tensor

from spinff.data.frames import make_frame
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]


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
class ReferenceParameters:
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


class ReferenceLabels(TypedDict):
    """Derivatives of the energy of one frame."""

    energy: float
    """eV."""
    forces: Array
    """(N, 3) eV/Å."""
    stress: Array
    """(3, 3) eV/Å³, ASE's sign; zero where the frame is not periodic throughout."""
    magnetic_forces: Array
    """(N, 3) −∂E/∂m, eV/µB."""


@dataclass(frozen=True)
class PairExchange:
    """The true couplings of one frame, one entry per directed pair of moments."""

    pairs: NDArray[np.int64]
    """(P, 2) atoms i and j."""
    vectors: Array
    """(P, 3) r_ij = r_j − r_i + image, Å."""
    tensors: Array
    """(P, 3, 3) J_ij in eV; row for e_i, column for e_j."""


@dataclass
class _Graph:
    """The pairs of a batch of frames, as indices into its atoms."""

    positions: Tensor  # (N, 3)
    moments: Tensor  # (N, 3)
    frame: Tensor  # (N,) frame of each atom
    volumes: Tensor  # (F,)
    magnetic: Tensor  # (N,) bool, species
    centre: Tensor  # (E,)
    neighbour: Tensor  # (E,)
    shift: Tensor  # (E, 3) Å
    spin_edges: Tensor  # (P,) indices into the edges
    triplet_spin: Tensor  # (T,) indices into spin_edges: i→j
    triplet_ligand: Tensor  # (T,) indices into the edges: i→k


@dataclass(frozen=True)
class ReferenceHamiltonian:
    """Energy, forces, stress and magnetic forces of the rock-salt reference.

    Atoms carry their moments in ``atoms.arrays["magnetic_moments"]`` (N, 3) µB. The
    energy depends on their directions alone, so magnetic forces are transverse.
    """

    parameters: ReferenceParameters = field(default_factory=ReferenceParameters)

    def evaluate(self, atoms: Atoms) -> ReferenceLabels:
        """Labels of one frame.

        Raises:
            SpinffError: for a foreign species, or atoms without moments.
        """
        return self.evaluate_many([atoms])[0]

    def evaluate_many(self, frames: Sequence[Atoms]) -> list[ReferenceLabels]:
        """Labels of several frames at once; see ``evaluate``."""
        graph = self._graph(frames)
        graph.positions.requires_grad_()
        graph.moments.requires_grad_()
        strain = torch.zeros(len(frames), 3, 3, dtype=torch.float64, requires_grad=True)
        energy = self._energy(graph, strain)
        grad_r, grad_strain, grad_m = torch.autograd.grad(
            energy.sum(), [graph.positions, strain, graph.moments]
        )
        stress = (grad_strain + grad_strain.mT) / 2 / graph.volumes[:, None, None]
        sizes = [len(frame) for frame in frames]
        return [
            {
                "energy": float(e),
                "forces": -g_r.numpy(),
                "stress": s.numpy(),
                "magnetic_forces": -g_m.numpy(),
            }
            for e, g_r, s, g_m in zip(
                energy.detach(),
                grad_r.split(sizes),
                stress,
                grad_m.split(sizes),
                strict=True,
            )
        ]

    def exchange(self, atoms: Atoms) -> PairExchange:
        """The true exchange tensors of one frame, for comparison with a model's."""
        graph = self._graph([atoms])
        vectors = _vectors(graph, torch.zeros(1, 3, 3, dtype=torch.float64))
        pairs = torch.stack([graph.centre, graph.neighbour], dim=1)[graph.spin_edges]
        return PairExchange(
            pairs.numpy(),
            vectors[graph.spin_edges].numpy(),
            self._exchange(graph, vectors).numpy(),
        )

    # === energy ===

    def _energy(self, graph: _Graph, strain: Tensor) -> Tensor:
        """Energy of each frame, (F,), with its edge vectors strained."""
        vectors = _vectors(graph, strain)
        pair = 0.5 * self._pair(graph, torch.linalg.vector_norm(vectors, dim=1))
        length = torch.linalg.vector_norm(graph.moments, dim=1, keepdim=True)
        has_moment = length > 0
        # An atom without a moment has no direction and no field; 0/1 instead of 0/0.
        e = torch.where(
            has_moment, graph.moments / torch.where(has_moment, length, 1.0), 0.0
        )
        i = graph.centre[graph.spin_edges]
        j = graph.neighbour[graph.spin_edges]
        tensors = self._exchange(graph, vectors)
        spin = 0.5 * torch.einsum("pb,pbc,pc->p", e[i], tensors, e[j])
        energy = torch.zeros(len(graph.volumes), dtype=torch.float64)
        energy = energy.index_add(0, graph.frame[graph.centre], pair)
        return energy.index_add(0, graph.frame[i], spin)

    def _pair(self, graph: _Graph, r: Tensor) -> Tensor:
        p = self.parameters
        alike = graph.magnetic[graph.centre] == graph.magnetic[graph.neighbour]
        return torch.where(alike, p.like(r), p.bond(r)) * self._smooth(r, p.cutoff)

    def _exchange(self, graph: _Graph, vectors: Tensor) -> Tensor:
        """J_ij of the directed pairs of magnetic atoms, (P, 3, 3)."""
        p = self.parameters
        r_ij = vectors[graph.spin_edges]  # (P, 3)
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
            + _cross_matrix(cut[:, None] * self._dm_vectors(graph, vectors))
        )

    def _dm_vectors(self, graph: _Graph, vectors: Tensor) -> Tensor:
        """D_ij of the directed pairs of magnetic atoms, (P, 3)."""
        r_ij = vectors[graph.spin_edges][graph.triplet_spin]  # (T, 3)
        r_ik = vectors[graph.triplet_ligand]
        r_jk = r_ik - r_ij
        weight = self._ligand(r_ik) * self._ligand(r_jk)
        terms = self.parameters.dm * weight[:, None] * torch.linalg.cross(r_ik, r_jk)
        zero = torch.zeros(len(graph.spin_edges), 3, dtype=torch.float64)
        return zero.index_add(0, graph.triplet_spin, terms)

    def _ligand(self, vectors: Tensor) -> Tensor:
        p = self.parameters
        r = torch.linalg.vector_norm(vectors, dim=1)
        decay = torch.exp(-(r - p.lattice_constant / 2) / p.dm_decay)
        return decay * self._smooth(r, p.ligand_cutoff)

    def _smooth(self, r: Tensor, cutoff: float) -> Tensor:
        """1 below the smoothing, 0 above the cutoff, C² between (a quintic step)."""
        width = self.parameters.smoothing
        x = ((r - (cutoff - width)) / width).clamp(0.0, 1.0)
        return 1 - x**3 * (10 - 15 * x + 6 * x**2)

    # === pairs ===

    def _graph(self, frames: Sequence[Atoms]) -> _Graph:
        p = self.parameters
        offsets = np.cumsum([0, *(len(frame) for frame in frames)])
        first, second, shifts = [], [], []
        for frame, offset in zip(frames, offsets, strict=False):
            self._check(frame)
            i, j, shift = _neighbours(frame, p.cutoff)
            first.append(i + offset)
            second.append(j + offset)
            shifts.append(shift)
        centre, neighbour = np.concatenate(first), np.concatenate(second)
        magnetic = np.concatenate([frame.symbols == p.magnetic for frame in frames])
        spin_edges = np.flatnonzero(magnetic[centre] & magnetic[neighbour])
        ligand_edges = np.flatnonzero(magnetic[centre] & ~magnetic[neighbour])
        image = np.concatenate(shifts)
        positions = np.concatenate([frame.positions for frame in frames])
        vectors = positions[neighbour] - positions[centre] + image
        near = np.linalg.norm(vectors[ligand_edges], axis=1) < p.ligand_cutoff
        triplets = _triplets(centre, spin_edges, ligand_edges[near])
        periodic = [frame.pbc.all() for frame in frames]
        volumes = [
            frame.get_volume() if full else np.inf
            for frame, full in zip(frames, periodic, strict=True)
        ]
        moments = [frame.arrays[MAGNETIC_MOMENTS_KEY] for frame in frames]
        return _Graph(
            positions=torch.tensor(positions, dtype=torch.float64),
            moments=torch.tensor(np.concatenate(moments), dtype=torch.float64),
            frame=torch.tensor(np.repeat(np.arange(len(frames)), np.diff(offsets))),
            volumes=torch.tensor(volumes, dtype=torch.float64),
            magnetic=torch.tensor(magnetic),
            centre=torch.tensor(centre),
            neighbour=torch.tensor(neighbour),
            shift=torch.tensor(image, dtype=torch.float64),
            spin_edges=torch.tensor(spin_edges),
            triplet_spin=torch.tensor(triplets[0]),
            triplet_ligand=torch.tensor(triplets[1]),
        )

    def _check(self, frame: Atoms) -> None:
        p = self.parameters
        for symbol in frame.symbols:
            if symbol not in (p.magnetic, p.ligand):
                raise SpinffError(
                    f"reference Hamiltonian: unknown species, got '{symbol}', expected "
                    f"{p.magnetic} or {p.ligand}; rename or remove the atom"
                )
        if MAGNETIC_MOMENTS_KEY not in frame.arrays:
            raise SpinffError(
                "reference Hamiltonian: the atoms have no moments, got the arrays "
                f"{', '.join(frame.arrays)}, expected '{MAGNETIC_MOMENTS_KEY}' (N, 3) "
                "in µB; set atoms.arrays"
            )

    # === frames ===

    def generate(
        self,
        n_frames: int,
        seed: int,
        repeat: tuple[int, int, int] = (2, 2, 2),
        displacement: float = 0.05,
        strain: float = 0.01,
        disorder: float = 1.5,
    ) -> list[Atoms]:
        """Random labelled frames; frame k depends on the seed and k alone.

        Args:
            n_frames: how many.
            seed: of the random numbers.
            repeat: repetitions of the primitive cell (2 atoms).
            displacement: standard deviation of each coordinate, Å.
            strain: standard deviation of each entry of the symmetric strain.
            disorder: largest standard deviation of the noise that is added to the
                unit vectors of the antiferromagnetic order before they are
                normalised; each frame draws its own between 0 and this.

        Returns:
            Canonical frames (see ``spinff.data.frames``).
        """
        if n_frames < 1 or min(repeat) < 1:
            raise SpinffError(
                f"reference Hamiltonian: nothing to generate, got {n_frames} frames "
                f"and repeat {repeat}, expected numbers of at least 1; raise them"
            )
        bare = [
            self._random_frame(
                np.random.default_rng((seed, k)), repeat, displacement, strain, disorder
            )
            for k in range(n_frames)
        ]
        return [
            make_frame(
                f"frame {k}", atoms, atoms.arrays[MAGNETIC_MOMENTS_KEY], **labels
            )
            for k, (atoms, labels) in enumerate(
                zip(bare, self.evaluate_many(bare), strict=True)
            )
        ]

    def _random_frame(
        self,
        rng: np.random.Generator,
        repeat: tuple[int, int, int],
        displacement: float,
        strain: float,
        disorder: float,
    ) -> Atoms:
        p = self.parameters
        atoms = bulk(p.magnetic + p.ligand, "rocksalt", a=p.lattice_constant)
        parity = np.indices(repeat).sum(axis=0).reshape(-1) % 2
        atoms = atoms.repeat(repeat)
        # Order of the second kind: ferromagnetic (111) planes, alternating.
        sign = np.repeat(1.0 - 2.0 * parity, 2)
        deform = rng.normal(scale=strain, size=(3, 3))
        deform = np.eye(3) + (deform + deform.T) / 2
        atoms.set_cell(np.asarray(atoms.cell) @ deform, scale_atoms=True)
        atoms.positions += rng.normal(scale=displacement, size=(len(atoms), 3))
        axis = rng.normal(size=3)
        noise = disorder * rng.uniform() * rng.normal(size=(len(atoms), 3))
        e = sign[:, None] * axis / np.linalg.norm(axis) + noise
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        is_magnetic = (atoms.symbols == p.magnetic)[:, None]
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = np.where(is_magnetic, p.moment * e, 0.0)
        return atoms


REFERENCES: Final[dict[str, Callable[[], ReferenceHamiltonian]]] = {
    "rocksalt": ReferenceHamiltonian
}
"""The built-in reference Hamiltonians by name."""


def reference(name: str) -> ReferenceHamiltonian:
    """A built-in reference Hamiltonian.

    Raises:
        SpinffError: if there is none of that name.
    """
    if name not in REFERENCES:
        raise SpinffError(
            f"reference Hamiltonian: unknown name, got '{name}', expected "
            f"{' or '.join(REFERENCES)}; correct the name"
        )
    return REFERENCES[name]()


def _neighbours(
    frame: Atoms, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Directed pairs i→j sorted by i, and the shift of j's image in Å.

    nequip's neighbour list, because ASE's takes 70 ms for 16 atoms, a hundred times as
    long.
    """
    bare = Atoms(positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    with torch_default_dtype(torch.float64):
        data = compute_neighborlist_(from_ase(bare), cutoff)
    pairs = data[AtomicDataDict.EDGE_INDEX_KEY].numpy()
    order = np.argsort(pairs[0], kind="stable")
    shifts = data[AtomicDataDict.EDGE_CELL_SHIFT_KEY].numpy() @ np.asarray(frame.cell)
    return pairs[0][order], pairs[1][order], shifts[order]


def _vectors(graph: _Graph, strain: Tensor) -> Tensor:
    """r_ij of every edge, strained: r + r ε, (E, 3)."""
    r = graph.positions[graph.neighbour] - graph.positions[graph.centre] + graph.shift
    edge_strain = strain[graph.frame[graph.centre]]
    return r + torch.einsum("ea,eab->eb", r, edge_strain)


def _sum(terms: Sequence[Gaussian], r: Tensor) -> Tensor:
    total = torch.zeros_like(r)
    for term in terms:
        total = total + term(r)
    return total


def _cross_matrix(d: Tensor) -> Tensor:
    """([D]_×)_bc = D_a ε_abc, (P, 3, 3), so that uᵀ [D]_× v = D · (u × v)."""
    x, y, z = d.unbind(dim=1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=1)
    return rows.reshape(-1, 3, 3)


def _triplets(
    centre: NDArray[np.int64],
    spin_edges: NDArray[np.int64],
    ligand_edges: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each pair of an edge i→j and an edge i→k: position in spin_edges, and edge."""
    # The edges are sorted by centre, so the ligand edges of one are contiguous.
    first = np.searchsorted(centre[ligand_edges], centre[spin_edges], side="left")
    last = np.searchsorted(centre[ligand_edges], centre[spin_edges], side="right")
    count = last - first
    spin = np.repeat(np.arange(len(spin_edges)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return spin, ligand_edges[np.repeat(first, count) + within]
