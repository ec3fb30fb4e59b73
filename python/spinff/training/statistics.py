"""What the training set tells the model before training.

Besides the usual statistics (neighbours, energies, forces) this fits couplings that are
linear in their coefficients to the labels: J(r) and K(r) in Bessel functions, and the
Landau coefficients of moments of any length. With E = Σ_k c_k E_k(r, s) the energy and
the magnetic force are linear in c, and the fit is a least-squares problem.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from nequip.data import AtomicDataDict
from nequip.nn import scatter
from nequip.nn.embedding import EdgeLengthNormalizer

from spinff import fields
from spinff.errors import SpinffError
from spinff.nn import magnetic_edge_indices
from spinff.nn.terms import BesselBasis
from spinff.nn.terms.longitudinal import ORDERS

_log = logging.getLogger(__name__)

# above this standard error the energies do not determine the label scale (too few
# frames, or the lattice dominates them), and it starts at 1
_LARGEST_ERROR_OF_SCALE = 0.1
# relative to the mean diagonal: basis functions no pair distance samples stay small
_RIDGE = 1e-6
LINEAR_TERMS = ("exchange", "biquadratic", "longitudinal")


@dataclass
class _Lengths:
    """Moments of one pass through the training set."""

    total: torch.Tensor  # (types,) sum of |m|, µB
    count: torch.Tensor  # (types,) atoms with a moment


@dataclass
class _Sums:
    """Accumulated over the training set."""

    field_matrix: torch.Tensor
    field_vector: torch.Tensor
    energy_features: list[torch.Tensor] = field(default_factory=list)  # (columns,)
    lattice_features: list[torch.Tensor] = field(default_factory=list)  # (pair columns)
    energies: list[float] = field(default_factory=list)
    counts: list[torch.Tensor] = field(default_factory=list)  # (types,)
    label_sets: list[int] = field(default_factory=list)
    num_labels: int = 0
    num_edges: int = 0
    num_magnetic_edges: int = 0
    num_magnetic_atoms: int = 0
    force_square: float = 0.0
    num_force_components: int = 0


class SpinStatistics:
    """Statistics manager for nequip's data module.

    Its results are interpolated in the configuration, for example
    ``exchange_baseline: ${training_data_stats:exchange_baseline}``:

    ``num_neighbors_mean`` of all atoms; ``num_magnetic_neighbors_mean``, magnetic
    neighbours of a magnetic atom; ``forces_rms`` eV/Å; ``moments`` (species -> mean
    length, µB); ``exchange_baseline`` and ``biquadratic_baseline`` (pair ->
    coefficients of J(r) and K(r), eV), ``longitudinal_baseline`` (species -> a, b, c,
    eV), each if the term is asked for; ``magnetic_force_scale`` (per data set: species
    -> label / derivative); ``per_atom_energy_mean`` eV, without the energy of the
    fitted terms.

    Args:
        type_names: as in the model.
        magnetic_types: as in the model.
        r_max: as in the model, Å.
        terms: what to fit: any of ``exchange``, ``biquadratic``, ``longitudinal``; the
            others of a model's terms are passed over, so that one list serves both.
        moment_mode: as in the model; with ``input`` the terms see m over the mean
            length of the species, and whole magnetic forces are fitted.
        per_edge_type_cutoff: as in the model.
        num_bessels: as in the model.
        polynomial_cutoff_p: as in the model.
        dataloader_kwargs: of the loader that reads the training set.
    """

    def __init__(
        self,
        type_names: list[str],
        magnetic_types: list[str],
        r_max: float,
        terms: Sequence[str],
        moment_mode: str = "fixed",
        per_edge_type_cutoff: dict[str, Any] | None = None,
        num_bessels: int = 8,
        polynomial_cutoff_p: float = 6,
        dataloader_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Set up the basis and the columns of the fit."""
        self.dataloader_kwargs = dataloader_kwargs or {}
        self.type_names = list(type_names)
        self.magnetic_types = list(magnetic_types)
        self.num_bessels = num_bessels
        self.terms = [name for name in LINEAR_TERMS if name in terms]
        self.directions_only = moment_mode != "input"
        self._normalise = EdgeLengthNormalizer(
            r_max=r_max,
            type_names=self.type_names,
            per_edge_type_cutoff=per_edge_type_cutoff,
        )
        self._basis = BesselBasis(num_bessels, polynomial_cutoff_p)
        self._is_magnetic = torch.tensor(
            [name in self.magnetic_types for name in self.type_names]
        )
        self._pairs, self._pair_of = _pairs(self.type_names, self.magnetic_types)
        self._all_pairs, self._any_pair_of = _pairs(self.type_names, self.type_names)
        sizes = {
            "exchange": len(self._pairs) * num_bessels,
            "biquadratic": len(self._pairs) * num_bessels,
            "longitudinal": len(self.magnetic_types) * ORDERS,
        }
        self._sizes = [sizes[name] for name in self.terms]

    def get_statistics(
        self, data_source: Iterable[AtomicDataDict.Type]
    ) -> dict[str, Any]:
        """Read the training set twice, for lengths and then for the rest."""
        moments = self._moments(data_source)
        reference = torch.tensor(
            [moments.get(name, 1.0) for name in self.type_names], dtype=torch.float64
        )
        columns = sum(self._sizes)
        sums = _Sums(
            field_matrix=torch.zeros(columns, columns, dtype=torch.float64),
            field_vector=torch.zeros(columns, dtype=torch.float64),
        )
        for data in data_source:
            self._add(data, reference, sums)
        return self._results(sums, moments)

    def _moments(self, data_source: Iterable[AtomicDataDict.Type]) -> dict[str, float]:
        lengths = _Lengths(*torch.zeros(2, len(self.type_names), dtype=torch.float64))
        for data in data_source:
            types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
            length = data[fields.MAGNETIC_MOMENTS_KEY].norm(dim=-1)
            there = length > 0
            lengths.total.index_add_(0, types[there], length[there])
            lengths.count.index_add_(0, types[there], there[there].double())
        moments = {}
        for name in self.magnetic_types:
            index = self.type_names.index(name)
            if lengths.count[index] == 0:
                raise SpinffError(
                    f"SpinStatistics: no atom of magnetic type {name} has a moment in "
                    "the training set, expected some with |m| > 0; check the data or "
                    "magnetic_types"
                )
            moments[name] = float(lengths.total[index] / lengths.count[index])
        return moments

    # === accumulation ===

    def _add(
        self, data: AtomicDataDict.Type, reference: torch.Tensor, sums: _Sums
    ) -> None:
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        edges = magnetic_edge_indices(edge_index, types, self._is_magnetic)
        sums.num_edges += edge_index.size(1)
        sums.num_magnetic_edges += len(edges)
        sums.num_magnetic_atoms += int(self._is_magnetic[types].sum())
        if AtomicDataDict.FORCE_KEY in data:
            forces = data[AtomicDataDict.FORCE_KEY]
            forces = forces[~torch.isnan(forces)]
            sums.force_square += float(forces.square().sum())
            sums.num_force_components += forces.numel()

        moments = data[fields.MAGNETIC_MOMENTS_KEY]
        length = moments.norm(dim=-1, keepdim=True)
        if self.directions_only:
            # an atom without a moment has no direction
            scale = torch.where(length > 0, length, torch.inf)
        else:
            scale = reference[types].unsqueeze(-1)
        spins = moments / scale
        energy, gradient = self._features(data, spins, edges)
        self._add_field(data, spins, gradient / scale.unsqueeze(-1), sums)
        self._add_energies(data, energy, sums)

    def _features(
        self, data: AtomicDataDict.Type, spins: torch.Tensor, edges: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """E_k (frames, columns) and ∂E_k/∂s (N, columns, 3) of each linear term."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        batch = data[AtomicDataDict.BATCH_KEY]
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        centre, neighbour = edge_index[0][edges], edge_index[1][edges]
        pair = self._pair_of[types[centre], types[neighbour]]
        basis = self._pair_columns(data, edges, pair, len(self._pairs))
        cosine = (spins[centre] * spins[neighbour]).sum(-1, keepdim=True)
        x = spins.square().sum(-1, keepdim=True)  # (N, 1) s²
        energies, gradients = [], []
        for name in self.terms:
            if name == "longitudinal":
                power = torch.cat([x, x**2, x**3], dim=1)
                slope = torch.cat([2 * torch.ones_like(x), 4 * x, 6 * x**2], dim=1)
                owner = self._species_columns(types)
                of_atom = (owner.unsqueeze(-1) * power.unsqueeze(1)).flatten(1)
                slope = (owner.unsqueeze(-1) * slope.unsqueeze(1)).flatten(1)
                gradients.append(slope.unsqueeze(-1) * spins.unsqueeze(1))
            else:
                # E = ½ Σ_ij B cⁿ, c = s_i·s_j; both directions give n B cⁿ⁻¹ s_j
                first = name == "exchange"
                of_edge = 0.5 * basis * (cosine if first else cosine**2)
                weight = basis if first else 2 * basis * cosine
                of_atom = scatter(of_edge, centre, dim=0, dim_size=len(types))
                per_edge = weight.unsqueeze(-1) * spins[neighbour].unsqueeze(1)
                gradients.append(scatter(per_edge, centre, dim=0, dim_size=len(types)))
            energies.append(
                scatter(of_atom, batch, dim=0, dim_size=AtomicDataDict.num_frames(data))
            )
        if not self.terms:
            return spins.new_zeros(AtomicDataDict.num_frames(data), 0), spins.new_zeros(
                len(types), 0, 3
            )
        return torch.cat(energies, dim=1), torch.cat(gradients, dim=1)

    def _pair_columns(
        self,
        data: AtomicDataDict.Type,
        edges: torch.Tensor,
        pair: torch.Tensor,
        num_pairs: int,
    ) -> torch.Tensor:
        """B_n(r) in the columns of the edge's pair of types, (M, pairs · n)."""
        x = self._normalise(data.copy())[AtomicDataDict.NORM_LENGTH_KEY][edges]
        onehot = torch.nn.functional.one_hot(pair, num_pairs).double()
        return (onehot.unsqueeze(-1) * self._basis(x).unsqueeze(1)).flatten(1)

    def _species_columns(self, types: torch.Tensor) -> torch.Tensor:
        """(N, magnetic types) one for the atom's own."""
        indices = torch.tensor([self.type_names.index(n) for n in self.magnetic_types])
        return (types.unsqueeze(1) == indices).double()

    def _add_field(
        self,
        data: AtomicDataDict.Type,
        spins: torch.Tensor,
        gradient: torch.Tensor,
        sums: _Sums,
    ) -> None:
        """Normal equations of the labels, which are −∂E/∂m up to their scale."""
        key = (
            fields.MAGNETIC_FORCE_LABELS_KEY
            if self.directions_only
            else fields.MAGNETIC_FORCES_KEY
        )
        if key not in data or not self.terms:
            return
        labels = data[key]
        magnetic = self._is_magnetic[data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)]
        rows = ~torch.isnan(labels).any(-1) & magnetic
        if self.directions_only:
            rows &= spins.square().sum(-1) > 0
        force = -gradient[rows]  # (n, columns, 3)
        if self.directions_only:
            e = spins[rows].unsqueeze(1)
            force = force - (force * e).sum(-1, keepdim=True) * e
        matrix = force.transpose(1, 2).reshape(-1, force.size(1))
        sums.field_matrix += matrix.T @ matrix
        sums.field_vector += matrix.T @ labels[rows].reshape(-1)
        sums.num_labels += int(rows.sum())

    def _add_energies(
        self, data: AtomicDataDict.Type, features: torch.Tensor, sums: _Sums
    ) -> None:
        batch = data[AtomicDataDict.BATCH_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        energies = data[AtomicDataDict.TOTAL_ENERGY_KEY].view(-1)
        sets = data.get(fields.LABEL_SET_KEY)
        lattice = self._lattice_features(data)
        for frame in range(AtomicDataDict.num_frames(data)):
            if torch.isnan(energies[frame]):
                continue
            sums.energies.append(float(energies[frame]))
            sums.energy_features.append(features[frame])
            sums.lattice_features.append(lattice[frame])
            sums.counts.append(
                torch.bincount(types[batch == frame], minlength=len(self.type_names))
            )
            sums.label_sets.append(0 if sets is None else int(sets.view(-1)[frame]))

    def _lattice_features(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """½ Σ_ij B_n(r_ij) of each pair of types, (frames, columns)."""
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        centre, neighbour = data[AtomicDataDict.EDGE_INDEX_KEY]
        pair = self._any_pair_of[types[centre], types[neighbour]]
        edges = torch.arange(len(centre))
        columns = self._pair_columns(data, edges, pair, len(self._all_pairs))
        return scatter(
            0.5 * columns,
            data[AtomicDataDict.BATCH_KEY][centre],
            dim=0,
            dim_size=AtomicDataDict.num_frames(data),
        )

    # === results ===

    def _results(self, sums: _Sums, moments: dict[str, float]) -> dict[str, Any]:
        if not sums.energies:
            raise SpinffError(
                "SpinStatistics: no energies in the training set, got 0 labelled "
                "frames, expected 1 or more; check the energy key of the data"
            )
        num_atoms = torch.stack(sums.counts).sum(1).double()
        energies = torch.tensor(sums.energies, dtype=torch.float64)
        features = torch.stack(sums.energy_features)
        counts = torch.stack(sums.counts).double()
        ratio = 1.0
        if not self.terms:
            coefficients = features.new_zeros(0)
        elif sums.num_labels > 0:
            label_fit = _ridge_solve(sums.field_matrix, sums.field_vector)
            ratio = _energy_over_fit(energies, features @ label_fit, counts)
            coefficients = ratio * label_fit
        else:
            lattice = torch.stack(sums.lattice_features)
            coefficients = _fit_energies(energies, features, counts, lattice)
        rest = (energies - features @ coefficients) / num_atoms
        num_sets = max(sums.label_sets) + 1
        results = {
            "num_neighbors_mean": sums.num_edges / float(num_atoms.sum()),
            "num_magnetic_neighbors_mean": sums.num_magnetic_edges
            / max(sums.num_magnetic_atoms, 1),
            "per_atom_energy_mean": float(rest.mean()),
            "forces_rms": (sums.force_square / max(sums.num_force_components, 1))
            ** 0.5,
            "moments": moments,
            "magnetic_force_scale": [
                dict.fromkeys(self.magnetic_types, 1.0 / ratio) for _ in range(num_sets)
            ],
        }
        for name, part in zip(self.terms, coefficients.split(self._sizes), strict=True):
            results[f"{name}_baseline"] = self._named(name, part)
        for name, value in results.items():
            _log.info("training set: %s = %s", name, value)
        return results

    def _named(self, term: str, coefficients: torch.Tensor) -> dict[str, list[float]]:
        """Coefficients of one term by species, or by pair of species."""
        keys = (
            self.magnetic_types
            if term == "longitudinal"
            else [f"{a}-{b}" for a, b in self._pairs]
        )
        rows = coefficients.view(len(keys), -1).tolist()
        return dict(zip(keys, rows, strict=True))


def _pairs(
    type_names: list[str], members: list[str]
) -> tuple[list[tuple[str, str]], torch.Tensor]:
    """Unordered pairs of members, and the number of the pair (types, types)."""
    pairs = [(a, b) for i, a in enumerate(members) for b in members[i:]]
    table = torch.zeros(len(type_names), len(type_names), dtype=torch.long)
    for number, (a, b) in enumerate(pairs):
        ia, ib = type_names.index(a), type_names.index(b)
        table[ia, ib] = table[ib, ia] = number
    return pairs, table


def _ridge_solve(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    ridge = _RIDGE * matrix.diagonal().mean()
    eye = torch.eye(matrix.size(0), dtype=matrix.dtype)
    return torch.linalg.solve(matrix + ridge * eye, vector)


def _energy_over_fit(
    energies: torch.Tensor, fitted: torch.Tensor, counts: torch.Tensor
) -> float:
    """Slope of the energies against the exchange energy fitted to the labels.

    The labels determine J up to the label scale; the energies determine J itself.
    """
    # what the composition explains is taken out of both
    basis = counts @ torch.linalg.pinv(counts)
    y, x = energies - basis @ energies, fitted - basis @ fitted
    slope = float(x @ y / (x @ x).clamp_min(torch.finfo(x.dtype).tiny))
    free = max(len(energies) - counts.size(1) - 1, 1)
    error = float(((y - slope * x).square().sum() / free / (x @ x)).sqrt())
    if not (slope > 0 and error < _LARGEST_ERROR_OF_SCALE * slope):
        _log.warning(
            "SpinStatistics: energies do not determine the label scale (slope %.3g ± "
            "%.2g); it starts at 1",
            slope,
            error,
        )
        return 1.0
    return slope


def _fit_energies(
    energies: torch.Tensor,
    features: torch.Tensor,
    counts: torch.Tensor,
    lattice: torch.Tensor,
) -> torch.Tensor:
    """Coefficients from energies alone, where no magnetic force is labelled.

    A pair potential of every pair of types is fitted beside them, and dropped: what the
    lattice does must not pass for exchange.
    """
    # composition is taken out first: a ridge must not shrink atomic energies
    basis = counts @ torch.linalg.pinv(counts)
    columns = torch.cat([features, lattice], dim=1)
    columns = columns - basis @ columns
    rest = energies - basis @ energies
    # columns of one size, so that the ridge treats all alike
    size = columns.norm(dim=0).clamp_min(torch.finfo(columns.dtype).tiny)
    scaled = columns / size
    solution = _ridge_solve(scaled.T @ scaled, scaled.T @ rest) / size
    return solution[: features.size(1)]
