"""Symmetry of the couplings themselves: J(Rr) = R J Rᵀ, J_ji = J_ijᵀ, tr A = 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms

from spinff.couplings import Couplings, model_couplings, reverse
from spinff.export import RunnableModel
from spinff.irreps.operations import Operation
from spinff.testing.results import Errors, moments_of
from spinff.testing.transformations import transformation

# eV; couplings below are rounding noise
_FLOOR = 1e-6


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
