"""Spins of a structure with frozen couplings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from spinff import _core, units
from spinff.errors import SpinffError
from spinff.spins._bonds import Names, bonds_of, read_table, species_of
from spinff.spins.samples import Samples

if TYPE_CHECKING:
    from spinff.couplings import Couplings
    from spinff.export import RunnableModel

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Minimum:
    """What :meth:`SpinSystem.minimise` found."""

    energy: float
    """Total energy, eV."""
    iterations: int
    max_torque: float
    """max_i |e_i × ∂E/∂e_i|, eV."""
    energy_changes: Array
    """Of each iteration, eV; none is above 0."""


class SpinSystem:
    """Spins of a structure whose couplings do not change.

    E = E_0 + ½ Σ_{i≠j} [e_iᵀ J_ij e_j + K_ij (e_i·e_j)²] + Σ_i e_iᵀ A_i e_i − Σ_i m_i·B

    in eV with unit vectors e_i, moments m_i = |m_i| e_i in µB and B in T; J > 0 is
    antiferromagnetic (docs/conventions.md). The structure is the simulation cell:
    repeat a unit cell before. Made by :meth:`from_table`, :meth:`from_model` or
    :meth:`from_couplings`.

    Example:
        >>> atoms = bulk("Fe", cubic=True) * (6, 6, 6)  # doctest: +SKIP
        >>> system = SpinSystem.from_table("fe.json", atoms)  # doctest: +SKIP
        >>> system.metropolis(300, sweeps=1000, seed=1).order_length  # doctest: +SKIP
    """

    def __init__(
        self,
        atoms: Atoms,
        lengths: Array,
        hamiltonian: _core.SpinHamiltonian,
        lattice_energy: float = 0.0,
    ) -> None:
        """Put a structure and a Hamiltonian of the core together.

        Args:
            atoms: the structure, N atoms. Spins start along its moments, along +z if
                it has none; a collinear moment lies along z.
            lengths: (N,) |m| in µB, 0 on atoms without a spin.
            hamiltonian: of the same atoms.
            lattice_energy: E_0, eV.
        """
        self.atoms = atoms.copy()
        self.lattice_energy = lattice_energy
        self._lengths = np.array(lengths, dtype=float)
        self._hamiltonian = hamiltonian
        self._magnetic_field = np.zeros(3)
        self._sweeps = 0
        self._directions = np.zeros((len(atoms), 3))
        self.directions = _initial_directions(atoms, self.is_magnetic)

    # === where the couplings come from ===

    @classmethod
    def from_table(
        cls,
        table: str | Path | Mapping[str, Any],
        atoms: Atoms,
        names: Names | None = None,
    ) -> SpinSystem:
        """Couplings of a table, as pair_style spin/couplings reads them.

        Args:
            table: file, or its content (docs/pair_spin_couplings.md).
            atoms: the structure, with positions within the table's tolerance.
            names: the table's name of each chemical symbol, or of each atom; None for
                atoms that it does not see. By default the chemical symbols.

        Raises:
            SpinffError: for a table that is wrong, an unknown name, a pair of atoms
                just off a bond, or if there are couplings and no atoms on any.
        """
        if isinstance(table, str | Path):
            who, text = f"SpinSystem: {table}", read_table(Path(table))
        else:
            who, text = "SpinSystem", json.dumps(dict(table))
        core = _core.CouplingTable(text, who)
        species, lengths = species_of(core, atoms, names, who)
        pairs, couplings = bonds_of(core, atoms, species, who)
        hamiltonian = _core.SpinHamiltonian(
            np.where(lengths > 0, species, -1),
            core.anisotropy,
            pairs,
            couplings,
            core.tensors,
            core.biquadratic,
        )
        return cls(atoms, lengths, hamiltonian)

    @classmethod
    def from_model(
        cls, model: str | Path | RunnableModel, atoms: Atoms, *, device: str = "cpu"
    ) -> SpinSystem:
        """Couplings that a model has at a structure; the lattice then stays.

        Args:
            model: checkpoint or deployed file, or a model already loaded.
            atoms: the structure. The network runs on all of it once.
            device: ``cpu`` or ``cuda``.

        Raises:
            SpinffError: if the file cannot be used, or if the model's energy is more
                than pair couplings and anisotropy.
        """
        from spinff.couplings import model_couplings  # these load torch
        from spinff.export import load_model

        if isinstance(model, str | Path):
            model = load_model(model, device=device)
        moments = {s: model.header.moments[s] for s in model.header.magnetic_types}
        lengths = [moments.get(symbol, 0.0) for symbol in atoms.get_chemical_symbols()]
        couplings = model_couplings(model, atoms)
        return cls.from_couplings(couplings, atoms, np.array(lengths))

    @classmethod
    def from_couplings(
        cls, couplings: Couplings, atoms: Atoms, lengths: ArrayLike
    ) -> SpinSystem:
        """Couplings bond by bond.

        Args:
            couplings: as ``spinff.couplings.model_couplings`` gives them.
            atoms: the structure, N atoms.
            lengths: (N,) |m| in µB, 0 on atoms without a spin.

        Raises:
            SpinffError: for couplings that do not belong to these atoms.
        """
        lengths = np.asarray(lengths, dtype=float)
        if lengths.shape != (len(atoms),) or not np.all(lengths >= 0):
            raise SpinffError(
                f"SpinSystem: lengths of moments are wrong, got {lengths.tolist()}, "
                f"expected {len(atoms)} numbers in µB, 0 or more; give one an atom"
            )
        count = len(couplings.exchange)
        keys = list(couplings.exchange)
        hamiltonian = _core.SpinHamiltonian(
            np.where(lengths > 0, np.arange(len(atoms)), -1),
            _symmetric(couplings.anisotropy),
            np.array([key[:2] for key in keys], dtype=np.int32).reshape(count, 2),
            np.arange(count),
            np.array([couplings.exchange[key] for key in keys]).reshape(count, 3, 3),
            np.array([couplings.biquadratic[key] for key in keys]),
        )
        return cls(atoms, lengths, hamiltonian, couplings.lattice_energy)

    # === state ===

    @property
    def is_magnetic(self) -> NDArray[np.bool_]:
        """(N,) whether the atom has a spin."""
        return self._lengths > 0

    @property
    def num_spins(self) -> int:
        """Number of atoms with a spin."""
        return int(np.count_nonzero(self.is_magnetic))

    @property
    def directions(self) -> Array:
        """(N, 3) unit vectors e_i, zero on atoms without a spin; a copy.

        Setting takes vectors of any length, (N, 3), or (3,) for all spins.
        """
        return self._directions.copy()

    @directions.setter
    def directions(self, vectors: ArrayLike) -> None:
        given = np.asarray(vectors, dtype=float)
        if given.shape not in {(3,), (len(self.atoms), 3)}:
            raise SpinffError(
                f"SpinSystem: directions have the wrong shape, got {given.shape}, "
                f"expected (3,) or ({len(self.atoms)}, 3); correct it"
            )
        full = np.broadcast_to(given, self._directions.shape)
        length = np.linalg.norm(full, axis=1)
        usable = np.isfinite(length) & (length > 0)
        bad = np.flatnonzero(self.is_magnetic & ~usable)
        if bad.size:
            raise SpinffError(
                "SpinSystem: a spin has no direction, got "
                f"{full[bad[0]].tolist()} on atom {bad[0]}, expected a finite vector "
                "that is not zero; give one"
            )
        safe = np.where(self.is_magnetic, length, 1.0)[:, None]
        self._directions[:] = np.where(self.is_magnetic[:, None], full / safe, 0.0)

    @property
    def moments(self) -> Array:
        """(N, 3) moments m_i, µB."""
        return self._lengths[:, None] * self._directions

    def randomise(self, seed: int) -> None:
        """Spins in random directions."""
        random = np.random.default_rng(seed)
        self.directions = random.normal(size=self._directions.shape)

    @property
    def magnetic_field(self) -> Array:
        """(3,) magnetic field B, T; zero at first."""
        return self._magnetic_field.copy()

    @magnetic_field.setter
    def magnetic_field(self, field: ArrayLike) -> None:
        given = np.asarray(field, dtype=float)
        if given.shape != (3,):
            raise SpinffError(
                f"SpinSystem: the magnetic field has the wrong shape, got "
                f"{given.shape}, expected (3,) in T; give a vector"
            )
        self._hamiltonian.set_field(units.MU_B * self._lengths[:, None] * given)
        self._magnetic_field = given.copy()

    def to_atoms(self) -> Atoms:
        """The structure with the moments (N, 3) in µB, to write or to evaluate."""
        atoms = self.atoms.copy()
        atoms.set_initial_magnetic_moments(None)  # ASE has collinear defaults
        atoms.set_initial_magnetic_moments(self.moments)
        return atoms

    # === energy ===

    def energy(self) -> float:
        """Total energy, eV."""
        return self.lattice_energy + float(self._hamiltonian.energy(self._directions))

    def spin_forces(self) -> Array:
        """−∂E/∂e_i perpendicular to e_i, (N, 3) eV: the field a spin turns to."""
        forces = -self._hamiltonian.gradient(self._directions)
        along = np.einsum("ia,ia->i", forces, self._directions)
        return forces - along[:, None] * self._directions

    def minimise(
        self, *, torque_tolerance: float = 1e-8, max_iterations: int = 10_000
    ) -> Minimum:
        """Turn the spins downhill into a local minimum of the energy.

        Limited-memory BFGS with rotations (cpp/include/spinff/minimise.hpp). A state
        without torque stays, be it a minimum or not: start from random spins, or from
        the order that you expect with some disorder. Among several minima the lowest
        is found by cooling with :meth:`metropolis` first.

        Args:
            torque_tolerance: largest |e_i × ∂E/∂e_i| at the end, eV.
            max_iterations: then it is an error; the spins stay where it stopped.

        Raises:
            SpinffError: if the torque does not get below the tolerance.
        """
        iterations, max_torque, changes = self._hamiltonian.minimise(
            self._directions, torque_tolerance, _count("max_iterations", max_iterations)
        )
        return Minimum(self.energy(), iterations, max_torque, np.array(changes))

    # === Monte Carlo ===

    def metropolis(
        self,
        temperature: float,
        sweeps: int,
        *,
        seed: int,
        discard: int = 0,
        every: int = 1,
        move: str = "heat_bath",
        cone_angle: float = 0.5,
        weights: ArrayLike | None = None,
    ) -> Samples:
        """Monte Carlo at a temperature, going on from the present spins.

        Random numbers depend on seed, atom and the number of sweeps that the system
        has seen: two runs of 100 sweeps are one of 200.

        Args:
            temperature: K.
            sweeps: sweeps to measure in; each offers every spin one move.
            seed: of the random numbers, 0 to 2³² − 1.
            discard: sweeps before that, to reach equilibrium.
            every: sweeps between two measurements.
            move: ``heat_bath`` (drawn in the field of the neighbours; without
                anisotropy and biquadratic terms every move is taken), ``cone``
                (uniform within ``cone_angle`` of the spin) or ``random`` (anywhere).
            cone_angle: rad, at most π.
            weights: (N,) of the order parameter Σ_i w_i e_i; by default those of the
                magnetisation, |m_i| / Σ|m|.

        Raises:
            SpinffError: for a value out of its range.
        """
        if not 0 <= seed < 2**32:
            raise SpinffError(
                f"metropolis: the seed is out of range, got {seed}, expected 0 to "
                "2^32 - 1; choose another"
            )
        if weights is None:
            weights = self._lengths / max(self._lengths.sum(), 1e-300)
        run = (
            self._checked(weights),
            move,
            cone_angle,
            units.K_B * temperature,
            seed,
        )
        discard, sweeps = _count("discard", discard), _count("sweeps", sweeps)
        every = _count("every", every, least=1)
        self._hamiltonian.monte_carlo(
            self._directions, *run, self._sweeps, discard, every
        )
        start = self.energy()
        accepted, gained, order = self._hamiltonian.monte_carlo(
            self._directions, *run, self._sweeps + discard, sweeps, every
        )
        self._sweeps += discard + sweeps
        return Samples(
            temperature=temperature,
            energies=start + np.array(gained),
            order=np.array(order).reshape(-1, 3),
            num_spins=self.num_spins,
            acceptance=accepted / max(sweeps * self.num_spins, 1),
        )

    # === order ===

    def magnetisation(self, sublattice: ArrayLike | None = None) -> Array:
        """Σ m_i / Σ |m_i|, (3,): of length 1 when all moments are parallel.

        Args:
            sublattice: indices or mask (N,) of the atoms to take; all by default.
        """
        chosen = np.ones(len(self.atoms))
        if sublattice is not None:
            index = np.asarray(sublattice)
            chosen[:] = 0.0
            chosen[index if index.size else slice(0)] = 1.0  # [] is of type float
        weights = chosen * self._lengths
        total = weights.sum()
        if total == 0:
            raise SpinffError(
                "magnetisation: the sublattice has no moment, got "
                f"{int(chosen.sum())} atoms, expected at least one with a spin; choose "
                "others"
            )
        return self.order_parameter(weights / total)

    def order_parameter(self, weights: ArrayLike) -> Array:
        """Σ_i w_i e_i, (3,); with w = ±1/N on two sublattices the Néel vector.

        Args:
            weights: (N,).
        """
        weights = self._checked(weights)
        return np.array(_core.order_parameter(weights, self._directions))

    def fourier_component(self, q: ArrayLike) -> NDArray[np.complex128]:
        """(1/N) Σ_i e_i exp(−i q·r_i) over the spins, (3,) complex.

        |·|² is the structure factor over N: 1/2 in sum for a spiral at its ±q, 1 for
        the wave vector of a collinear antiferromagnet.

        Args:
            q: (3,) in 1/Å.
        """
        weights = self.is_magnetic / max(self.num_spins, 1)
        wave = np.asarray(q, dtype=float)
        if wave.shape != (3,):
            raise SpinffError(
                f"fourier_component: q has the wrong shape, got {wave.shape}, expected "
                "(3,) in 1/Å; give a vector"
            )
        return np.array(
            _core.fourier_component(
                weights, self.atoms.positions, wave, self._directions
            )
        )

    def topological_charge(self, triangles: ArrayLike) -> float:
        """Berg–Lüscher charge of a layer, Σ Ω / 4π over its triangles.

        −1 for a skyrmion with its core along −z in spins along +z, 0 for a collinear
        state; an integer if the layer is periodic (cpp/include/spinff/observables.hpp).

        Args:
            triangles: (T, 3), as :func:`spinff.spins.layer_triangles` makes them.

        Raises:
            SpinffError: for a triangle without three spins, or with spins that go
                round a great circle, as two opposite ones do.
        """
        return float(_core.topological_charge(np.asarray(triangles), self._directions))

    def _checked(self, weights: ArrayLike) -> Array:
        weights = np.asarray(weights, dtype=float)
        if weights.shape != (len(self.atoms),):
            raise SpinffError(
                f"SpinSystem: weights have the wrong shape, got {weights.shape}, "
                f"expected ({len(self.atoms)},); give one for each atom"
            )
        return weights


# === parts of the constructors ===


def _count(name: str, value: int, least: int = 0) -> int:
    if value != int(value) or value < least:
        raise SpinffError(
            f"SpinSystem: '{name}' is wrong, got {value}, expected a whole number of "
            f"at least {least}; correct it"
        )
    return int(value)


def _initial_directions(atoms: Atoms, is_magnetic: NDArray[np.bool_]) -> Array:
    moments = np.asarray(atoms.get_initial_magnetic_moments(), dtype=float)
    if moments.ndim == 1:
        moments = moments[:, None] * np.array([0.0, 0.0, 1.0])
    if not np.any(moments[is_magnetic]):
        return np.tile([0.0, 0.0, 1.0], (len(atoms), 1))
    return moments


def _symmetric(tensors: Array) -> Array:
    """(A + Aᵀ)/2, of which alone eᵀ A e is made; a network's A has rounding errors."""
    return 0.5 * (tensors + tensors.swapaxes(1, 2))
