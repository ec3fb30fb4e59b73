"""What a Monte Carlo run measured, and averages with error bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spinff import units
from spinff.errors import SpinffError

Array: TypeAlias = NDArray[np.float64]

BLOCKS = 20
"""Parts of a series whose averages give the error bar."""


def block_average(series: Array, blocks: int = BLOCKS) -> tuple[float, float]:
    """Mean of a correlated series and its standard error, from the means of blocks.

    The error is right if a block is much longer than the correlation time (H.
    Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989)).

    Args:
        series: (S,) measurements in their order.
        blocks: number of blocks.

    Raises:
        SpinffError: if there are fewer than two measurements for each block.
    """
    series = np.asarray(series, dtype=float)
    if series.ndim != 1 or blocks < 2 or len(series) < 2 * blocks:
        raise SpinffError(
            f"block_average: the series is too short, got shape {series.shape} for "
            f"{blocks} blocks, expected (S,) with S at least {2 * max(blocks, 2)}; "
            "measure more often or longer"
        )
    means = np.array([block.mean() for block in np.array_split(series, blocks)])
    return float(series.mean()), float(means.std(ddof=1) / np.sqrt(blocks))


@dataclass(frozen=True)
class Samples:
    """Measurements of one run at one temperature; S of them."""

    temperature: float
    """K."""
    energies: Array
    """(S,) total energy, eV."""
    order: Array
    """(S, 3) order parameter Σ_i w_i e_i; the reduced magnetisation by default."""
    num_spins: int
    acceptance: float
    """Part of the moves that were taken."""

    @property
    def energy(self) -> tuple[float, float]:
        """Mean energy per spin and its standard error, eV."""
        return block_average(self.energies / self.num_spins)

    @property
    def order_length(self) -> tuple[float, float]:
        """Mean length of the order parameter and its standard error."""
        return block_average(np.linalg.norm(self.order, axis=1))

    @property
    def heat_capacity(self) -> float:
        """(⟨E²⟩ − ⟨E⟩²) / (N kB T²) in kB per spin."""
        kT = units.K_B * self.temperature
        return float(self.energies.var() / (self.num_spins * kT**2))

    @property
    def susceptibility(self) -> float:
        """N (⟨O²⟩ − ⟨|O|⟩²) / kB T of the order parameter O, 1/eV.

        Largest near the ordering temperature.
        """
        length = np.linalg.norm(self.order, axis=1)
        return float(self.num_spins * length.var() / (units.K_B * self.temperature))

    @property
    def binder_cumulant(self) -> float:
        """1 − ⟨O⁴⟩ / (3 ⟨O²⟩²); curves of two sizes cross at the transition.

        It is 2/3 in the ordered state and 4/9 for a disordered vector of three
        components (K. Binder, Z. Phys. B 43, 119 (1981)).
        """
        square = (self.order**2).sum(axis=1)
        return float(1 - (square**2).mean() / (3 * square.mean() ** 2))
