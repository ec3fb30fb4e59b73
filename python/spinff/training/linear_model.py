"""A spin–lattice energy that is linear in its coefficients: what is fitted beforehand.

    E = Σ_k c_k E_k(r, s),    columns k of five kinds, in this order:

    exchange      ½ Σ_ij B_n(r_ij) (s_i·s_j)        each pair of magnetic species
    biquadratic   ½ Σ_ij B_n(r_ij) (s_i·s_j)²
    longitudinal  Σ_i s_i², s_i⁴, s_i⁶              each magnetic species
    pair          ½ Σ_ij B_n(r_ij)                  each pair of species
    three_body    Σ_ijk B_n(r_ij) B_n'(r_ik) cos^d θ_jik
                                                    each i, each pair of (j, n)

with nequip's Bessel functions B_n, so that energies, forces and spin gradients of a
frame are matrices times c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from nequip.data import AtomicDataDict
from nequip.nn import scatter, with_edge_vectors_
from nequip.nn.embedding import EdgeLengthNormalizer

from spinff.nn import magnetic_edge_indices
from spinff.nn.radial import BesselBasis
from spinff.nn.terms.longitudinal import ORDERS
from spinff.nn.three_body import (
    BondMoments,
    degree_slices,
    neighbour_moments,
    num_coefficients,
)

SPIN_COLUMNS = ("exchange", "biquadratic", "longitudinal")
# power of s_i·s_j
_POWER = {"exchange": 1, "biquadratic": 2, "pair": 0}


@dataclass(frozen=True)
class Columns:
    """Derivatives of one batch with respect to the coefficients, C of them."""

    energy: torch.Tensor
    """(frames, C) E_k."""
    forces: torch.Tensor
    """(N, C, 3) −∂E_k/∂r, 1/Å."""
    spin_gradient: torch.Tensor
    """(N, C, 3) ∂E_k/∂s."""

    def __add__(self, other: Columns) -> Columns:
        """The columns of both, side by side."""
        return Columns(
            torch.cat([self.energy, other.energy], dim=1),
            torch.cat([self.forces, other.forces], dim=1),
            torch.cat([self.spin_gradient, other.spin_gradient], dim=1),
        )


class LinearModel:
    """The columns of a model's species, cutoffs and terms.

    Args:
        type_names: all species.
        magnetic_types: those with a moment.
        terms: a model's terms; those that are no columns here are passed over.
        r_max: Å.
        per_edge_type_cutoff: Å.
        num_bessels: functions B_n.
        num_three_body_bessels: functions B_n of the three-body columns; 0: no such
            columns.
        polynomial_cutoff_p: of the cutoff.
    """

    def __init__(
        self,
        type_names: list[str],
        magnetic_types: list[str],
        terms: Sequence[str],
        r_max: float,
        per_edge_type_cutoff: dict[str, Any] | None,
        num_bessels: int,
        num_three_body_bessels: int,
        polynomial_cutoff_p: float,
    ) -> None:
        """Name the columns."""
        self.type_names, self.magnetic_types = type_names, magnetic_types
        self.num_bessels = num_bessels
        self.num_three_body_bessels = num_three_body_bessels
        self.kinds = [name for name in SPIN_COLUMNS if name in terms] + ["pair"]
        if num_three_body_bessels > 0:
            self.kinds.append("three_body")
        self.is_magnetic = torch.tensor([name in magnetic_types for name in type_names])
        self._normalise = EdgeLengthNormalizer(
            r_max=r_max,
            type_names=type_names,
            per_edge_type_cutoff=per_edge_type_cutoff,
        )
        self._basis = BesselBasis(num_bessels, polynomial_cutoff_p)
        self._bond_moments = BondMoments(num_three_body_bessels, polynomial_cutoff_p)

    def keys(self, kind: str) -> list[str]:
        """Species, or pairs such as ``Ni-O``, that a kind has columns for."""
        if kind == "longitudinal":
            return self.magnetic_types
        if kind == "three_body":
            return self.type_names
        return ["-".join(pair) for pair in _pairs(self._members(kind))]

    @property
    def sizes(self) -> list[int]:
        """Number of columns of each kind."""
        return [len(self.keys(kind)) * self._per_key(kind) for kind in self.kinds]

    @property
    def num_spin_columns(self) -> int:
        """Columns that depend on the spins; they come first."""
        kinds = zip(self.kinds, self.sizes, strict=True)
        return sum(size for kind, size in kinds if kind in SPIN_COLUMNS)

    def named(self, kind: str, coefficients: torch.Tensor) -> dict[str, list[float]]:
        """Coefficients of one kind by species or pair."""
        rows = coefficients.view(len(self.keys(kind)), -1).tolist()
        return dict(zip(self.keys(kind), rows, strict=True))

    def columns(self, data: AtomicDataDict.Type, spins: torch.Tensor) -> Columns:
        """All columns of a batch with neighbour lists, spins (N, 3)."""
        data = with_edge_vectors_(data.copy(), with_lengths=True)
        parts = [self._columns_of(kind, data, spins) for kind in self.kinds]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _columns_of(
        self, kind: str, data: AtomicDataDict.Type, spins: torch.Tensor
    ) -> Columns:
        if kind == "longitudinal":
            return self._longitudinal(data, spins)
        if kind == "three_body":
            return self._three_body(data, spins)
        return self._of_edges(kind, data, spins)

    def _per_key(self, kind: str) -> int:
        if kind == "longitudinal":
            return ORDERS
        if kind == "three_body":
            return num_coefficients(len(self.type_names), self.num_three_body_bessels)
        return self.num_bessels

    def _members(self, kind: str) -> list[str]:
        return self.type_names if kind == "pair" else self.magnetic_types

    def _of_edges(
        self, kind: str, data: AtomicDataDict.Type, spins: torch.Tensor
    ) -> Columns:
        """½ Σ_ij B_n(r_ij) c^p with c = s_i·s_j."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        edges = torch.arange(edge_index.size(1))
        if kind != "pair":
            edges = magnetic_edge_indices(edge_index, types, self.is_magnetic)
        centre, neighbour = edge_index[0][edges], edge_index[1][edges]
        value, slope = self._radial(kind, data, edges)  # (M, columns)
        power = _POWER[kind]
        cosine = (spins[centre] * spins[neighbour]).sum(-1, keepdim=True)
        by_cosine = power * cosine ** max(power - 1, 0)  # ∂c^p/∂c

        num_atoms = len(types)
        energy = scatter(
            0.5 * value * cosine**power,
            data[AtomicDataDict.BATCH_KEY][centre],
            dim=0,
            dim_size=AtomicDataDict.num_frames(data),
        )
        length = data[AtomicDataDict.EDGE_LENGTH_KEY][edges].view(-1, 1)
        direction = data[AtomicDataDict.EDGE_VECTORS_KEY][edges] / length
        pull = (0.5 * slope * cosine**power).unsqueeze(-1) * direction.unsqueeze(1)
        forces = scatter(pull, centre, dim=0, dim_size=num_atoms) - scatter(
            pull, neighbour, dim=0, dim_size=num_atoms
        )
        # the edge j→i, which is there too, doubles what this one gives to i
        on_centre = (value * by_cosine).unsqueeze(-1) * spins[neighbour].unsqueeze(1)
        gradient = scatter(on_centre, centre, dim=0, dim_size=num_atoms)
        return Columns(energy, forces, gradient)

    def _radial(
        self, kind: str, data: AtomicDataDict.Type, edges: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """B_n and ∂B_n/∂r (1/Å) in the columns of each edge's pair, (M, columns)."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        x = self._normalise(data.copy())[AtomicDataDict.NORM_LENGTH_KEY][edges]
        value, by_x = torch.func.jvp(  # type: ignore[misc]
            self._basis, (x,), (torch.ones_like(x),)
        )
        slope = by_x * x / data[AtomicDataDict.EDGE_LENGTH_KEY][edges].view(-1, 1)
        members = [self.type_names.index(name) for name in self._members(kind)]
        number = torch.zeros(len(self.type_names), len(self.type_names)).long()
        for row, (a, b) in enumerate(_pairs(members)):
            number[a, b] = number[b, a] = row
        pair = number[types[edge_index[0][edges]], types[edge_index[1][edges]]]
        own = torch.nn.functional.one_hot(pair, len(self.keys(kind))).double()

        def spread(functions: torch.Tensor) -> torch.Tensor:
            return (own.unsqueeze(-1) * functions.unsqueeze(1)).flatten(1)

        return spread(value), spread(slope)

    def _longitudinal(self, data: AtomicDataDict.Type, spins: torch.Tensor) -> Columns:
        """Σ_i s², s⁴, s⁶ of each magnetic species."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        members = [self.type_names.index(name) for name in self.magnetic_types]
        own = (types.unsqueeze(1) == torch.tensor(members)).double().unsqueeze(-1)
        x = spins.square().sum(-1, keepdim=True)
        powers = torch.cat([x, x**2, x**3], dim=1).unsqueeze(1)
        slopes = torch.cat([2 + 0 * x, 4 * x, 6 * x**2], dim=1).unsqueeze(1)
        of_atom, gradient = (own * powers).flatten(1), (own * slopes).flatten(1)
        energy = scatter(
            of_atom,
            data[AtomicDataDict.BATCH_KEY],
            dim=0,
            dim_size=AtomicDataDict.num_frames(data),
        )
        gradient = gradient.unsqueeze(-1) * spins.unsqueeze(1)
        return Columns(energy, torch.zeros_like(gradient), gradient)

    def _three_body(self, data: AtomicDataDict.Type, spins: torch.Tensor) -> Columns:
        """Σ_jk B_n(r_ij) B_n'(r_ik) cos^d θ_jik, of each species of i."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        num_atoms, num_types = len(types), len(self.type_names)
        of_edges, slopes = self._bond_moments_and_slopes(data)
        moments = neighbour_moments(of_edges, edge_index, types, num_types)
        channels = moments.size(1)  # (species, function)
        upper = torch.triu_indices(channels, channels)

        values = torch.stack(
            [
                moments[:, :, a:b] @ moments[:, :, a:b].transpose(1, 2)
                for a, b in degree_slices()
            ],
            dim=-1,
        )[:, upper[0], upper[1]].flatten(1)
        own = torch.nn.functional.one_hot(types, num_types).double().unsqueeze(-1)
        energy = scatter(
            (own * values.unsqueeze(1)).flatten(1),
            data[AtomicDataDict.BATCH_KEY],
            dim=0,
            dim_size=AtomicDataDict.num_frames(data),
        )

        # by the product rule: the slope of one factor times the moments of the other,
        # and the same with the factors exchanged
        centre, neighbour = edge_index
        slope = of_edges.new_zeros(
            len(centre), num_types, slopes.size(1), *slopes.shape[2:]
        )
        slope[torch.arange(len(centre)), types[neighbour]] = slopes
        slope, of_centre = slope.flatten(1, 2), moments[centre]
        product = torch.stack(
            [
                torch.einsum("eamx,ebm->eabx", slope[:, :, a:b], of_centre[:, :, a:b])
                for a, b in degree_slices()
            ],
            dim=-2,
        )
        product = product + product.transpose(1, 2)
        pull = product[:, upper[0], upper[1]].flatten(1, 2)  # (E, columns of i, 3)
        rows = num_atoms * num_types
        of_type = types[centre]
        forces = scatter(pull, centre * num_types + of_type, dim=0, dim_size=rows)
        forces -= scatter(pull, neighbour * num_types + of_type, dim=0, dim_size=rows)
        forces = forces.view(num_atoms, -1, 3)
        return Columns(energy, forces, torch.zeros_like(forces))

    def _bond_moments_and_slopes(
        self, data: AtomicDataDict.Type
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(E, n, M) and their derivatives with respect to r_ij, (E, n, M, 3) 1/Å."""
        vectors = data[AtomicDataDict.EDGE_VECTORS_KEY]
        length = data[AtomicDataDict.EDGE_LENGTH_KEY].view(-1, 1)
        x = self._normalise(data.copy())[AtomicDataDict.NORM_LENGTH_KEY].view(-1, 1)

        def of_edges(r_ij: torch.Tensor) -> torch.Tensor:
            r = r_ij.norm(dim=-1, keepdim=True)
            return self._bond_moments(r_ij / r, r * (x / length))

        axes = torch.eye(3, dtype=vectors.dtype)
        slopes = [
            torch.func.jvp(of_edges, (vectors,), (axis.expand_as(vectors),))[1]
            for axis in axes
        ]
        return of_edges(vectors), torch.stack(slopes, dim=-1)


def _pairs(members: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Unordered pairs, each member with itself too."""
    return [(a, b) for i, a in enumerate(members) for b in members[i:]]
