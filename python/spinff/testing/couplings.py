"""Symmetry of the couplings themselves: J(Rr) = R J Rᵀ, J_ji = J_ijᵀ, tr A = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from ase import Atoms

from spinff.errors import SpinffError
from spinff.export import RunnableModel
from spinff.graphs import GraphBuilder
from spinff.header import has_couplings
from spinff.irreps.operations import Operation
from spinff.testing.results import Array, Errors, moments_of
from spinff.testing.transformations import transformation

PairKey: TypeAlias = tuple[int, int, int, int, int]
"""Atoms i and j, and the three numbers of cells between j and the image meant."""

# eV; couplings below are rounding noise
_FLOOR = 1e-6


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


def coupling_errors(
    couplings: Callable[[Atoms], Couplings], atoms: Atoms, operation: Operation
) -> Errors:
    """Errors of the symmetries that couplings have to have.

    Args:
        couplings: gives the couplings of a structure.
        atoms: without symmetry.
        operation: positions are transformed by it; couplings are even under time
            reversal, and inversion leaves them alone.

    Returns:
        ``exchange`` J(Rr) = R J Rᵀ, ``transpose`` J_ji = J_ijᵀ, ``biquadratic``
        K(Rr) = K, ``anisotropy`` A(Rr) = R A Rᵀ, ``trace`` tr A = 0 and ``symmetric``
        A = Aᵀ, each over the largest coupling of its kind.
    """
    move = transformation("operation", operation)
    before, after = couplings(atoms), couplings(move(atoms))
    turn, sign = move.rotation, -1 if operation.inversion else 1
    exchange, biquadratic, transpose = [], [], []
    for key, tensor in before.exchange.items():
        # the cell is turned, not inverted: an image lies the other way
        i, j, *cells = key
        a, b, c = (sign * n for n in cells)
        exchange.append(after.exchange[i, j, a, b, c] - turn @ tensor @ turn.T)
        biquadratic.append(after.biquadratic[i, j, a, b, c] - before.biquadratic[key])
        transpose.append(before.exchange[reverse(key)] - tensor.T)
    anisotropy = before.anisotropy
    sizes = {
        "exchange": list(before.exchange.values()),
        "biquadratic": list(before.biquadratic.values()),
        "anisotropy": anisotropy,
    }
    return {
        "exchange": _over(exchange, sizes["exchange"]),
        "transpose": _over(transpose, sizes["exchange"]),
        "biquadratic": _over(biquadratic, sizes["biquadratic"]),
        "anisotropy": _over(after.anisotropy - turn @ anisotropy @ turn.T, anisotropy),
        "trace": _over(np.trace(anisotropy, axis1=1, axis2=2), anisotropy),
        "symmetric": _over(anisotropy - anisotropy.transpose(0, 2, 1), anisotropy),
    }


def energy_error(model: RunnableModel, atoms: Atoms, energy: float) -> float:
    """The energy of the couplings against another of the same atoms, relative."""
    couplings = model_couplings(model, atoms)
    magnetic = np.isin(atoms.get_chemical_symbols(), list(model.header.magnetic_types))
    moments = moments_of(atoms) * magnetic[:, None]
    length = np.linalg.norm(moments, axis=1, keepdims=True)
    directions = moments / np.where(length > 0, length, 1.0)
    return abs(couplings.energy(directions) - energy) / max(abs(energy), _FLOOR)


def _over(difference: object, size: object) -> float:
    largest = np.abs(np.asarray(difference, dtype=float)).max(initial=0.0)
    scale = np.abs(np.asarray(size, dtype=float)).max(initial=_FLOOR)
    return float(largest / scale) if np.isfinite(largest) else float("inf")
