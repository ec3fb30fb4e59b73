"""``spinff info MODEL``: what a model file contains."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spinff.errors import SpinffError
from spinff.header import FORMAT, ModelHeader, archive_kind, read_header


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.description = (
        "Describes a model file: the header of a deployed model (read without loading "
        "the network), or the configuration and progress of a training checkpoint."
    )
    parser.add_argument("model", type=Path, help="deployed model or checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the description."""
    if archive_kind(args.model) == "checkpoint":
        description = describe_checkpoint(args.model)
        rows = checkpoint_rows(description)
    else:
        header = read_header(args.model)
        description = {"kind": FORMAT, "file_bytes": args.model.stat().st_size}
        description |= asdict(header)
        rows = header_rows(header, description["file_bytes"])
    if args.json:
        print(json.dumps(description, indent=1, default=str))
    else:
        print_rows(rows)
    return 0


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Prints names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}".rstrip())


def header_rows(header: ModelHeader, file_bytes: int) -> list[tuple[str, str]]:
    """The header of a deployed model as names and values for the reader."""
    moments = [f"{name} {length:g}" for name, length in header.moments.items()]
    scales = [f"{name} {s:g}" for name, s in header.magnetic_force_scale.items()]
    rows = [
        ("kind", f"deployed model, format {header.format_version}, {header.backend}"),
        ("size", f"{file_bytes / 1e6:.2f} MB"),
        ("model class", header.model_class),
        ("energy terms", ", ".join(header.terms)),
        ("spin-orbit coupling", "on" if header.spin_orbit_coupling else "off"),
        ("types", " ".join(header.type_names)),
        ("moments (µB)", f"{', '.join(moments) or 'none'}; {header.moment_mode}"),
        ("largest cutoff (Å)", f"{header.r_max:g}"),
    ]
    rows += [
        (f"cutoffs of {name} (Å)", cutoff_row(header.type_names, row))
        for name, row in zip(header.type_names, header.cutoffs, strict=True)
    ]
    versions = ("spinff", "torch", "nequip", "allegro", "e3nn")
    return [
        *rows,
        ("network", header.dtype),
        ("label scale", ", ".join(scales) or "none"),
        ("training data", f"sha256 {header.training_data_sha256}"),
        (
            "written by",
            ", ".join(
                f"{name} {getattr(header, f'{name}_version')}" for name in versions
            ),
        ),
        ("revision", header.git_revision),
        ("created", header.created),
    ]


def cutoff_row(type_names: Sequence[str], cutoffs: Sequence[float]) -> str:
    """Cutoffs of one centre type to each neighbour type."""
    pairs = zip(type_names, cutoffs, strict=True)
    return ", ".join(f"{name} {cutoff:g}" for name, cutoff in pairs)


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """Configuration, progress and size of a training checkpoint.

    Only tensors and plain values are unpickled, so that looking at a file from someone
    else cannot run code.
    """
    import pickle

    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        hyper = checkpoint["hyper_parameters"]
        info = hyper["info_dict"]
        state = checkpoint["state_dict"]
        own = checkpoint.get("spinff-checkpoint", {})
    except (KeyError, TypeError) as error:
        raise SpinffError(
            f"model file '{path}': the file is of another kind, got a torch archive "
            f"without {error}, expected a checkpoint of spinff train or a model "
            "written by spinff deploy; check the path"
        ) from error
    except (pickle.UnpicklingError, RuntimeError) as error:
        first_line = str(error).splitlines()[0]
        raise SpinffError(
            f"model file '{path}': the checkpoint cannot be read, got {first_line}, "
            "expected a checkpoint of spinff train; copy it again"
        ) from error
    return {
        "kind": "training checkpoint",
        "file_bytes": path.stat().st_size,
        "epoch": checkpoint.get("epoch"),
        "training_data_sha256": own.get("training_data_sha256"),
        "numbers_in_state": sum(
            value.numel()
            for name, value in state.items()
            if name.startswith("model.") and isinstance(value, torch.Tensor)
        ),
        "versions": {k: v for k, v in info["versions"].items() if v is not None},
        "model": hyper["model"],
    }


def checkpoint_rows(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A checkpoint's description as names and values for the reader."""
    versions = description["versions"].items()
    return [
        ("kind", description["kind"]),
        ("size", f"{description['file_bytes'] / 1e6:.2f} MB"),
        ("epoch", str(description["epoch"])),
        ("training data", f"sha256 {description['training_data_sha256'] or 'unknown'}"),
        ("numbers in the state", str(description["numbers_in_state"])),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions)),
        *((f"model.{key}", str(v)) for key, v in flatten(description["model"])),
    ]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted names with their values."""
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows
