"""ASE calculator of a spinff model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from spinff.errors import SpinffError
from spinff.export import RunnableModel, load_model
from spinff.graphs import Graph, GraphBuilder, directions_and_lengths


class SpinCalculator(Calculator):
    """Energy, forces, stress and magnetic forces of atoms with noncollinear moments.

    Moments are read from ``atoms.get_initial_magnetic_moments()``, (N, 3) in µB; set
    them with ``atoms.set_initial_magnetic_moments``. Results: ``energy`` eV,
    ``energies`` (N,) eV, ``forces`` (N, 3) eV/Å, ``stress`` (6,) eV/Å³ with ASE's sign
    (cells with three periodic directions), ``magnetic_forces`` (N, 3) eV/µB = −∂E/∂m
    and ``spin_forces`` (N, 3) eV = −∂E/∂e, the latter, and where the energy does not
    depend on lengths both, perpendicular to the moment; ``energies_by_term`` (term ->
    eV) and ``moment_lengths`` (N,) µB: those of the model's species, of the atoms, or
    predicted, by the model's moment mode.

    Example:
        >>> calc = SpinCalculator("nio.pth")  # doctest: +SKIP
        >>> atoms.set_initial_magnetic_moments(m)  # doctest: +SKIP
        >>> atoms.calc = calc  # doctest: +SKIP
        >>> atoms.get_potential_energy()  # doctest: +SKIP
        >>> calc.results["magnetic_forces"]  # doctest: +SKIP
    """

    implemented_properties = [  # noqa: RUF012 - declared so by ASE
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "magnetic_forces",
        "spin_forces",
        "energies_by_term",
        "moment_lengths",
    ]

    def __init__(
        self,
        model: str | Path | RunnableModel,
        *,
        device: str = "cpu",
        **kwargs: Any,  # noqa: ANN401 - of ASE's Calculator
    ) -> None:
        """Load a model.

        Args:
            model: checkpoint or deployed file, or a model already loaded.
            device: ``cpu`` or ``cuda``.
            **kwargs: of ``ase.calculators.calculator.Calculator``.

        Raises:
            SpinffError: if the file or the device cannot be used.
        """
        super().__init__(**kwargs)
        self.model = (
            model
            if isinstance(model, RunnableModel)
            else load_model(model, device=device)
        )
        self._graph = GraphBuilder(self.model.header)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluate the model; everything comes from one pass."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        graph = self._graph(self.atoms)
        header = self.model.header
        directions, length = directions_and_lengths(
            self.atoms.get_initial_magnetic_moments(),
            graph.is_magnetic.numpy(),
            "SpinCalculator",
            zero_allowed=header.moment_mode == "input",
        )
        is_input = header.moment_mode == "input"
        spins = length[:, None] * directions if is_input else directions
        by_term, edge_gradient, spin_gradient, lengths = self._evaluate(graph, spins)
        if is_input:
            magnetic_forces = -spin_gradient
        else:
            # directions only: the part along e has no meaning
            safe = np.where(length > 0, length, 1.0)[:, None]
            magnetic_forces = -_transverse(spin_gradient, directions) / safe
        energies = by_term.sum(axis=1)
        self.results = {
            "energy": float(energies.sum()),
            "free_energy": float(energies.sum()),
            "energies": energies,
            "energies_by_term": dict(
                zip(header.terms, by_term.sum(axis=0).tolist(), strict=True)
            ),
            "forces": _forces(graph, edge_gradient, len(self.atoms)),
            "magnetic_forces": magnetic_forces,
            "spin_forces": length[:, None] * _transverse(magnetic_forces, directions),
            "moment_lengths": lengths,
        }
        if self.atoms.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(
                _strain_gradient(graph, edge_gradient) / self.atoms.get_volume()
            )
        _check_finite(self.results)

    def _evaluate(self, graph: Graph, spins: np.ndarray) -> tuple[np.ndarray, ...]:
        inputs = (
            graph.edge_vectors,
            graph.edge_index,
            graph.types,
            graph.magnetic_edges,
            torch.from_numpy(spins),
        )
        # TorchScript's optimiser compiles anew for new numbers of edges: seconds, not
        # milliseconds, for the first frames
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            outputs = self.model.module(
                *(x.to(self.model.device) for x in inputs), len(spins)
            )
        return tuple(x.cpu().numpy() for x in outputs)


def _transverse(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The part of each vector perpendicular to its direction."""
    along = np.einsum("ia,ia->i", vectors, directions)
    return vectors - along[:, None] * directions


def _forces(graph: Graph, edge_gradient: np.ndarray, num_atoms: int) -> np.ndarray:
    """F_i = Σ_j g_ij − Σ_j g_ji, as r_ij = r_j − r_i."""
    forces = np.zeros((num_atoms, 3))
    centre, neighbour = graph.edge_index.numpy()
    np.add.at(forces, centre, edge_gradient)
    np.subtract.at(forces, neighbour, edge_gradient)
    return forces


def _strain_gradient(graph: Graph, edge_gradient: np.ndarray) -> np.ndarray:
    """∂E/∂ε = Σ r_ij ⊗ g_ij, symmetric (3, 3), eV."""
    gradient = graph.edge_vectors.numpy().T @ edge_gradient
    return 0.5 * (gradient + gradient.T)


def _check_finite(results: dict[str, Any]) -> None:
    for name, values in results.items():
        if isinstance(values, dict):  # sums of energies that are checked themselves
            continue
        bad = np.argwhere(~np.isfinite(np.atleast_1d(values)))
        if bad.size:
            raise SpinffError(
                f"SpinCalculator: a result is not finite, got NaN or infinity in "
                f"{name} at index {bad[0].tolist()}, expected numbers; check for "
                "atoms on top of each other and for the range of the training data"
            )
