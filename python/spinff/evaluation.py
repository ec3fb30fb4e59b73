"""Errors of a model on labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from tqdm import tqdm

from spinff import fields
from spinff.calculator import SpinCalculator
from spinff.data import read_frames
from spinff.errors import SpinffError
from spinff.export import RunnableModel
from spinff.files import whole_file

Array = NDArray[np.float64]
_MEV = 1000.0


@dataclass
class Pairs:
    """Labels and predictions of one quantity, flat, in eV-based units."""

    label: list[Array] = field(default_factory=list)
    prediction: list[Array] = field(default_factory=list)

    def add(self, label: Array, prediction: Array) -> None:
        """Append the entries that are labelled."""
        there = np.isfinite(label)
        self.label.append(label[there])
        self.prediction.append(prediction[there])

    def arrays(self) -> tuple[Array, Array]:
        """All labels and all predictions."""
        empty = [np.zeros(0)]
        return np.concatenate(self.label + empty), np.concatenate(
            self.prediction + empty
        )

    def mae_mev(self) -> float | None:
        """Mean absolute error × 1000; None without labels."""
        label, prediction = self.arrays()
        return float(np.abs(prediction - label).mean() * _MEV) if label.size else None

    def rmse_mev(self) -> float | None:
        """Root mean square error × 1000; None without labels."""
        label, prediction = self.arrays()
        if not label.size:
            return None
        return float(np.sqrt(np.square(prediction - label).mean()) * _MEV)

    def r2(self) -> float | None:
        """Coefficient of determination; None below two labels that differ."""
        label, prediction = self.arrays()
        if label.size < 2 or np.ptp(label) == 0:
            return None
        residual = np.square(prediction - label).sum()
        return float(1.0 - residual / np.square(label - label.mean()).sum())


@dataclass(frozen=True)
class Errors:
    """What ``spinff evaluate --json`` prints; None where there is no label.

    Magnetic forces are compared with the labels after the model's label scale, on atoms
    with a moment: the part perpendicular to the moment, the part along it (None unless
    moments are an input of the model), the whole vector (a model without the part
    along the moment counts as predicting zero there), and the torque m × f_m. Lengths
    of moments are compared where the model predicts them. ``energy_by_term`` has the
    mean and the standard deviation over frames of each term of the energy.
    """

    n_frames: int
    energy_mae_mev_per_atom: float | None
    energy_rmse_mev_per_atom: float | None
    energy_r2: float | None
    forces_mae_mev_per_a: float | None
    forces_rmse_mev_per_a: float | None
    stress_mae_mev_per_a3: float | None
    magnetic_force_scale: dict[str, float]
    magnetic_forces_transverse_mae_mev_per_mub: float | None
    magnetic_forces_transverse_rmse_mev_per_mub: float | None
    magnetic_forces_longitudinal_mae_mev_per_mub: float | None
    magnetic_forces_mae_mev_per_mub: float | None
    torque_mae_mev: float | None
    moment_length_mae_mmub: float | None
    energy_by_term_mev_per_atom: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, object]:
        """Keys and values for JSON."""
        return asdict(self)


@dataclass
class Evaluation:
    """Labels beside predictions, all frames."""

    model: RunnableModel
    energy: Pairs = field(default_factory=Pairs)
    """eV/atom."""
    forces: Pairs = field(default_factory=Pairs)
    """eV/Å."""
    stress: Pairs = field(default_factory=Pairs)
    """eV/Å³."""
    transverse: Pairs = field(default_factory=Pairs)
    """eV/µB, in the labels' scale."""
    magnetic: Pairs = field(default_factory=Pairs)
    """eV/µB, whole vectors, in the labels' scale."""
    longitudinal: Pairs = field(default_factory=Pairs)
    """eV/µB, along the moment, in the labels' scale."""
    torque: Pairs = field(default_factory=Pairs)
    """eV, m × f_m, in the labels' scale."""
    moment_length: Pairs = field(default_factory=Pairs)
    """µB."""
    by_term: dict[str, list[float]] = field(default_factory=dict)
    """eV/atom of each frame."""
    n_frames: int = 0

    def add(self, atoms: Atoms, calculator: SpinCalculator) -> None:
        """Predict one frame and keep it beside its labels."""
        moments = atoms.arrays[fields.MAGNETIC_MOMENTS_KEY]
        copy = Atoms(
            numbers=atoms.numbers,
            positions=atoms.positions,
            cell=atoms.cell,
            pbc=atoms.pbc,
        )
        copy.set_initial_magnetic_moments(moments)
        copy.calc = calculator
        energy = copy.get_potential_energy()
        self.n_frames += 1
        count = len(atoms)
        self.energy.add(
            _label(atoms, "energy", (1,)) / count, np.array([energy / count])
        )
        self.forces.add(
            _label(atoms, "forces", (count, 3)), calculator.results["forces"]
        )
        if "stress" in calculator.results:
            self.stress.add(
                _label(atoms, "stress", (3, 3)),
                voigt_6_to_full_3x3_stress(calculator.results["stress"]),
            )
        for name, value in calculator.results["energies_by_term"].items():
            self.by_term.setdefault(name, []).append(value / count)
        self._add_magnetic(atoms, moments, calculator.results["magnetic_forces"])
        if self.model.header.moment_mode == "predicted":
            self._add_lengths(atoms, moments, calculator.results["moment_lengths"])

    def _add_magnetic(
        self, atoms: Atoms, moments: Array, magnetic_forces: Array
    ) -> None:
        if fields.MAGNETIC_FORCES_KEY not in atoms.arrays:
            return
        label = atoms.arrays[fields.MAGNETIC_FORCES_KEY]
        names = np.array(atoms.get_chemical_symbols())
        for name, scale in self.model.header.magnetic_force_scale.items():
            rows = names == name
            m, target = moments[rows], label[rows]
            prediction = scale * magnetic_forces[rows]
            length = np.linalg.norm(m, axis=1, keepdims=True)
            # an atom without a moment has no direction to split its force by
            e = np.divide(m, length, out=np.full_like(m, np.nan), where=length > 0)
            label_along = (target * e).sum(1, keepdims=True)
            along = (prediction * e).sum(1, keepdims=True)
            self.transverse.add(target - label_along * e, prediction - along * e)
            if self.model.header.moment_mode == "input":
                self.longitudinal.add(label_along, along)
            self.magnetic.add(target, prediction)
            self.torque.add(np.cross(m, target), np.cross(m, prediction))

    def _add_lengths(self, atoms: Atoms, moments: Array, predicted: Array) -> None:
        rows = np.isin(atoms.get_chemical_symbols(), self.model.header.magnetic_types)
        self.moment_length.add(np.linalg.norm(moments[rows], axis=1), predicted[rows])

    def errors(self) -> Errors:
        """The summary."""
        return Errors(
            n_frames=self.n_frames,
            energy_mae_mev_per_atom=self.energy.mae_mev(),
            energy_rmse_mev_per_atom=self.energy.rmse_mev(),
            energy_r2=self.energy.r2(),
            forces_mae_mev_per_a=self.forces.mae_mev(),
            forces_rmse_mev_per_a=self.forces.rmse_mev(),
            stress_mae_mev_per_a3=self.stress.mae_mev(),
            magnetic_force_scale=dict(self.model.header.magnetic_force_scale),
            magnetic_forces_transverse_mae_mev_per_mub=self.transverse.mae_mev(),
            magnetic_forces_transverse_rmse_mev_per_mub=self.transverse.rmse_mev(),
            magnetic_forces_longitudinal_mae_mev_per_mub=self.longitudinal.mae_mev(),
            magnetic_forces_mae_mev_per_mub=self.magnetic.mae_mev(),
            torque_mae_mev=self.torque.mae_mev(),
            moment_length_mae_mmub=self.moment_length.mae_mev(),
            energy_by_term_mev_per_atom={
                name: {
                    "mean": float(np.mean(values) * _MEV),
                    "std": float(np.std(values) * _MEV),
                }
                for name, values in self.by_term.items()
            },
        )


def evaluate(
    model: RunnableModel, paths: Sequence[str | Path], *, progress: bool = True
) -> Evaluation:
    """Predict every frame of some data sets.

    Args:
        model: from :func:`spinff.export.load_model`.
        paths: files or deepmd folders.
        progress: show a progress bar on standard error.

    Raises:
        SpinffError: for data that cannot be read, or that the model does not cover.
    """
    evaluation = Evaluation(model)
    calculator = SpinCalculator(model)
    for path in paths:
        frames = read_frames(path, type_names=model.header.type_names)
        for number, atoms in enumerate(
            tqdm(frames, desc=str(path), unit="frame", disable=not progress)
        ):
            try:
                evaluation.add(atoms, calculator)
            except SpinffError as error:
                raise SpinffError(f"{path}, frame {number}: {error}") from error
    return evaluation


def _label(atoms: Atoms, name: str, shape: tuple[int, ...]) -> Array:
    """A label, NaN where the frame has none."""
    try:
        assert atoms.calc is not None
        value = atoms.calc.get_property(name, atoms, allow_calculation=False)
    except PropertyNotImplementedError:
        value = None
    if value is None:
        return np.full(shape, np.nan)
    if name == "stress":
        value = voigt_6_to_full_3x3_stress(value)
    return np.asarray(value, dtype=float).reshape(shape)


def save_parity_plot(evaluation: Evaluation, path: Path) -> None:
    """Predictions against labels, a panel for each labelled quantity, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = [
        ("energy − mean", "meV/atom", evaluation.energy, True),
        ("forces", "meV/Å", evaluation.forces, False),
        ("magnetic forces ⊥ m", "meV/µB", evaluation.transverse, False),
        ("magnetic forces ∥ m", "meV/µB", evaluation.longitudinal, False),
        ("moment lengths", "mµB", evaluation.moment_length, False),
        ("stress", "meV/Å³", evaluation.stress, False),
    ]
    panels = [panel for panel in panels if panel[2].arrays()[0].size]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4 * len(panels), 3.8), squeeze=False
    )
    for axis, (title, unit, pairs, centred) in zip(axes[0], panels, strict=True):
        label, prediction = (_MEV * values for values in pairs.arrays())
        if centred:
            label, prediction = label - label.mean(), prediction - label.mean()
        limits = [
            min(label.min(), prediction.min()),
            max(label.max(), prediction.max()),
        ]
        axis.plot(limits, limits, color="0.7", linewidth=1, zorder=0)
        axis.plot(label, prediction, ".", markersize=3, alpha=0.6)
        axis.set_title(f"{title}\nMAE {pairs.mae_mev():.3g} {unit}", fontsize=10)
        axis.set_xlabel(f"label ({unit})")
        axis.set_ylabel(f"model ({unit})")
    figure.tight_layout()
    try:
        with whole_file(path) as temporary:
            figure.savefig(temporary, dpi=130)
    finally:
        plt.close(figure)
