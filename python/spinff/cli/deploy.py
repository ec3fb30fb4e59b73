"""``spinff deploy``: checkpoint to the one file LAMMPS and ASE read."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("checkpoint", type=Path, help="model.pth of spinff train")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="file to write (default: NAME.deployed.pth, or .pt2 for aoti, beside the "
        "checkpoint)",
    )
    parser.add_argument(
        "--format",
        choices=("torchscript", "aoti"),
        default="torchscript",
        help="torchscript runs anywhere; aoti is compiled for this processor and this "
        "torch, takes a minute or two and is faster (default: torchscript)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="type of the network's numbers (default: as trained)",
    )
    parser.add_argument("--json", action="store_true", help="print the header as JSON")


def run(args: argparse.Namespace) -> int:
    """Writes the file, reloads and compares it, prints where it is."""
    from spinff.export import FORMATS, deploy
    from spinff.header import read_header

    output = args.output or args.checkpoint.with_name(
        f"{args.checkpoint.stem}.deployed{FORMATS[args.format]}"
    )
    deploy(args.checkpoint, output, dtype=args.dtype, file_format=args.format)
    header = read_header(output)
    if args.json:
        sys.stdout.write(
            json.dumps({"output": str(output), **json.loads(header.to_json())}) + "\n"
        )
        return 0
    sys.stdout.write(
        f"deployed model: {output} ({header.model_class}, {header.dtype}, "
        f"{output.stat().st_size / 1e6:.2f} MB), reloaded and compared\n"
        f"LAMMPS: pair_style spin/allegro\n"
        f"        pair_coeff * * {output} {' '.join(header.type_names)}\n"
    )
    return 0
