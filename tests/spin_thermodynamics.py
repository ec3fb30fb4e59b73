"""Classical spin systems with known thermal averages, run through LAMMPS.

Tables of pair_style spin/couplings on a frozen lattice, fix spin/sib as the heat bath:
used by short tests and, with long runs, by benchmarks/thermodynamics.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lammps_tools import TIMEOUT, run_lmp
from spinff import units
from spinff.spins import block_average

Array = NDArray[np.float64]

MOMENT = 2.0
"""µB, of every spin here that has no other."""
ENERGY = 0.01
"""eV: the J or K of a model given in reduced units, so that ω = 15 rad/ps."""
RYDBERG = 13.605693122994
"""eV (CODATA 2018)."""


def table(moment: float = MOMENT, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A table in eV with one species, X; ``A`` and ``couplings`` as given."""
    anisotropy = changes.pop("A", None)
    species = {"moment": moment} | ({"A": anisotropy} if anisotropy else {})
    return {
        "format": "spinff-couplings",
        "format_version": 1,
        "convention": "half sum over i != j, J > 0 antiferromagnetic",
        "units": {"energy": "eV", "length": "angstrom", "moment": "bohr_magneton"},
        "tolerance": 0.05,
        "species": {"X": species},
        "couplings": [],
    } | changes


def shell(distance: float, J: float) -> dict[str, Any]:
    """Isotropic coupling of a distance (Å) by J (eV; positive: antiferromagnetic)."""
    return {"species": ["X", "X"], "distance": distance, "J": J}


@dataclass
class System:
    """Spins on a lattice in a heat bath."""

    table: dict[str, Any]
    temperature: float
    """K."""
    lattice: str = "sc 3.0"
    size: tuple[int, int, int] = (10, 10, 10)
    zeeman: str = ""
    """Keyword of fix spin/sib, if any."""
    ordered: bool = False
    """Start from all spins along z instead of random ones."""


INPUT = """\
units metal
atom_style spin
lattice {lattice}
region box block 0 {size[0]} 0 {size[1]} 0 {size[2]}
create_box 1 box
create_atoms 1 box
mass 1 55.0
set group all {spins}
pair_style spin/couplings
pair_coeff * * table.json X
timestep {dt}
fix s all spin/sib alpha {alpha} temp {T} {T} seed {seed} {zeeman}
fix_modify s energy yes
compute m all spin
thermo_style custom step atoms pe c_m[4]
thermo_modify format float %.17g
run {equilibration}
thermo {every}
run {steps}
"""


@dataclass
class Averages:
    """Time averages after equilibration, each with its standard error."""

    energy: float
    """eV per spin."""
    energy_error: float
    magnetisation: float
    """|Σ e| / N."""
    magnetisation_error: float


def measure(
    system: System,
    directory: Path,
    *,
    alpha: float,
    dt: float,
    steps: int,
    nranks: int = 1,
    seed: int = 4711,
    timeout: float | None = TIMEOUT,
) -> Averages:
    """Runs a system and averages over it.

    Args:
        system: what to run.
        directory: where, and where the files stay.
        alpha: Gilbert damping.
        dt: time step, ps.
        steps: length of the run after an equilibration of a third of it.
        nranks: MPI ranks.
        seed: seed of the start and of the noise.
        timeout: longest time it may take, s; None for any.
    """
    (directory / "table.json").write_text(json.dumps(system.table))
    moment = system.table["species"]["X"]["moment"]
    spins = f"spin/atom {moment} 0 0 1"
    if not system.ordered:
        spins = f"spin/atom/random {seed} {moment}"
    text = INPUT.format(
        lattice=system.lattice,
        size=system.size,
        spins=spins,
        dt=dt,
        alpha=alpha,
        T=system.temperature,
        seed=seed,
        zeeman=system.zeeman,
        equilibration=steps // 3,
        every=max(1, steps // 500),
        steps=steps,
    )
    thermo = run_lmp(text, nranks, directory, timeout=timeout).thermo[-1]
    energy, energy_error = block_average(thermo["PotEng"] / thermo["Atoms"])
    m, m_error = block_average(thermo["c_m[4]"])
    return Averages(energy, energy_error, m, m_error)


# === the systems, their scale in reduced units, and exact results ===


def langevin_function(x: float) -> float:
    """⟨cos θ⟩ of a spin with energy −x k_B T cos θ."""
    return float(1 / np.tanh(x) - 1 / x)


def paramagnet(temperature: float, field: float = 10.0) -> tuple[System, float]:
    """Free spins in a field (T), and their exact energy, eV per spin."""
    scale = units.MU_B * MOMENT * field
    system = System(table(), temperature, zeeman=f"zeeman {field} 0 0 1", ordered=True)
    return system, -scale * langevin_function(scale / (units.K_B * temperature))


def uniaxial(ratio: float) -> tuple[System, float]:
    """E = −K cos²θ at K/kT = ratio, and its exact energy −K ⟨cos²θ⟩, eV per spin."""
    temperature = ENERGY / (units.K_B * ratio)
    anisotropy = [[0, 0, 0], [0, 0, 0], [0, 0, -ENERGY]]
    x = np.linspace(-1, 1, 20001)
    weight = np.exp(ratio * (x**2 - 1))
    mean = np.trapezoid(x**2 * weight, x) / np.trapezoid(weight, x)
    return System(table(A=anisotropy), temperature), -ENERGY * float(mean)


def chain(temperature: float, rings: int = 32) -> tuple[System, float]:
    """Ferromagnetic rings of 64 spins at kT/J, and the exact energy, eV per spin.

    The energy is that of the infinite chain, −J (coth J/kT − kT/J) a bond; the ring
    differs by a part of order (coth K − 1/K)⁶³, below 1e-7 for kT/J ≥ 0.5.
    """
    system = System(
        table(couplings=[shell(3.0, -ENERGY)]),
        ENERGY * temperature / units.K_B,
        lattice="custom 1.0 a1 3 0 0 a2 0 9 0 a3 0 0 9 basis 0 0 0",
        size=(64, rings, 1),
    )
    return system, -ENERGY * langevin_function(1 / temperature)


def simple_cubic(temperature: float) -> System:
    """Ferromagnet of 12³ spins at kT/J; energies of Monte Carlo are in J = ENERGY."""
    return System(
        table(couplings=[shell(3.0, -ENERGY)]),
        ENERGY * temperature / units.K_B,
        size=(12, 12, 12),
        ordered=temperature < 1.4429,  # of the critical temperature
    )


IRON_LATTICE_CONSTANT = 2.87
"""Å."""


def iron(temperature: float, jfile: Path) -> System:
    """Body-centred iron of 8³ cells at a temperature in K, with UppASD's couplings.

    Args:
        temperature: K.
        jfile: rows "type type x y z J" with the bond in lattice constants and J in
            mRy, H = −Σ_{i≠j} J e·e, one row for each shell.
    """
    rows = np.loadtxt(jfile)
    distances = IRON_LATTICE_CONSTANT * np.linalg.norm(rows[:, 2:5], axis=1)
    couplings = [
        shell(float(d), -2.0e-3 * RYDBERG * float(J))
        for d, J in zip(distances, rows[:, 5], strict=True)
        if abs(J) > 1e-6  # the others are zeros with noise
    ]
    return System(
        table(moment=2.23, couplings=couplings),
        temperature,
        lattice=f"bcc {IRON_LATTICE_CONSTANT}",
        size=(8, 8, 8),
        ordered=True,
    )
