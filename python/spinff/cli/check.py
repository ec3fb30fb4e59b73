"""``spinff check``: symmetry, derivatives and smoothness of a model file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description = (
        "Checks a model on one structure: equivariance, finite differences of every "
        "derivative, smoothness at the cutoffs and at vanishing moments, size "
        "consistency, symmetry of the couplings, and that frames of a batch do not see "
        f"each other. Exit status 0, or {EXIT_FAILED} if a check fails."
    )
    parser.add_argument("model", type=Path, help="checkpoint or deployed file")
    parser.add_argument(
        "structure",
        type=Path,
        nargs="?",
        help="extended XYZ or deepmd folder with moments, or any structure file, which "
        "gets random ones (default: random atoms of the model's species)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="numbers of the network, for a checkpoint (default: as trained); float64 "
        "shows faults that rounding hides",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Checks, prints a table or JSON."""
    from spinff.testing import check_file

    report = check_file(
        args.model,
        args.structure,
        device=args.device,
        dtype=args.dtype,
        progress=True,
    )
    print(json.dumps(report.as_dict()) if args.json else report)
    return 0 if report.passed else EXIT_FAILED
