"""Physical constants, all from CODATA 2018, and the units they are given in.

The numbers are those ``ase.units`` holds for CODATA 2018 (Tiesinga et al., Rev. Mod.
Phys. 93, 025010), the same year as in the C++ core. Base units: eV, Å, ps, K, T, µB.
"""

from __future__ import annotations

from typing import Final

from ase.units import create_units

_SI = create_units("2018")

HBAR: Final[float] = _SI["_hbar"] / _SI["_e"] * 1e12
"""Reduced Planck constant, eV·ps (exact since the SI of 2019)."""

K_B: Final[float] = _SI["_k"] / _SI["_e"]
"""Boltzmann constant, eV/K (exact since the SI of 2019)."""

MU_B: Final[float] = _SI["_hbar"] / (2 * _SI["_me"])
"""Bohr magneton, eV/T."""

G_ELECTRON: Final[float] = 2.00231930436256
"""Magnitude of the electron g factor, CODATA 2018 (ase.units does not hold it)."""

KILOBAR: Final[float] = 1e8 / _SI["_e"] * 1e-30
"""eV/Å³."""
