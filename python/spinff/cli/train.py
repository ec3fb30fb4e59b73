"""``spinff train``: train a model from a nequip configuration."""

from __future__ import annotations

import argparse
import sys
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


def run(args: argparse.Namespace) -> int:
    """Trains, then writes the best weights to OUTPUT/model.pth."""
    from spinff.training.run import train

    output = args.output or Path(args.config.stem)
    model = train(args.config, output, args.overrides, resume=args.resume)
    sys.stdout.write(
        f"trained model: {model}\nnext: spinff evaluate {model} DATA; "
        f"spinff deploy {model}\n"
    )
    return 0
