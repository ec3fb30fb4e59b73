"""``b20``: thousands of spin–lattice interactions on the structure of MnGe.

A synthetic benchmark in the manner of Yu et al. (Phys. Rev. B 110, 104427), who fit a
model of 4149 interactions, from one-body one-order to three-body four-order, with
random coefficients between 0 and 1 eV on this structure. Theirs is an expansion about
the crystal; this one is a function of absolute positions, so that it is invariant under
every rotation of lattice and spins together, and defined for any arrangement of atoms.

A term is a product of functions of a cluster of one, two or three atoms, summed over
all such clusters: radial functions φ_n, a Legendre polynomial P_l of the angle, and an
invariant I of the spins a, b, c and the bond directions u, v,

    one atom i            1
    pair i, j             φ_n(r_ij) I(e_i, e_j; u)                        u = r̂_ij
    triplet j, i, k       φ_n(r_ij) φ_m(r_ik) P_l(u·v) I(e_i, e_j, e_k; u, v)
                                                           u = r̂_ij, v = r̂_ik,

    φ_n(r) = exp(−((r − r_n)/w)²) ((1 − r²/r_c²)/(1 − r_0²/r_c²))³ below r_c.

    E = Σ_kinds κ/N Σ_terms c_t f_t,     c_t from U(0, 1) eV.

``KINDS`` lists the invariants by kind with the scale κ, a number, of each; N counts the
kind's terms. An invariant is written as the letters of its factors: ``ab`` is
e_i·e_j, ``au`` is e_i·r̂_ij, ``abw`` is (e_i × e_j)·(r̂_ij × r̂_ik), and ``ab bc`` is
(e_i·e_j)(e_j·e_k). Each holds an even number of spins (time reversal) and an even
number of directions u, v (inversion, under which spins do not change).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Final

import numpy as np
import torch
from ase import Atoms
from ase.spacegroup import crystal
from torch import Tensor

from spinff.data.references.base import (
    Array,
    Batch,
    ReferenceHamiltonian,
    Sampling,
    edge_pairs,
)
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_MOMENTS_KEY

MN: Final[int] = 0
"""Type of the species with a moment."""
GE: Final[int] = 1
"""Type of the species without."""
SYMBOLS: Final[tuple[str, str]] = ("Mn", "Ge")

SPINS: Final[str] = "abc"
"""The letters of spins in an invariant: those of the atoms i, j and k."""


@dataclass(frozen=True)
class Kind:
    """Interactions of one physical kind among clusters of one size.

    Of two invariants that a swap of like atoms turns into each other there is one. Nor
    is there an ``av bu``, which is ``au bv`` less ``abw``, or a ``bv cu``.
    """

    name: str
    """As ``describe`` prints it."""
    scale: float
    """κ, the size of the whole kind."""
    invariants: dict[tuple[int, ...], tuple[str, ...]]
    """The invariants of each choice of species: i; i and j; or i, j and k."""

    @property
    def order(self) -> tuple[int, int]:
        """Body order, the number of atoms, and spin order, the number of spins."""
        species, names = next(iter(self.invariants.items()))
        return len(species), sum(letter in SPINS for letter in names[0])


KINDS: Final[tuple[Kind, ...]] = (
    Kind("atom", 1.0, {(MN,): ("",), (GE,): ("",)}),
    Kind("lattice", 2.0, {(MN, MN): ("",), (MN, GE): ("",), (GE, GE): ("",)}),
    Kind("Heisenberg", 0.06, {(MN, MN): ("ab",)}),
    Kind("Kitaev type", 0.15, {(MN, MN): ("au bu",)}),
    Kind("single-ion anisotropy", 0.5, {(MN, MN): ("au au",), (MN, GE): ("au au",)}),
    Kind("biquadratic", 0.07, {(MN, MN): ("ab ab",)}),
    Kind(
        "anisotropic four-spin",
        0.2,
        {
            (MN, MN): ("ab au bu", "ab au au", "au au bu bu", "au au au bu"),
        },
    ),
    Kind(
        "quartic anisotropy",
        0.4,
        {(MN, MN): ("au au au au",), (MN, GE): ("au au au au",)},
    ),
    Kind(
        "lattice",
        2.0,
        {
            (MN, MN, MN): ("",),
            (MN, MN, GE): ("",),
            (MN, GE, GE): ("",),
            (GE, MN, MN): ("",),
            (GE, MN, GE): ("",),
            (GE, GE, GE): ("",),
        },
    ),
    Kind(
        "Heisenberg",
        0.07,
        {(MN, MN, MN): ("ab", "bc"), (MN, MN, GE): ("ab",), (GE, MN, MN): ("bc",)},
    ),
    Kind(
        "Dzyaloshinskii-Moriya",
        0.7,
        {(MN, MN, MN): ("abw", "bcw"), (MN, MN, GE): ("abw",), (GE, MN, MN): ("bcw",)},
    ),
    Kind(
        "Kitaev type",
        0.12,
        {
            (MN, MN, MN): ("au bu", "av bv", "au bv", "bu cu", "bu cv"),
            (MN, MN, GE): ("au bu", "av bv", "au bv"),
            (GE, MN, MN): ("bu cu", "bu cv"),
        },
    ),
    Kind(
        "single-ion anisotropy",
        1.0,
        {
            (MN, MN, MN): ("au au", "au av", "bu bu", "bv bv", "bu bv"),
            (MN, MN, GE): ("au au", "av av", "au av", "bu bu", "bv bv", "bu bv"),
            (MN, GE, GE): ("au au", "au av"),
            (GE, MN, MN): ("bu bu", "bv bv", "bu bv"),
            (GE, MN, GE): ("bu bu", "bv bv", "bu bv"),
        },
    ),
    Kind(
        "biquadratic",
        0.06,
        {
            (MN, MN, MN): ("ab ab", "bc bc"),
            (MN, MN, GE): ("ab ab",),
            (GE, MN, MN): ("bc bc",),
        },
    ),
    Kind("ring exchange of three sites", 0.4, {(MN, MN, MN): ("ab ac", "ab bc")}),
    Kind(
        "chiral four-spin",
        1.0,
        {
            (MN, MN, MN): ("ab abw", "bc abw"),
            (MN, MN, GE): ("ab abw",),
            (GE, MN, MN): ("bc bcw",),
        },
    ),
    Kind(
        "anisotropic four-spin",
        0.7,
        {
            (MN, MN, MN): (
                *("ab au bv", "bc au av", "ab av cu", "au au bv bv", "au av bu cv"),
                "bv bv cu cu",
            ),
            (MN, MN, GE): ("ab au bu", "ab av bv", "ab au bv", "av av bv bv"),
            (GE, MN, MN): ("bc bu cv", "bu bu cv cv", "bv bv cu cu"),
        },
    ),
    Kind(
        "quartic anisotropy",
        0.15,
        {
            (MN, GE, GE): ("au au au au", "au au av av"),
            (GE, MN, GE): ("bu bu bv bv",),
        },
    ),
)
"""Every interaction, in the order in which coefficients are drawn."""


@dataclass(frozen=True)
class B20Parameters:
    """Numbers of the B20 reference."""

    lattice_constant: float = 4.795
    """Å."""
    u_mn: float = 0.138
    """Mn at (u, u, u) and the positions equivalent to it."""
    u_ge: float = 0.8425
    """Ge at (u, u, u) and the positions equivalent to it."""
    moment: float = 2.0
    """Length of the Mn moments in generated frames, µB."""
    cutoff: float = 4.0
    """r_c, Å: the nearest Mn–Mn, Mn–Ge and Ge–Ge shells end at 2.97 Å."""
    centres: tuple[float, ...] = (2.2, 2.5, 2.8, 3.1, 3.4)
    """r_n, Å."""
    width: float = 0.8
    """w, Å: wide, so that few numbers describe a function of the distance."""
    unit_distance: float = 2.7
    """r_0, Å, where the cutoff factor is 1."""
    legendre: int = 3
    """P_l with l below this."""
    seed: int = 4149
    """Of the coefficients."""


@dataclass(frozen=True)
class Interaction:
    """The terms of one kind, one choice of species and one invariant."""

    kind: Kind
    species: tuple[int, ...]
    invariant: str
    counted: Tensor
    """Which of its radial and angular functions are terms, bool (n, m, l)."""

    @property
    def num_terms(self) -> int:
        """Number of coefficients."""
        return int(self.counted.sum())


@dataclass(frozen=True)
class B20(ReferenceHamiltonian):
    """The B20 reference.

    The energy depends on the directions of the Mn moments alone, so magnetic forces are
    transverse; moments on Ge, if there are any, have no part in it.
    """

    parameters: B20Parameters = field(default_factory=B20Parameters)

    @property
    def name(self) -> str:
        """As in the registry."""
        return "b20"

    @property
    def species(self) -> tuple[str, ...]:
        """Mn and Ge."""
        return SYMBOLS

    @property
    def cutoff(self) -> float:
        """Of every bond in a cluster, Å."""
        return self.parameters.cutoff

    @property
    def sampling(self) -> Sampling:
        """The 8-atom cell with independent directions of the moments."""
        return Sampling((1, 1, 1), displacement=0.06, strain=0.0, disorder=1.0)

    # === terms ===

    @cached_property
    def interactions(self) -> tuple[Interaction, ...]:
        """The interactions in the order in which their coefficients are drawn."""
        return tuple(
            Interaction(kind, species, name, self._counted(species, name))
            for kind in KINDS
            for species, names in kind.invariants.items()
            for name in names
        )

    @cached_property
    def coefficients(self) -> tuple[Tensor, ...]:
        """c_t κ/N of each interaction in eV, (n, m, l); 0 where there is no term."""
        rng = np.random.default_rng(self.parameters.seed)
        tables = []
        for interaction in self.interactions:
            kind = interaction.kind
            table = torch.zeros(interaction.counted.shape, dtype=torch.float64)
            drawn = torch.tensor(rng.uniform(size=interaction.num_terms))
            table[interaction.counted] = kind.scale / self.num_terms(kind) * drawn
            tables.append(table)
        return tuple(tables)

    def num_terms(self, kind: Kind | None = None) -> int:
        """Number of terms of a kind, or of all."""
        return sum(
            interaction.num_terms
            for interaction in self.interactions
            if kind is None or interaction.kind is kind
        )

    def describe(self) -> str:
        """The number of terms, by class and by kind, and every parameter."""
        rows = [
            f"b20: {self.num_terms()} interactions, coefficients between 0 and 1 eV",
            "",
            "body order  spin order  terms",
        ]
        orders = sorted({kind.order for kind in KINDS})
        for body, spin in orders:
            count = sum(self.num_terms(k) for k in KINDS if k.order == (body, spin))
            rows.append(f"{body:>10}  {spin:>10}  {count:>5}")
        rows += ["", "body  spin  terms  scale  kind: invariants of each cluster"]
        for kind in KINDS:
            body, spin = kind.order
            clusters = "; ".join(
                f"{'-'.join(SYMBOLS[type_] for type_ in species)} "
                f"{', '.join(name or '1' for name in names)}"
                for species, names in kind.invariants.items()
            )
            rows.append(
                f"{body:>4}  {spin:>4}  {self.num_terms(kind):>5}  {kind.scale:>5}  "
                f"{kind.name}: {clusters}"
            )
        rows += ["", "parameter"]
        for entry in fields(self.parameters):
            rows.append(f"  {entry.name:<18} {getattr(self.parameters, entry.name)}")
        return "\n".join(rows)

    def _counted(self, species: tuple[int, ...], invariant: str) -> Tensor:
        p = self.parameters
        shape = {
            1: (1, 1, 1),
            2: (len(p.centres), 1, 1),
            3: (len(p.centres), len(p.centres), p.legendre),
        }
        counted = torch.ones(shape[len(species)], dtype=torch.bool)
        mirrored = len(species) == 3 and species[1] == species[2]
        if mirrored and is_own_mirror_image(invariant):
            # φ_n(r_ij) φ_m(r_ik) and φ_m(r_ij) φ_n(r_ik) have one sum over triplets.
            counted &= torch.ones(shape[3][:2]).triu().bool()[:, :, None]
        return counted

    # === crystal and moments ===

    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        """The cubic cell of 4 Mn and 4 Ge repeated, ferromagnetic along [111]."""
        p = self.parameters
        atoms = crystal(
            SYMBOLS,
            [(p.u_mn,) * 3, (p.u_ge,) * 3],
            spacegroup=198,
            cellpar=[*(p.lattice_constant,) * 3, 90, 90, 90],
        )
        atoms = Atoms(
            atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True
        )
        atoms = atoms.repeat(repeat)
        along = np.where(atoms.symbols == SYMBOLS[MN], p.moment / np.sqrt(3), 0.0)
        atoms.arrays[MAGNETIC_MOMENTS_KEY] = np.repeat(along[:, None], 3, axis=1)
        return atoms

    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        """Directions between a common random one and independent random ones.

        ``disorder`` is the share of the independent part, a normal vector on each atom,
        before the sum is normalised: 0 is the ferromagnet, 1 the uniform distribution.
        """
        if disorder > 1:
            raise SpinffError(
                f"reference Hamiltonian b20: too much disorder, got {disorder}, "
                "expected a share between 0 and 1; lower it"
            )
        length = np.linalg.norm(atoms.arrays[MAGNETIC_MOMENTS_KEY], axis=1)
        axis = rng.normal(size=3)
        noise = rng.normal(size=(len(atoms), 3))
        e = (1 - disorder) * axis / np.linalg.norm(axis) + disorder * noise
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        moments: Array = length[:, None] * e
        return moments

    # === energy ===

    def energy(self, batch: Batch) -> Tensor:
        """Energy of each frame in eV, (F,)."""
        vectors = batch.vectors()
        bonds = _Bonds(
            directions=vectors / torch.linalg.vector_norm(vectors, dim=1)[:, None],
            radial=self._radial(torch.linalg.vector_norm(vectors, dim=1)),
        )
        spins = batch.directions()
        energy = torch.zeros(batch.num_frames, dtype=torch.float64)
        for species, (invariants, table) in self._tables.items():
            clusters = self._clusters(batch, spins, bonds, species)
            values = _invariants(clusters.letters, invariants)  # (T, I)
            each = ((clusters.functions @ table) * values).sum(dim=1)
            energy = energy + batch.sum_frames(each, clusters.centre)
        return energy

    @cached_property
    def _tables(self) -> dict[tuple[int, ...], tuple[tuple[str, ...], Tensor]]:
        """Of each cluster of species the invariants, I, and coefficients (n·m·l, I)."""
        entries: dict[tuple[int, ...], list[tuple[str, Tensor]]] = {}
        for interaction, table in zip(
            self.interactions, self.coefficients, strict=True
        ):
            entry = (interaction.invariant, table.flatten())
            entries.setdefault(interaction.species, []).append(entry)
        return {
            species: (
                tuple(name for name, _ in columns),
                torch.stack([column for _, column in columns], dim=1),
            )
            for species, columns in entries.items()
        }

    def _radial(self, r: Tensor) -> Tensor:
        """φ_n(r) of bonds with lengths r (E,) in Å, (E, n)."""
        p = self.parameters
        centres = torch.tensor(p.centres, dtype=torch.float64)
        inside = (1 - (r / p.cutoff) ** 2).clamp(min=0.0)
        cut = (inside / (1 - (p.unit_distance / p.cutoff) ** 2)) ** 3
        return torch.exp(-(((r[:, None] - centres) / p.width) ** 2)) * cut[:, None]

    def _clusters(
        self, batch: Batch, spins: Tensor, bonds: _Bonds, species: tuple[int, ...]
    ) -> _Clusters:
        if len(species) == 1:
            atoms = torch.nonzero(batch.types == species[0]).flatten()
            return _Clusters(atoms, torch.ones(len(atoms), 1, dtype=torch.float64), {})
        to_j = batch.edges_between(species[0], species[1])
        if len(species) == 2:
            i, j = batch.centre[to_j], batch.neighbour[to_j]
            letters = {"a": spins[i], "b": spins[j], "u": bonds.directions[to_j]}
            return _Clusters(i, bonds.radial[to_j], letters)
        to_k = batch.edges_between(species[0], species[2])
        first, second = edge_pairs(batch.centre, to_j, to_k)
        ij, ik = to_j[first], to_k[second]
        ij, ik = ij[ij != ik], ik[ij != ik]
        u, v = bonds.directions[ij], bonds.directions[ik]
        angular = legendre((u * v).sum(dim=1), self.parameters.legendre)
        functions = (
            bonds.radial[ij][:, :, None, None]
            * bonds.radial[ik][:, None, :, None]
            * angular[:, None, None, :]
        )
        i = batch.centre[ij]
        letters = {
            "a": spins[i],
            "b": spins[batch.neighbour[ij]],
            "c": spins[batch.neighbour[ik]],
            "u": u,
            "v": v,
            "w": torch.linalg.cross(u, v),
        }
        return _Clusters(i, functions.flatten(start_dim=1), letters)


@dataclass
class _Bonds:
    """What the terms need of the E pairs."""

    directions: Tensor  # (E, 3)
    radial: Tensor  # (E, n)


@dataclass
class _Clusters:
    """T clusters of one choice of species."""

    centre: Tensor  # (T,) atom i
    functions: Tensor  # (T, n·m·l) of the geometry
    letters: dict[str, Tensor]  # (T, 3) each: spins and directions


def _invariants(letters: dict[str, Tensor], names: Sequence[str]) -> Tensor:
    """The invariants of T clusters, (T, I)."""
    known: dict[str, Tensor] = {}
    columns = []
    for name in names:
        value = None
        for factor in name.split():
            if factor not in known:
                known[factor] = _factor(letters, factor)
            value = known[factor] if value is None else value * known[factor]
        columns.append(value)
    size = next((len(column) for column in columns if column is not None), 1)
    one = torch.ones(size, dtype=torch.float64)
    return torch.stack([one if c is None else c for c in columns], dim=1)


def _factor(letters: dict[str, Tensor], factor: str) -> Tensor:
    """A scalar product of two letters, or the triple product of three, (T,)."""
    first, second, *third = (letters[letter] for letter in factor)
    if third:
        return (torch.linalg.cross(first, second) * third[0]).sum(dim=1)
    return (first * second).sum(dim=1)


def legendre(x: Tensor, count: int) -> Tensor:
    """P_l(x) for l below count, by Bonnet's recursion, (T, l)."""
    values = [torch.ones_like(x), x]
    for l in range(1, count - 1):
        values.append(((2 * l + 1) * x * values[l] - l * values[l - 1]) / (l + 1))
    return torch.stack(values[:count], dim=1)


def is_own_mirror_image(invariant: str) -> bool:
    """Whether swapping the neighbours j and k leaves an invariant what it is."""
    swapped = invariant.translate(str.maketrans("bcuv", "cbvu"))
    factors = ["".join(sorted(factor)) for factor in swapped.split()]
    return sorted(factors) == sorted("".join(sorted(f)) for f in invariant.split())
