"""What every reference Hamiltonian shares: pairs, exact labels, random frames.

A reference is a spin–lattice energy E(positions, strain, moments), written once as a
differentiable float64 function of a batch of frames. Its labels are derivatives by
automatic differentiation:

    F_i = −∂E/∂r_i,   stress = (∂E/∂ε + transpose)/2V,   f_m,i = −∂E/∂m_i.

Conventions are those of the conventions page: moments in µB, every pair counted once,
r_ij = r_j − r_i.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypedDict, final

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict, compute_neighborlist_
from nequip.data.ase import from_ase
from nequip.utils import torch_default_dtype
from numpy.typing import NDArray
from torch import Tensor

from spinff.data.frames import make_frame
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]

BATCH_ATOMS: Final[int] = 800
"""Atoms evaluated at once: enough to hide Python's overhead, few enough to stay in the
processor's caches and far from its memory's size when terms run over triplets."""


class ReferenceLabels(TypedDict):
    """The energy of one frame and its derivatives."""

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


@dataclass(frozen=True)
class Sampling:
    """What random frames are like unless told otherwise; see ``generate``."""

    repeat: tuple[int, int, int]
    """Repetitions of the reference's smallest cell."""
    displacement: float
    """Standard deviation of each coordinate, Å."""
    strain: float
    """Standard deviation of each entry of the symmetric strain."""
    disorder: float
    """How disordered the moments are; each reference says in what measure."""
    strained: tuple[bool, bool, bool] = (True, True, True)
    """Axes that the strain acts in: a layer is not strained along its normal."""


@dataclass
class Batch:
    """N atoms of F frames and their E directed pairs within the cutoff."""

    positions: Tensor
    """(N, 3) Å."""
    moments: Tensor
    """(N, 3) µB."""
    types: Tensor
    """(N,) index into the reference's species."""
    frame: Tensor
    """(N,) frame of each atom."""
    num_frames: int
    """F."""
    strain: Tensor
    """(F, 3, 3), zero: the variable that stress is the derivative along."""
    centre: Tensor
    """(E,) atom i of each pair, ascending."""
    neighbour: Tensor
    """(E,) atom j of each pair."""
    shift: Tensor
    """(E, 3) translation of the image of j, Å."""

    def vectors(self) -> Tensor:
        """r_ij of every pair, strained: r + r ε, (E, 3) Å."""
        r = self.positions[self.neighbour] - self.positions[self.centre] + self.shift
        edge_strain = self.strain[self.frame[self.centre]]
        return r + torch.einsum("ea,eab->eb", r, edge_strain)

    def directions(self) -> Tensor:
        """e_i = m_i/|m_i|, and zero where there is no moment, (N, 3).

        The derivative at |m| = 0 is zero as well: no moment, no direction, no field.
        """
        length = torch.linalg.vector_norm(self.moments, dim=1, keepdim=True)
        has_moment = length > 0
        # Both branches are differentiated, so neither may hold 0/0.
        return torch.where(
            has_moment, self.moments / torch.where(has_moment, length, 1.0), 0.0
        )

    def edges_between(self, first: int, second: int) -> Tensor:
        """Pairs from an atom of one type to one of another, ascending, (P,)."""
        starts = self.types[self.centre] == first
        return torch.nonzero(starts & (self.types[self.neighbour] == second)).flatten()

    def sum_frames(self, values: Tensor, atoms: Tensor) -> Tensor:
        """Sums values (V,) over the frames of the atoms (V,) they belong to, (F,)."""
        zero = torch.zeros(self.num_frames, dtype=values.dtype)
        return zero.index_add(0, self.frame[atoms], values)


class ReferenceHamiltonian(ABC):
    """A spin–lattice Hamiltonian with exact labels.

    Atoms carry their moments in ``atoms.arrays["magnetic_moments"]`` (N, 3) µB. A
    subclass gives the energy, the crystal and the moments of random frames.
    """

    # === what a reference defines ===

    @property
    @abstractmethod
    def name(self) -> str:
        """The name ``spinff data generate`` knows it by."""

    @property
    @abstractmethod
    def species(self) -> tuple[str, ...]:
        """Chemical symbols, in the order of ``Batch.types``."""

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """Radius of the pairs in a batch, Å."""

    @property
    @abstractmethod
    def sampling(self) -> Sampling:
        """Defaults of ``generate``."""

    @abstractmethod
    def energy(self, batch: Batch) -> Tensor:
        """Energy of each frame in eV, (F,).

        Differentiable in the batch's positions, strain and moments.
        """

    @abstractmethod
    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        """The undisplaced crystal with moments like those of its ground state."""

    @abstractmethod
    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        """Moments of a random frame, (N, 3) µB.

        Args:
            rng: source of the random numbers.
            atoms: the structure, strained and displaced, with its own moments.
            disorder: as in ``Sampling``.
        """

    @abstractmethod
    def describe(self) -> str:
        """A table of the terms and the parameters."""

    # === labels ===

    @final
    def evaluate(self, atoms: Atoms) -> ReferenceLabels:
        """Labels of one frame.

        Raises:
            SpinffError: for a foreign species, or atoms without moments.
        """
        return self.evaluate_many([atoms])[0]

    @final
    def evaluate_many(self, frames: Sequence[Atoms]) -> list[ReferenceLabels]:
        """Labels of several frames, many at once; see ``evaluate``."""
        sizes = np.array([len(frame) for frame in frames])
        starts = _starts_of_batches(sizes)
        labels: list[ReferenceLabels] = []
        for first, last in pairwise([*starts, len(frames)]):
            labels += self._evaluate_batch(frames[first:last])
        return labels

    @final
    def batch(self, frames: Sequence[Atoms]) -> Batch:
        """The frames as one batch.

        Raises:
            SpinffError: for a foreign species, or atoms without moments.
        """
        sizes = [len(frame) for frame in frames]
        first, second, shifts = [], [], []
        for frame, offset in zip(frames, np.cumsum([0, *sizes]), strict=False):
            self._check(frame)
            i, j, shift = _neighbours(frame, self.cutoff)
            first.append(i + offset)
            second.append(j + offset)
            shifts.append(shift)
        index = {symbol: type_ for type_, symbol in enumerate(self.species)}
        types = [index[symbol] for frame in frames for symbol in frame.symbols]
        positions = np.concatenate([frame.positions for frame in frames])
        moments = np.concatenate([f.arrays[MAGNETIC_MOMENTS_KEY] for f in frames])
        return Batch(
            positions=torch.tensor(positions, dtype=torch.float64),
            moments=torch.tensor(moments, dtype=torch.float64),
            types=torch.tensor(types, dtype=torch.int64),
            frame=torch.tensor(np.repeat(np.arange(len(frames)), sizes)),
            num_frames=len(frames),
            strain=torch.zeros(len(frames), 3, 3, dtype=torch.float64),
            centre=torch.tensor(np.concatenate(first)),
            neighbour=torch.tensor(np.concatenate(second)),
            shift=torch.tensor(np.concatenate(shifts), dtype=torch.float64),
        )

    def _evaluate_batch(self, frames: Sequence[Atoms]) -> list[ReferenceLabels]:
        batch = self.batch(frames)
        variables = [batch.positions, batch.strain, batch.moments]
        for variable in variables:
            variable.requires_grad_()
        energy = self.energy(batch)
        grad_r, grad_strain, grad_m = torch.autograd.grad(
            energy.sum(), variables, materialize_grads=True
        )
        volumes = [f.get_volume() if f.pbc.all() else np.inf for f in frames]
        stress = (grad_strain + grad_strain.mT) / 2
        stress = stress / torch.tensor(volumes, dtype=torch.float64)[:, None, None]
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

    def _check(self, frame: Atoms) -> None:
        for symbol in frame.symbols:
            if symbol not in self.species:
                raise SpinffError(
                    f"reference Hamiltonian {self.name}: unknown species, got "
                    f"'{symbol}', expected {' or '.join(self.species)}; rename or "
                    "remove the atom"
                )
        if MAGNETIC_MOMENTS_KEY not in frame.arrays:
            raise SpinffError(
                f"reference Hamiltonian {self.name}: the atoms have no moments, got "
                f"the arrays {', '.join(frame.arrays)}, expected "
                f"'{MAGNETIC_MOMENTS_KEY}' (N, 3) in µB; set atoms.arrays"
            )

    # === frames ===

    @final
    def generate(
        self,
        n_frames: int,
        seed: int,
        repeat: tuple[int, int, int] | None = None,
        displacement: float | None = None,
        strain: float | None = None,
        disorder: float | None = None,
    ) -> list[Atoms]:
        """Random labelled frames; frame k depends on the seed and k alone.

        Args:
            n_frames: how many.
            seed: of the random numbers, at least 0.
            repeat: repetitions of the smallest cell.
            displacement: standard deviation of each coordinate, Å.
            strain: standard deviation of each entry of the symmetric strain.
            disorder: of the moments, in the reference's own measure.

        The last four are those of ``sampling`` where they are None.

        Returns:
            Canonical frames (see ``spinff.data.frames``).

        Raises:
            SpinffError: for numbers that make no frame.
        """
        return list(
            self.iterate(n_frames, seed, repeat, displacement, strain, disorder)
        )

    @final
    def iterate(
        self,
        n_frames: int,
        seed: int,
        repeat: tuple[int, int, int] | None = None,
        displacement: float | None = None,
        strain: float | None = None,
        disorder: float | None = None,
    ) -> Iterator[Atoms]:
        """The frames of ``generate`` one after the other, as they are ready."""
        default = self.sampling
        chosen = Sampling(
            default.repeat if repeat is None else repeat,
            default.displacement if displacement is None else displacement,
            default.strain if strain is None else strain,
            default.disorder if disorder is None else disorder,
            default.strained,
        )
        self._check_request(n_frames, seed, chosen)
        step = max(1, BATCH_ATOMS // len(self.structure(chosen.repeat)))
        for start in range(0, n_frames, step):
            numbers = range(start, min(start + step, n_frames))
            bare = [
                self._random_frame(np.random.default_rng((seed, k)), chosen)
                for k in numbers
            ]
            labels = self.evaluate_many(bare)
            for k, atoms, labels_of_one in zip(numbers, bare, labels, strict=True):
                moments = atoms.arrays[MAGNETIC_MOMENTS_KEY]
                yield make_frame(f"frame {k}", atoms, moments, **labels_of_one)

    def _random_frame(self, rng: np.random.Generator, sampling: Sampling) -> Atoms:
        atoms = self.structure(sampling.repeat)
        deform = rng.normal(scale=sampling.strain, size=(3, 3))
        deform *= np.outer(sampling.strained, sampling.strained)
        deform = np.eye(3) + (deform + deform.T) / 2
        atoms.set_cell(np.asarray(atoms.cell) @ deform, scale_atoms=True)
        shape = (len(atoms), 3)
        atoms.positions += rng.normal(scale=sampling.displacement, size=shape)
        moments = self.random_moments(rng, atoms, sampling.disorder)
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = moments
        return atoms

    def _check_request(self, n_frames: int, seed: int, sampling: Sampling) -> None:
        who = f"reference Hamiltonian {self.name}"
        if n_frames < 1 or min(sampling.repeat) < 1:
            raise SpinffError(
                f"{who}: nothing to generate, got {n_frames} frames and repeat "
                f"{sampling.repeat}, expected numbers of at least 1; raise them"
            )
        if seed < 0:
            raise SpinffError(
                f"{who}: the seed is negative, got {seed}, expected 0 or more; "
                "choose another"
            )
        for quantity in ("displacement", "strain", "disorder"):
            value = getattr(sampling, quantity)
            if not (np.isfinite(value) and value >= 0):
                raise SpinffError(
                    f"{who}: the {quantity} is not a size, got {value}, expected a "
                    "finite number of at least 0; correct it"
                )


# === functions of the geometry ===


def smooth_step(r: Tensor, cutoff: float, width: float) -> Tensor:
    """1 below cutoff − width, 0 above the cutoff, C² between (a quintic step)."""
    x = ((r - (cutoff - width)) / width).clamp(0.0, 1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2)


def cross_matrix(d: Tensor) -> Tensor:
    """([D]_×)_bc = D_a ε_abc, (P, 3, 3), so that uᵀ [D]_× v = D · (u × v)."""
    x, y, z = d.unbind(dim=1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=1)
    return rows.reshape(-1, 3, 3)


def edge_pairs(centre: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Every two edges i→j and i→k of one centre: the triplets j–i–k.

    Args:
        centre: (E,) centre of each edge, ascending.
        first: (A,) ascending edges to take i→j from.
        second: (B,) ascending edges to take i→k from.

    Returns:
        (T,) positions in ``first`` and (T,) positions in ``second``. An edge in both
        lists is paired with itself, too, and two edges in both lists twice.
    """
    # Edges are sorted by centre, so those of one centre are contiguous.
    of_second = centre[second].contiguous()
    low = torch.searchsorted(of_second, centre[first].contiguous(), right=False)
    high = torch.searchsorted(of_second, centre[first].contiguous(), right=True)
    count = high - low
    a = torch.repeat_interleave(torch.arange(len(first)), count)
    within = torch.arange(len(a)) - torch.repeat_interleave(
        torch.cumsum(count, 0) - count, count
    )
    return a, low[a] + within


# === moments ===


def disordered(
    rng: np.random.Generator, order: Array, lengths: Array, disorder: float
) -> Array:
    """Moments between an order and chance, (N, 3) µB.

    Args:
        rng: source of the random numbers.
        order: (N, 3) unit vectors.
        lengths: (N,) µB, zero for atoms that are not magnetic.
        disorder: largest standard deviation of the noise that is added to the unit
            vectors before they are normalised; each call draws its own between 0 and
            this.
    """
    noise = disorder * rng.uniform() * rng.normal(size=order.shape)
    e = order + noise
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    moments: Array = np.where(lengths[:, None] > 0, lengths[:, None] * e, 0.0)
    return moments


# === pairs ===


def _starts_of_batches(sizes: NDArray[np.int64]) -> list[int]:
    """First frame of each batch, so that none but a single frame exceeds its size."""
    starts: list[int] = []
    atoms = 0
    for k, size in enumerate(sizes):
        if not starts or atoms + size > BATCH_ATOMS:
            starts.append(k)
            atoms = 0
        atoms += size
    return starts


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
