"""``spinff train``: train a model from a nequip configuration."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("config", type=Path, help="nequip configuration (YAML)")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="hydra overrides right after CONFIG, such as trainer.max_epochs=10",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="directory of the run (default: the configuration's name)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from last.ckpt of that directory, after a kill",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the result as JSON; progress goes to standard error",
    )


def run(args: argparse.Namespace) -> int:
    """Trains, then writes the best weights to OUTPUT/model.pth."""
    from spinff.training.run import is_first_process, summary, train

    output = args.output or Path(args.config.stem)
    # Lightning and hydra report progress on standard output
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        model = train(args.config, output, args.overrides, resume=args.resume)
    if not is_first_process():
        return 0
    if args.json:
        sys.stdout.write(json.dumps(summary(model)) + "\n")
        return 0
    sys.stdout.write(
        f"trained model: {model}\nnext: spinff evaluate {model} DATA; "
        f"spinff deploy {model}\n"
    )
    return 0
