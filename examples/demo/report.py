"""The pictures and the report of the demo."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from couplings import Comparison, anisotropic, dm_vectors, isotropic, sum_images
from numpy.typing import NDArray

mpl.use("Agg")

from matplotlib import pyplot as plt

Array = NDArray[np.float64]
Thermo = Mapping[str, Array]
"""Columns of LAMMPS' thermo output."""

COLOURS = ("tab:blue", "tab:red")
"""Of the temperatures, in their order."""


@dataclass(frozen=True)
class Dynamics:
    """One run of LAMMPS."""

    temperature: float
    """K, of the spins' thermostat."""
    lattice_temperature: float
    """K, of the lattice's."""
    n_atoms: int
    thermo: Thermo
    """Columns of ``examples/nio/in.nio``."""


@dataclass(frozen=True)
class Results:
    """Everything the report shows."""

    errors: Mapping[str, object]
    """Of ``spinff evaluate --json`` on the held-out frames."""
    n_train: int
    shells: Comparison
    """Of the undistorted crystal."""
    held_out: Comparison
    """Of the held-out frames."""
    dynamics: Sequence[Dynamics]
    ranks: int
    timestep: float
    """ps."""
    stages: Sequence[tuple[str, float]]
    """Titles and seconds."""


# === numbers ===


def sublattices(thermo: Thermo) -> tuple[Array, Array]:
    """Magnetisation of both sublattices along the order's direction n of the moment.

    The order as a whole may turn, above all without anisotropy; n turns with it.

    Returns:
        Mean of e·n over the spins of each sublattice, 1 and −1 in perfect order.
    """
    up, down = (
        np.stack([thermo[f"c_{name}[{k}]"] for k in (1, 2, 3)], axis=1)
        for name in ("mup", "mdown")
    )
    n = (up - down) / np.linalg.norm(up - down, axis=1, keepdims=True)
    return (up * n).sum(axis=1), (down * n).sum(axis=1)


def staggered(thermo: Thermo) -> Array:
    """Half the difference of both sublattices."""
    up, down = sublattices(thermo)
    return (up - down) / 2


def second_half(values: Array) -> float:
    """Mean over the second half of a run."""
    return float(values[len(values) // 2 :].mean())


def shell_rows(shells: Comparison) -> list[tuple[float, int, float, float]]:
    """Distance, neighbours, true J and model's J of each shell of a crystal."""
    rounded = np.round(shells.distance, 3)
    true, model = isotropic(shells.true), isotropic(shells.model)
    atoms = len(np.unique(shells.pairs[:, 0]))
    return [
        (
            float(d),
            int((rounded == d).sum() // atoms),
            float(true[rounded == d].mean()),
            float(model[rounded == d].mean()),
        )
        for d in np.unique(rounded)
    ]


def component_rows(pairs: Comparison) -> list[tuple[str, float, float]]:
    """Name, root mean square true value and error of each part of J, meV."""
    parts = {
        "isotropic J": isotropic,
        "Dzyaloshinskii–Moriya vector D, component": dm_vectors,
        "symmetric anisotropy Γ, component": anisotropic,
    }
    return [
        (name, _rms(part(pairs.true)), _rms(part(pairs.model) - part(pairs.true)))
        for name, part in parts.items()
    ]


def _rms(values: Array) -> float:
    return float(np.sqrt(np.square(values).mean()))


def machine() -> str:
    """The processor's name and the number of cores this process may use."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        models = [line for line in lines if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


# === pictures ===


def plot_exchange(held_out: Comparison, path: Path) -> None:
    """J against distance, parity of D and Γ, of the held-out frames."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8))
    left.plot(
        held_out.distance, isotropic(held_out.model), ".", ms=3, color="tab:blue",
        alpha=0.4, label="model",
    )  # fmt: skip
    order = np.argsort(held_out.distance)
    left.plot(
        held_out.distance[order], isotropic(held_out.true)[order], color="k", lw=1.2,
        label="generator",
    )  # fmt: skip
    left.set(xlabel="distance (Å)", ylabel="J (meV), > 0 antiferromagnetic")
    left.set_title("isotropic exchange", fontsize=10)
    left.legend(frameon=False)
    sums = sum_images(held_out)
    _parity(middle, dm_vectors(sums.true), dm_vectors(sums.model), "D")
    _parity(right, anisotropic(sums.true), anisotropic(sums.model), "Γ")
    _save(figure, path)


def _parity(axis: plt.Axes, true: Array, model: Array, name: str) -> None:
    limits = [min(true.min(), model.min()), max(true.max(), model.max())]
    axis.plot(limits, limits, color="0.7", linewidth=1, zorder=0)
    axis.plot(true.ravel(), model.ravel(), ".", ms=3, alpha=0.4)
    axis.set(xlabel="generator (meV)", ylabel="model (meV)")
    title = f"components of {name}: error {_rms(model - true):.2g} meV rms"
    axis.set_title(title, fontsize=10)


def plot_energy(runs: Sequence[Dynamics], path: Path) -> None:
    """Potential energy, and the temperature of the lattice, against time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    for run, colour in zip(runs, COLOURS, strict=False):
        time = run.thermo["Time"]
        energy = run.thermo["PotEng"] - run.thermo["PotEng"][0]
        left.plot(
            time,
            1000 * energy / run.n_atoms,
            color=colour,
            label=f"{run.temperature:g} K",
        )
        right.plot(time, run.thermo["Temp"], color=colour)
    left.set(xlabel="time (ps)", ylabel="potential energy (meV/atom)")
    left.set_title("energy above the ordered crystal", fontsize=10)
    left.legend(frameon=False)
    right.set(xlabel="time (ps)", ylabel="temperature (K)", ylim=(0, None))
    right.set_title("temperature of the lattice", fontsize=10)
    _save(figure, path)


def plot_magnetisation(runs: Sequence[Dynamics], path: Path) -> None:
    """Magnetisation of both sublattices against time."""
    figure, axis = plt.subplots(figsize=(6.5, 3.8))
    axis.axhline(0, color="0.8", lw=0.8, zorder=0)
    for run, colour in zip(runs, COLOURS, strict=False):
        up, down = sublattices(run.thermo)
        time = run.thermo["Time"]
        axis.plot(time, up, color=colour, label=f"{run.temperature:g} K, up")
        axis.plot(time, down, "--", color=colour, label=f"{run.temperature:g} K, down")
    axis.set(
        xlabel="time (ps)", ylabel="mean of e·n over a sublattice", ylim=(-1.05, 1.05)
    )
    axis.set_title("sublattice magnetisation of NiO", fontsize=10)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


# === text ===


def write_report(results: Results, path: Path) -> None:
    """Writes ``report.md``; the pictures lie beside it."""
    path.write_text("\n\n".join(_sections(results)) + "\n")


def _sections(r: Results) -> list[str]:
    runs = r.dynamics
    temperatures = " and ".join(f"{run.temperature:g}" for run in runs)
    return [
        "# spinff demo",
        _summary(r),
        "## A model of a known Hamiltonian",
        f"Errors on {r.errors['n_frames']} held-out frames:",
        _error_table(r.errors),
        "![model against labels](parity.png)",
        "Exchange of the undistorted crystal, generator against model (the labels hold "
        "energies and their derivatives, never J itself):",
        _table(
            ("distance (Å)", "neighbours", "true J (meV)", "model's J (meV)"),
            [
                (f"{d:.3f}", n, f"{t:.3f}", f"{m:.3f}")
                for d, n, t, m in shell_rows(r.shells)
            ],
        ),
        "The tensors in the held-out frames, displaced and strained. The images of an "
        "atom carry one spin in these cells of 16 atoms, so that the labels hold "
        "only the sum over the images: that sum is compared.",
        _table(
            ("part of the exchange tensor", "true rms (meV)", "error rms (meV)"),
            [
                (name, f"{t:.3g}", f"{e:.2g}")
                for name, t, e in component_rows(sum_images(r.held_out))
            ],
        ),
        "![exchange](exchange.png)",
        f"## Spin–lattice dynamics of NiO, spins at {temperatures} K",
        _dynamics_text(r),
        _dynamics_table(runs),
        "![energy](energy.png)",
        "![sublattice magnetisation](magnetisation.png)",
        "## Time",
        f"{machine()}.",
        _table(
            ("stage", "seconds"),
            [
                *((title, f"{seconds:.0f}") for title, seconds in r.stages),
                ("all", f"{sum(seconds for _, seconds in r.stages):.0f}"),
            ],
        ),
    ]


def _summary(r: Results) -> str:
    """What was done, in five lines."""
    run = r.dynamics[0]
    steps = int(run.thermo["Step"][-1])
    return "\n".join(
        [
            f"1. Generated {r.n_train} training and {r.errors['n_frames']} held-out "
            "frames of a spin–lattice Hamiltonian with exact labels (\\*.xyz).",
            "2. Trained an MSENN on them: lattice energy and exchange tensors from one "
            "Allegro network (training/).",
            "3. Evaluated it on the held-out frames (errors.json) and deployed it as "
            "one file, reference.pth.",
            "4. Compared its exchange with the generator's, which it never saw.",
            f"5. Ran the shipped potential of NiO in LAMMPS: {run.n_atoms} atoms, "
            f"{steps} steps of {1000 * r.timestep:g} fs on {r.ranks} MPI ranks, "
            "fix nvt + fix spin/sib (dynamics_\\*/).",
        ]
    )


def _error_table(errors: Mapping[str, object]) -> str:
    rows = (
        ("energy", "energy_mae_mev_per_atom", "meV/atom"),
        ("forces", "forces_mae_mev_per_a", "meV/Å"),
        ("stress", "stress_mae_mev_per_a3", "meV/Å³"),
        ("magnetic forces ⊥ m", "magnetic_forces_transverse_mae_mev_per_mub", "meV/µB"),
    )
    lines = [
        (name, f"{errors[key]:.3g}", unit)
        for name, key, unit in rows
        if errors.get(key) is not None
    ]
    return _table(("quantity", "mean absolute error", "unit"), lines)


def _dynamics_text(r: Results) -> str:
    picoseconds = r.dynamics[0].thermo["Time"][-1]
    return (
        "The spins start ordered and take up heat from a bath of that temperature, far "
        "below and above NiO's Néel temperature (525 K in experiment). The lattice has "
        f"a bath of {r.dynamics[0].lattice_temperature:g} K, and springs hold the "
        "atoms near their sites: the potential was trained there and fails farther. It "
        "was trained near the spins' order, too: disorder is an extrapolation "
        "(potentials/NiO/README.md). Four simple cubic sublattices, each held by the "
        "180° exchange, turn against each other at little cost, in a small cell soon. "
        f"{picoseconds:.2g} ps are too short for equilibrium: read the curves as the "
        "way the order answers to heat, not as thermal averages."
    )


def _dynamics_table(runs: Sequence[Dynamics]) -> str:
    return (
        _table(
            (
                "bath of the spins (K)",
                "lattice (K)",
                "staggered magnetisation",
                "potential energy gained (meV/atom)",
            ),
            [
                (
                    f"{run.temperature:g}",
                    f"{second_half(run.thermo['Temp']):.0f}",
                    f"{second_half(staggered(run.thermo)):.3f}",
                    f"{_energy_gained(run):.1f}",
                )
                for run in runs
            ],
        )
        + "\n\nMeans over the second half of each run."
    )


def _energy_gained(run: Dynamics) -> float:
    energy = run.thermo["PotEng"]
    return 1000 * (second_half(energy) - float(energy[0])) / run.n_atoms


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(x) for x in line) + " |" for line in lines)
