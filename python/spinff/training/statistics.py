"""What the training set tells the model before training.

Besides the usual statistics (neighbours, energies, forces) this fits linear couplings
J(r), K(r) to the labels: with J(r) = Σ_n c_n B_n(r) the energy and the field are linear
in c, and the fit is a least-squares problem.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
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

_log = logging.getLogger(__name__)

# above this standard error the energies do not determine the label scale (too few
# frames, or the lattice dominates them), and it starts at 1
_LARGEST_ERROR_OF_SCALE = 0.1
# relative to the mean diagonal: basis functions no pair distance samples stay small
_RIDGE = 1e-6


@dataclass
class _Sums:
    """Accumulated over the training set."""

    field_matrix: torch.Tensor
    field_vector: torch.Tensor
    energy_features: list[torch.Tensor] = field(default_factory=list)  # (columns,)
    energies: list[float] = field(default_factory=list)
    counts: list[torch.Tensor] = field(default_factory=list)  # (types,)
    label_sets: list[int] = field(default_factory=list)
    num_labels: int = 0
    num_edges: int = 0
    num_magnetic_edges: int = 0
    num_magnetic_atoms: int = 0
    force_square: float = 0.0
    num_force_components: int = 0
    moment_sum: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    moment_count: torch.Tensor = field(default_factory=lambda: torch.zeros(0))


class SpinStatistics:
    """Statistics manager for nequip's data module.

    Its results are interpolated in the configuration, for example
    ``exchange_baseline: ${training_data_stats:exchange_baseline}``:

    ``num_neighbors_mean`` of all atoms; ``num_magnetic_neighbors_mean``, magnetic
    neighbours of a magnetic atom; ``forces_rms`` eV/Å; ``moments`` (species -> mean
    length, µB); ``exchange_baseline`` and ``biquadratic_baseline`` (pair ->
    coefficients of J(r) and K(r), eV; the latter only if asked for);
    ``magnetic_force_scale`` (per data set: species -> label / derivative);
    ``per_atom_energy_mean`` eV, without the
    energy of the fitted exchange.

    Args:
        type_names: as in the model.
        magnetic_types: as in the model.
        r_max: as in the model, Å.
        biquadratic: fit K(r) as well as J(r).
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
        biquadratic: bool,
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
        self.biquadratic = biquadratic
        self._normalise = EdgeLengthNormalizer(
            r_max=r_max,
            type_names=self.type_names,
            per_edge_type_cutoff=per_edge_type_cutoff,
        )
        self._basis = BesselBasis(num_bessels, polynomial_cutoff_p)
        self._is_magnetic = torch.tensor(
            [name in self.magnetic_types for name in self.type_names]
        )
        self._pairs = [
            (a, b)
            for i, a in enumerate(self.magnetic_types)
            for b in self.magnetic_types[i:]
        ]
        # (type, type) -> number of the pair
        self._pair_of = torch.zeros(len(type_names), len(type_names), dtype=torch.long)
        for number, (a, b) in enumerate(self._pairs):
            ia, ib = self.type_names.index(a), self.type_names.index(b)
            self._pair_of[ia, ib] = self._pair_of[ib, ia] = number

    def get_statistics(
        self, data_source: Iterable[AtomicDataDict.Type]
    ) -> dict[str, Any]:
        """Read the training set once and return the statistics."""
        columns = len(self._pairs) * self.num_bessels * (2 if self.biquadratic else 1)
        sums = _Sums(
            field_matrix=torch.zeros(columns, columns, dtype=torch.float64),
            field_vector=torch.zeros(columns, dtype=torch.float64),
            moment_sum=torch.zeros(len(self.type_names), dtype=torch.float64),
            moment_count=torch.zeros(len(self.type_names), dtype=torch.float64),
        )
        for data in data_source:
            self._add(data, sums)
        return self._results(sums)

    # === accumulation ===

    def _add(self, data: AtomicDataDict.Type, sums: _Sums) -> None:
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        moments = data[fields.MAGNETIC_MOMENTS_KEY]
        length = moments.norm(dim=-1)
        sums.num_edges += data[AtomicDataDict.EDGE_INDEX_KEY].size(1)
        sums.num_magnetic_atoms += int(self._is_magnetic[types].sum())
        magnetic = self._is_magnetic[types] & (length > 0)
        sums.moment_sum.index_add_(0, types[magnetic], length[magnetic])
        sums.moment_count.index_add_(
            0, types[magnetic], (length[magnetic] > 0).double()
        )
        if AtomicDataDict.FORCE_KEY in data:
            forces = data[AtomicDataDict.FORCE_KEY]
            forces = forces[~torch.isnan(forces)]
            sums.force_square += float(forces.square().sum())
            sums.num_force_components += forces.numel()

        directions = torch.where(
            length.unsqueeze(-1) > 0, moments / length.unsqueeze(-1), 0.0
        )
        edges = magnetic_edge_indices(
            data[AtomicDataDict.EDGE_INDEX_KEY], types, self._is_magnetic
        )
        sums.num_magnetic_edges += len(edges)
        neighbours, energy_features = self._features(data, directions, edges)
        self._add_field(data, directions, length, neighbours, sums)
        self._add_energies(data, energy_features, sums)

    def _features(
        self,
        data: AtomicDataDict.Type,
        directions: torch.Tensor,
        edges: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over neighbours that multiply each coefficient, of J and then of K.

        Returns:
            ∂E/∂e (N, columns, 3): Σ_j B_n(r_ij) e_j and Σ_j 2 B_n c e_j, c = e_i·e_j;
            energies (frames, columns): ½ Σ_ij B_n c and ½ Σ_ij B_n c².
        """
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        centre, neighbour = edge_index[0][edges], edge_index[1][edges]
        x = self._normalise(data.copy())[AtomicDataDict.NORM_LENGTH_KEY][edges]
        basis = self._basis(x)  # (M, n)
        pair = self._pair_of[types[centre], types[neighbour]]
        onehot = torch.nn.functional.one_hot(pair, len(self._pairs)).double()
        columns = (onehot.unsqueeze(-1) * basis.unsqueeze(1)).flatten(1)  # (M, columns)
        cosine = (directions[centre] * directions[neighbour]).sum(-1, keepdim=True)
        field_columns, energy_columns = columns, 0.5 * columns * cosine
        if self.biquadratic:
            field_columns = torch.cat([columns, 2 * columns * cosine], dim=1)
            energy_columns = torch.cat([energy_columns, energy_columns * cosine], dim=1)
        per_edge = field_columns.unsqueeze(-1) * directions[neighbour].unsqueeze(1)
        neighbours = scatter(per_edge, centre, dim=0, dim_size=directions.size(0))
        energy = scatter(
            energy_columns,
            data[AtomicDataDict.BATCH_KEY][centre],
            dim=0,
            dim_size=AtomicDataDict.num_frames(data),
        )
        return neighbours, energy

    def _add_field(
        self,
        data: AtomicDataDict.Type,
        directions: torch.Tensor,
        length: torch.Tensor,
        neighbours: torch.Tensor,
        sums: _Sums,
    ) -> None:
        """Normal equations of the labels: f = −(1 − e eᵀ) ∂E/∂e / |m|, linear in c."""
        if fields.MAGNETIC_FORCE_LABELS_KEY not in data:
            return
        labels = data[fields.MAGNETIC_FORCE_LABELS_KEY]
        rows = ~torch.isnan(labels).any(-1) & (length > 0)
        e = directions[rows].unsqueeze(1)
        field_columns = neighbours[rows]
        along = (field_columns * e).sum(-1, keepdim=True)
        transverse = -(field_columns - along * e) / length[rows].view(-1, 1, 1)
        matrix = transverse.transpose(1, 2).reshape(-1, transverse.size(1))
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
        for frame in range(AtomicDataDict.num_frames(data)):
            if torch.isnan(energies[frame]):
                continue
            sums.energies.append(float(energies[frame]))
            sums.energy_features.append(features[frame])
            sums.counts.append(
                torch.bincount(types[batch == frame], minlength=len(self.type_names))
            )
            sums.label_sets.append(0 if sets is None else int(sets.view(-1)[frame]))

    # === results ===

    def _results(self, sums: _Sums) -> dict[str, Any]:
        if not sums.energies:
            raise SpinffError(
                "SpinStatistics: no energies in the training set, got 0 labelled "
                "frames, expected 1 or more; check the energy key of the data"
            )
        num_atoms = torch.stack(sums.counts).sum(1).double()
        energies = torch.tensor(sums.energies, dtype=torch.float64)
        features = torch.stack(sums.energy_features)
        counts = torch.stack(sums.counts).double()
        if sums.num_labels > 0:
            label_fit = _ridge_solve(sums.field_matrix, sums.field_vector)
            ratio = _energy_over_fit(energies, features @ label_fit, counts)
            coefficients = ratio * label_fit
        else:
            ratio = 1.0
            coefficients = _fit_energies(energies, features, counts)
        scale = 1.0 / ratio
        rest = (energies - features @ coefficients) / num_atoms
        num_sets = max(sums.label_sets) + 1
        results = {
            "num_neighbors_mean": sums.num_edges / float(num_atoms.sum()),
            "num_magnetic_neighbors_mean": sums.num_magnetic_edges
            / max(sums.num_magnetic_atoms, 1),
            "per_atom_energy_mean": float(rest.mean()),
            "forces_rms": (sums.force_square / max(sums.num_force_components, 1))
            ** 0.5,
            "moments": self._moments(sums),
            "exchange_baseline": self._by_pair(coefficients, 0),
            "magnetic_force_scale": [
                {name: scale for name in self.magnetic_types} for _ in range(num_sets)
            ],
        }
        if self.biquadratic:
            results["biquadratic_baseline"] = self._by_pair(coefficients, 1)
        for name, value in results.items():
            _log.info("training set: %s = %s", name, value)
        return results

    def _by_pair(self, coefficients: torch.Tensor, term: int) -> dict[str, list[float]]:
        """Coefficients of one term (0: J, 1: K) for each pair of types."""
        table = coefficients.view(-1, len(self._pairs), self.num_bessels)[term]
        return {
            f"{a}-{b}": row.tolist()
            for (a, b), row in zip(self._pairs, table, strict=True)
        }

    def _moments(self, sums: _Sums) -> dict[str, float]:
        moments = {}
        for name in self.magnetic_types:
            index = self.type_names.index(name)
            if sums.moment_count[index] == 0:
                raise SpinffError(
                    f"SpinStatistics: no atom of magnetic type {name} has a moment in "
                    "the training set, expected some with |m| > 0; check the data or "
                    "magnetic_types"
                )
            moments[name] = float(sums.moment_sum[index] / sums.moment_count[index])
        return moments


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
    energies: torch.Tensor, features: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Coefficients from energies alone, where no magnetic force is labelled."""
    projected = torch.cat([counts, features], dim=1)
    matrix = projected.T @ projected
    solution = _ridge_solve(matrix, projected.T @ (energies))
    return solution[counts.size(1) :]
