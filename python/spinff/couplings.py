"""The couplings of a model at a structure, bond by bond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from spinff.errors import SpinffError
from spinff.export import RunnableModel
from spinff.graphs import GraphBuilder
from spinff.header import has_couplings

Array: TypeAlias = NDArray[np.float64]

PairKey: TypeAlias = tuple[int, int, int, int, int]
"""Atoms i and j, and the three numbers of cells between j and the image meant."""


@dataclass(frozen=True)
class Couplings:
    """E = E_0 + ½ Σ_{i≠j} [e_iᵀ J_ij e_j + K_ij (e_i·e_j)²] + Σ_i e_iᵀ A_i e_i."""

    lattice_energy: float
    """E_0 in eV."""
    exchange: dict[PairKey, Array]
    """J_ij (3, 3) eV of both orders of each pair."""
    biquadratic: dict[PairKey, float]
    """K_ij eV of the same pairs."""
    anisotropy: Array
    """A_i (N, 3, 3) eV."""

    def energy(self, directions: Array) -> float:
        """Energy in eV of unit vectors (N, 3), zero on atoms without a moment."""
        pairs = 0.0
        for key, tensor in self.exchange.items():
            e_i, e_j = directions[key[0]], directions[key[1]]
            pairs += e_i @ tensor @ e_j + self.biquadratic[key] * (e_i @ e_j) ** 2
        single = np.einsum("ia,iab,ib->", directions, self.anisotropy, directions)
        return float(self.lattice_energy + 0.5 * pairs + single)


def model_couplings(model: RunnableModel, atoms: Atoms) -> Couplings:
    """Couplings of a model that has them, both directed edges of a pair averaged.

    Raises:
        SpinffError: if its energy has other terms than these couplings.
    """
    if not has_couplings(model.header):
        raise SpinffError(
            "model_couplings: the model's energy is more than pair couplings and "
            f"anisotropy, got the terms {', '.join(model.header.terms)} with moments "
            f"{model.header.moment_mode}, expected a file with couplings; use the "
            "energy and its derivatives"
        )
    graph = GraphBuilder(model.header)(atoms)
    inputs = (graph.edge_vectors, graph.edge_index, graph.types, graph.magnetic_edges)
    outputs = model.module.couplings(  # type: ignore[attr-defined]
        *(x.to(model.device) for x in inputs)
    )
    energy, exchange, biquadratic, anisotropy = (
        x.detach().cpu().numpy() for x in outputs
    )
    vectors = graph.edge_vectors[graph.magnetic_edges].numpy()
    i, j = graph.edge_index[:, graph.magnetic_edges].numpy()
    offsets = vectors - (atoms.positions[j] - atoms.positions[i])
    # a molecule has no cell and no offsets
    cells = np.rint(offsets @ np.linalg.pinv(atoms.cell.array)).astype(int)
    keys: list[PairKey] = [
        (int(a), int(b), int(n[0]), int(n[1]), int(n[2]))
        for a, b, n in zip(i, j, cells, strict=True)
    ]
    row = {key: n for n, key in enumerate(keys)}
    back = [row[reverse(key)] for key in keys]
    exchange = 0.5 * (exchange + exchange[back].transpose(0, 2, 1))
    biquadratic = 0.5 * (biquadratic + biquadratic[back])
    return Couplings(
        lattice_energy=float(energy.sum()),
        exchange=dict(zip(keys, exchange, strict=True)),
        biquadratic=dict(zip(keys, biquadratic[:, 0].tolist(), strict=True)),
        anisotropy=anisotropy,
    )


def reverse(key: PairKey) -> PairKey:
    """The same pair seen from the other atom."""
    i, j, *cells = key
    a, b, c = (-n for n in cells)
    return j, i, a, b, c
