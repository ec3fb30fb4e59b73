"""Trained models from checkpoints."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, get_method
from nequip.model.utils import override_model_compile_mode
from nequip.nn import GraphModel
from nequip.utils.global_state import global_state_initialized, set_global_state

from spinff.errors import SpinffError
from spinff.header import archive_kind

# our own part of model.pth, beside Lightning's
CHECKPOINT_KEY = "spinff-checkpoint"
CHECKPOINT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with what it was built from."""

    model: GraphModel
    """In evaluation mode, with the averaged (EMA) weights where the run kept them."""
    config: dict[str, Any]
    """Arguments of the model builder, statistics of the data filled in."""
    training_data_sha256: str
    """Hash of the training frames, ``unknown`` in a checkpoint of a run under way."""


def load_checkpoint(path: str | Path, dtype: str | None = None) -> Checkpoint:
    """Load ``model.pth`` or a Lightning checkpoint of a spinff model.

    Args:
        path: file of ``spinff train``.
        dtype: ``float32`` or ``float64`` network; None keeps the trained one.

    Raises:
        SpinffError: missing, truncated, of another kind, newer, or another model.
    """
    who = f"checkpoint '{path}'"
    kind = archive_kind(path)
    if kind != "checkpoint":
        raise SpinffError(
            f"{who}: the file is of another kind, got a {kind} file, expected "
            "model.pth of spinff train; check the path"
        )
    raw = _read(path, who)
    own = raw.get(CHECKPOINT_KEY, {})
    if own.get("version", 0) > CHECKPOINT_VERSION:
        raise SpinffError(
            f"{who}: written by a newer spinff, got checkpoint version "
            f"{own['version']}, expected at most {CHECKPOINT_VERSION}; update spinff"
        )
    config = dict(raw["hyper_parameters"]["model"])
    if not str(config.get("_target_", "")).startswith("spinff."):
        raise SpinffError(
            f"{who}: not a spinff model, got {config.get('_target_')}, expected "
            "spinff.models.SpinAllegro; use nequip's own commands for it"
        )
    if not global_state_initialized():
        set_global_state()
    model = _trained(path, raw)
    if dtype is not None and dtype != config["model_dtype"]:
        config["model_dtype"] = dtype
        model = _rebuild(config, model)
    return Checkpoint(
        model=model.eval(),
        config=config,
        training_data_sha256=own.get("training_data_sha256") or "unknown",
    )


def _read(path: str | Path, who: str) -> dict[str, Any]:
    try:
        raw = torch.load(path, map_location="cpu", weights_only=False)
    except (RuntimeError, EOFError, OSError) as error:
        raise SpinffError(
            f"{who}: cannot be read, got {str(error).splitlines()[0]}, expected a "
            "whole checkpoint; copy it again or go back to last.ckpt"
        ) from error
    if not isinstance(raw, dict) or "model" not in raw.get("hyper_parameters", {}):
        raise SpinffError(
            f"{who}: no model configuration inside, expected a checkpoint of "
            "spinff train; check the path"
        )
    return raw


def _trained(path: str | Path, raw: dict[str, Any]) -> GraphModel:
    """The model with its best weights, as nequip restores it."""
    training_module: Any = get_class(
        raw["hyper_parameters"]["info_dict"]["training_module"]["_target_"]
    )
    logging.getLogger("nequip").setLevel(logging.WARNING)
    with override_model_compile_mode("eager"), warnings.catch_warnings():
        # Lightning warns that a metric module is saved in the hyper-parameters
        warnings.simplefilter("ignore")
        module = training_module.load_from_checkpoint(
            path, map_location="cpu", weights_only=False
        )
        model = module.evaluation_model["sole_model"]
    assert isinstance(model, GraphModel)
    return model


def _rebuild(config: dict[str, Any], trained: GraphModel) -> GraphModel:
    """The same weights in a network of another floating-point type."""
    arguments = {key: value for key, value in config.items() if key != "_target_"}
    with override_model_compile_mode("eager"):
        model = get_method(config["_target_"])(**arguments)
    assert isinstance(model, GraphModel)
    # Weights only. Buffers are constants, such as Clebsch–Gordan coefficients, that the
    # builder makes in the new type: those of a float32 network would leave a float64
    # one symmetric to 1e-8.
    weights = dict(trained.named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name])
    return model
