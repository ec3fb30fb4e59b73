"""``spinff evaluate``: errors of a model on labelled data."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

_ROWS = (
    ("energy", "energy_{}_mev_per_atom", "meV/atom"),
    ("forces", "forces_{}_mev_per_a", "meV/Å"),
    ("stress", "stress_{}_mev_per_a3", "meV/Å³"),
    ("magnetic forces, ⊥ m", "magnetic_forces_transverse_{}_mev_per_mub", "meV/µB"),
    ("magnetic forces, ∥ m", "magnetic_forces_longitudinal_{}_mev_per_mub", "meV/µB"),
    ("magnetic forces, whole", "magnetic_forces_{}_mev_per_mub", "meV/µB"),
    ("torque m × f_m", "torque_{}_mev", "meV"),
    ("moment length", "moment_length_{}_mmub", "mµB"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("model", type=Path, help="checkpoint or deployed file")
    parser.add_argument("data", nargs="+", help="extended XYZ files or deepmd folders")
    parser.add_argument(
        "--plot",
        type=Path,
        default=Path("parity.png"),
        help="picture of predictions against labels (default: parity.png)",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--json", action="store_true", help="print the errors as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints a table or JSON, and saves the picture."""
    from spinff.evaluation import evaluate, save_parity_plot
    from spinff.export import load_model

    model = load_model(args.model, device=args.device)
    evaluation = evaluate(model, args.data)
    save_parity_plot(evaluation, args.plot)
    errors = evaluation.errors().as_dict()
    if args.json:
        sys.stdout.write(json.dumps(errors) + "\n")
        return 0
    sys.stdout.write(format_table(errors))
    sys.stdout.write(f"parity plot: {args.plot}\n")
    return 0


def format_table(errors: dict[str, object]) -> str:
    """The errors as lines of text."""
    lines = [
        f"{errors['n_frames']} frames",
        f"{'':24}{'MAE':>10}{'RMSE':>10}",
    ]
    for name, key, unit in _ROWS:
        mae, rmse = (_number(errors.get(key.format(kind))) for kind in ("mae", "rmse"))
        lines.append(f"{name:24}{mae:>10}{rmse:>10}  {unit}")
    lines.append(f"R² of the energy per atom: {_number(errors['energy_r2'], '.6f')}")
    scale = errors["magnetic_force_scale"]
    assert isinstance(scale, dict)
    text = ", ".join(f"{name} {value:.4f}" for name, value in scale.items())
    lines += [
        f"label scale (label / −∂E/∂m): {text}",
        "Energies include the reference energies fitted to the training set; nothing "
        "is shifted here.",
    ]
    if errors["magnetic_forces_longitudinal_mae_mev_per_mub"] is None:
        lines.append(
            "A model whose energy does not depend on |m| has no magnetic force along "
            "m; the whole vector counts it as zero."
        )
    terms = errors["energy_by_term_mev_per_atom"]
    assert isinstance(terms, dict)
    lines.append(f"{'energy by term':24}{'mean':>10}{'spread':>10}  meV/atom")
    for name, figures in terms.items():
        mean, spread = _number(figures["mean"]), _number(figures["std"])
        lines.append(f"  {name:22}{mean:>10}{spread:>10}")
    return "\n".join(lines) + "\n"


def _number(value: object, form: str = ".4g") -> str:
    return "–" if value is None else format(value, form)
