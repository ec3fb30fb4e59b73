"""What the training set tells the model before training.

Besides the usual statistics (neighbours, energies, forces) this fits a linear model
(``spinff.training.linear_model``) to the labels: J(r), K(r), a pair potential, a three-
body potential, and the Landau coefficients of moments of any length. They are the
baselines that the network starts from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from nequip.data import AtomicDataDict

from spinff import fields
from spinff.errors import SpinffError
from spinff.nn import magnetic_edge_indices
from spinff.training.linear_model import SPIN_COLUMNS, Columns, LinearModel

_log = logging.getLogger(__name__)

# above this standard error the energies do not determine the label scale (too few
# frames, or the lattice dominates them), and it starts at 1
_LARGEST_ERROR_OF_SCALE = 0.1
# relative to the mean diagonal: basis functions no pair distance samples stay small
_RIDGE = 1e-6
# passes of the fit, in each of which energies and forces weigh by what the one before
# left of them
_REWEIGHTINGS = 3


@dataclass
class _Normal:
    """Normal equations of one kind of label."""

    matrix: torch.Tensor  # (C, C)
    vector: torch.Tensor  # (C,)
    square: float = 0.0  # Σ label²
    count: int = 0

    @classmethod
    def of(cls, size: int) -> _Normal:
        """Nothing yet."""
        return cls(
            torch.zeros(size, size, dtype=torch.float64),
            torch.zeros(size, dtype=torch.float64),
        )

    def add(self, matrix: torch.Tensor, label: torch.Tensor) -> None:
        """Add rows (n, C) and their labels (n,)."""
        self.matrix += matrix.T @ matrix
        self.vector += matrix.T @ label
        self.square += float(label.square().sum())
        self.count += len(label)

    def residual(self, coefficients: torch.Tensor) -> float:
        """Mean square of what the coefficients leave."""
        left = self.square - 2 * self.vector @ coefficients
        left = left + coefficients @ self.matrix @ coefficients
        return max(float(left), 1e-12 * self.square) / max(self.count, 1)


@dataclass
class _Sums:
    """Accumulated over the training set."""

    magnetic: _Normal  # magnetic forces, spin columns
    forces: _Normal  # forces, all columns
    columns: list[torch.Tensor] = field(default_factory=list)  # of a frame's energy
    energies: list[float] = field(default_factory=list)
    counts: list[torch.Tensor] = field(default_factory=list)  # atoms of each type
    label_sets: list[int] = field(default_factory=list)
    num_edges: int = 0
    num_magnetic_edges: int = 0
    num_magnetic_atoms: int = 0


class SpinStatistics:
    """Statistics manager for nequip's data module.

    Its results are interpolated in the configuration, for example
    ``exchange_baseline: ${training_data_stats:exchange_baseline}``:

    ``num_neighbors_mean`` of all atoms; ``num_magnetic_neighbors_mean``, magnetic
    neighbours of a magnetic atom; ``forces_rms`` eV/Å; ``moments`` (species -> mean
    length, µB); ``exchange_baseline`` and ``biquadratic_baseline`` (pair ->
    coefficients of J(r) and K(r), eV), ``longitudinal_baseline`` (species -> a, b, c,
    eV), each empty unless the term is asked for; ``lattice_baseline``, the coefficients
    of the potentials under the network's lattice energy, eV: ``pair`` (pair of any
    species -> V(r)) and, if asked for, ``three_body`` (species in the centre -> c);
    ``magnetic_force_scale`` (per data set: species -> label / derivative);
    ``per_atom_energy_mean`` eV without the terms of the spins, and
    ``per_atom_energy_shift`` eV without the lattice baseline either.

    Magnetic forces, where there are any, determine the terms of the spins, and energies
    their scale; otherwise energies and forces determine all.

    Args:
        type_names: as in the model.
        magnetic_types: as in the model.
        r_max: as in the model, Å.
        terms: as in the model; of these ``exchange``, ``biquadratic`` and
            ``longitudinal`` are fitted.
        moment_mode: as in the model; with ``input`` the terms see m over the mean
            length of the species, and whole magnetic forces are fitted.
        per_edge_type_cutoff: as in the model.
        num_bessels: as in the model.
        num_three_body_bessels: radial functions of the three-body potential; 0: none.
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
        num_three_body_bessels: int = 0,
        polynomial_cutoff_p: float = 6,
        dataloader_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Set up the linear model."""
        self.dataloader_kwargs = dataloader_kwargs or {}
        self.type_names = list(type_names)
        self.magnetic_types = list(magnetic_types)
        self.directions_only = moment_mode != "input"
        self.model = LinearModel(
            self.type_names,
            self.magnetic_types,
            terms,
            r_max,
            per_edge_type_cutoff,
            num_bessels,
            num_three_body_bessels,
            polynomial_cutoff_p,
        )

    def get_statistics(
        self, data_source: Iterable[AtomicDataDict.Type]
    ) -> dict[str, Any]:
        """Read the training set twice, for lengths and then for the rest."""
        moments = self._moments(data_source)
        reference = torch.tensor(
            [moments.get(name, 1.0) for name in self.type_names], dtype=torch.float64
        )
        sums = _Sums(
            magnetic=_Normal.of(self.model.num_spin_columns),
            forces=_Normal.of(sum(self.model.sizes)),
        )
        for data in data_source:
            self._add(data, reference, sums)
        return self._results(sums, moments)

    def _moments(self, data_source: Iterable[AtomicDataDict.Type]) -> dict[str, float]:
        """Mean length of the moments of each magnetic species, µB."""
        total, count = torch.zeros(2, len(self.type_names), dtype=torch.float64)
        for data in data_source:
            types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
            length = data[fields.MAGNETIC_MOMENTS_KEY].norm(dim=-1)
            there = length > 0
            total.index_add_(0, types[there], length[there])
            count.index_add_(0, types[there], there[there].double())
        moments = {}
        for name in self.magnetic_types:
            index = self.type_names.index(name)
            if count[index] == 0:
                raise SpinffError(
                    f"SpinStatistics: no atom of magnetic type {name} has a moment in "
                    "the training set, expected some with |m| > 0; check the data or "
                    "magnetic_types"
                )
            moments[name] = float(total[index] / count[index])
        return moments

    # === accumulation ===

    def _add(
        self, data: AtomicDataDict.Type, reference: torch.Tensor, sums: _Sums
    ) -> None:
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        is_magnetic = self.model.is_magnetic
        sums.num_edges += edge_index.size(1)
        sums.num_magnetic_edges += len(
            magnetic_edge_indices(edge_index, types, is_magnetic)
        )
        sums.num_magnetic_atoms += int(is_magnetic[types].sum())

        moments = data[fields.MAGNETIC_MOMENTS_KEY]
        length = moments.norm(dim=-1, keepdim=True)
        if self.directions_only:
            # an atom without a moment has no direction
            scale = torch.where(length > 0, length, torch.inf)
        else:
            scale = reference[types].unsqueeze(-1)
        spins = moments / scale
        columns = self.model.columns(data, spins)
        self._add_magnetic_forces(data, spins, scale, columns, sums)
        self._add_forces(data, columns, sums)
        self._add_energies(data, columns, sums)

    def _add_magnetic_forces(
        self,
        data: AtomicDataDict.Type,
        spins: torch.Tensor,
        scale: torch.Tensor,
        columns: Columns,
        sums: _Sums,
    ) -> None:
        """The labels are −∂E/∂m up to their scale."""
        key = (
            fields.MAGNETIC_FORCE_LABELS_KEY
            if self.directions_only
            else fields.MAGNETIC_FORCES_KEY
        )
        if key not in data or self.model.num_spin_columns == 0:
            return
        magnetic = self.model.is_magnetic[data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)]
        rows = ~torch.isnan(data[key]).any(-1) & magnetic
        if self.directions_only:
            rows &= spins.square().sum(-1) > 0
        gradient = columns.spin_gradient[rows, : self.model.num_spin_columns]
        force = -gradient / scale[rows].unsqueeze(-1)  # (n, columns, 3)
        if self.directions_only:
            e = spins[rows].unsqueeze(1)
            force = force - (force * e).sum(-1, keepdim=True) * e
        matrix = force.transpose(1, 2).reshape(-1, force.size(1))
        sums.magnetic.add(matrix, data[key][rows].reshape(-1))

    def _add_forces(
        self, data: AtomicDataDict.Type, columns: Columns, sums: _Sums
    ) -> None:
        if AtomicDataDict.FORCE_KEY not in data:
            return
        labels = data[AtomicDataDict.FORCE_KEY]
        rows = ~torch.isnan(labels).any(-1)
        force = columns.forces[rows]
        matrix = force.transpose(1, 2).reshape(-1, force.size(1))
        sums.forces.add(matrix, labels[rows].reshape(-1))

    def _add_energies(
        self, data: AtomicDataDict.Type, columns: Columns, sums: _Sums
    ) -> None:
        batch = data[AtomicDataDict.BATCH_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        energies = data[AtomicDataDict.TOTAL_ENERGY_KEY].view(-1)
        sets = data.get(fields.LABEL_SET_KEY)
        for frame in range(AtomicDataDict.num_frames(data)):
            if torch.isnan(energies[frame]):
                continue
            sums.energies.append(float(energies[frame]))
            sums.columns.append(columns.energy[frame])
            sums.counts.append(
                torch.bincount(types[batch == frame], minlength=len(self.type_names))
            )
            sums.label_sets.append(0 if sets is None else int(sets.view(-1)[frame]))

    # === results ===

    def _results(self, sums: _Sums, moments: dict[str, float]) -> dict[str, Any]:
        if not sums.energies:
            raise SpinffError(
                "SpinStatistics: no energies in the training set, got 0 labelled "
                "frames, expected 1 or more; check the energy key of the data"
            )
        counts = torch.stack(sums.counts).double()
        energies = torch.tensor(sums.energies, dtype=torch.float64)
        columns = torch.stack(sums.columns)
        # what the composition explains is taken out
        composition = counts @ torch.linalg.pinv(counts)
        y, x = energies - composition @ energies, columns - composition @ columns
        spin, ratio = self._spin_coefficients(sums.magnetic, y, x)
        coefficients = _fit(y, x, sums.forces, spin)

        num_atoms = counts.sum(1)
        of_spins = columns[:, : self.model.num_spin_columns]
        rest = energies - of_spins @ coefficients[: self.model.num_spin_columns]
        shift = (energies - columns @ coefficients) / num_atoms
        num_sets = max(sums.label_sets) + 1
        forces_mean_square = sums.forces.square / max(sums.forces.count, 1)
        results = {
            "num_neighbors_mean": sums.num_edges / float(num_atoms.sum()),
            "num_magnetic_neighbors_mean": sums.num_magnetic_edges
            / max(sums.num_magnetic_atoms, 1),
            "per_atom_energy_mean": float((rest / num_atoms).mean()),
            "per_atom_energy_shift": float(shift.mean()),
            "forces_rms": forces_mean_square**0.5,
            "moments": moments,
            "magnetic_force_scale": [
                dict.fromkeys(self.magnetic_types, 1.0 / ratio) for _ in range(num_sets)
            ],
            # terms that are not asked for have no baseline
            "exchange_baseline": {},
            "biquadratic_baseline": {},
            "longitudinal_baseline": {},
        }
        parts = coefficients.split(self.model.sizes)
        named = {
            kind: self.model.named(kind, part)
            for kind, part in zip(self.model.kinds, parts, strict=True)
        }
        for kind in self.model.kinds:
            if kind in SPIN_COLUMNS:
                results[f"{kind}_baseline"] = named.pop(kind)
        results["lattice_baseline"] = named
        for name, value in results.items():
            _log.info("training set: %s = %s", name, value)
        _log.info(
            "training set: the linear model leaves %.4g meV/atom and %.4g meV/Å (rms)",
            1e3 * float(((y - x @ coefficients) / num_atoms).square().mean().sqrt()),
            1e3 * sums.forces.residual(coefficients) ** 0.5,
        )
        return results

    def _spin_coefficients(
        self, magnetic: _Normal, y: torch.Tensor, x: torch.Tensor
    ) -> tuple[torch.Tensor | None, float]:
        """Spin columns from magnetic forces, scaled by energies; None without labels.

        Also the scale energy / label.
        """
        if magnetic.count == 0:
            return None, 1.0
        from_labels = _ridge_solve(magnetic.matrix, magnetic.vector)
        fitted = x[:, : self.model.num_spin_columns] @ from_labels
        ratio = _energy_over_fit(y, fitted)
        return ratio * from_labels, ratio


def _fit(
    y: torch.Tensor, x: torch.Tensor, forces: _Normal, spin: torch.Tensor | None
) -> torch.Tensor:
    """Coefficients (C,) from energies and forces, the first of them given or free.

    Energies and forces count alike, and each weighs by one over what the fit leaves of
    it. That is the error of a linear model, not noise: labels of every atom and
    direction must not drown those of a frame, or J(r) takes what it can of forces that
    are not central, and is wrong in energy by as much as it explains.
    """
    known = x.new_zeros(0) if spin is None else spin
    free = x.size(1) - len(known)
    coefficients = torch.cat([known, x.new_zeros(free)])
    energies = _Normal.of(x.size(1))
    energies.add(x, y)
    for _ in range(_REWEIGHTINGS):
        matrix = torch.zeros_like(forces.matrix)
        vector = torch.zeros_like(forces.vector)
        for labels in (energies, forces):
            if labels.count > 0 and labels.square > 0:
                weight = 1.0 / (labels.count * labels.residual(coefficients))
                matrix = matrix + weight * labels.matrix
                vector = vector + weight * labels.vector
        start = len(known)
        right = vector[start:] - matrix[start:, :start] @ known
        coefficients = torch.cat([known, _ridge_solve(matrix[start:, start:], right)])
    return coefficients


def _ridge_solve(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    ridge = _RIDGE * matrix.diagonal().mean()
    eye = torch.eye(matrix.size(0), dtype=matrix.dtype)
    # a training set may say nothing at all: one frame, no forces
    tiny = torch.finfo(matrix.dtype).tiny
    return torch.linalg.solve(matrix + (ridge + tiny) * eye, vector)


def _energy_over_fit(y: torch.Tensor, x: torch.Tensor) -> float:
    """Slope of the energies against the energy of what was fitted to the labels.

    The labels determine J up to the label scale; the energies determine J itself.
    """
    slope = float(x @ y / (x @ x).clamp_min(torch.finfo(x.dtype).tiny))
    free = max(len(y) - 2, 1)
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
