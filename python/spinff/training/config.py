"""Checks of a training configuration before anything is built.

A configuration is a nequip configuration: sections, and dictionaries whose ``_target_``
names what to build. Each key beside a ``_target_`` must be a parameter of it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf

from spinff.errors import SpinffError

_SECTIONS = {
    "run",
    "data",
    "trainer",
    "training_module",
    "global_options",
    "hydra",
    "defaults",
    "ckpt_path",
}
_REQUIRED = ("run", "data", "trainer", "training_module")
# hydra's own keys beside a _target_
_HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
# consumed by nequip's model_builder decorator, not by the builder
_MODEL_BUILDER_KEYS = {"seed", "model_dtype", "compile_mode", "type_names"}


def check_config(path: Path) -> dict[str, Any]:
    """Read a configuration and raise SpinffError for the first key that is not known.

    Top-level keys that no section knows are allowed when another value refers to them
    (``${name}``), as variables.
    """
    if not path.is_file():
        raise SpinffError(
            f"no such configuration, got '{path}', expected a YAML file; check the path"
        )
    text = path.read_text()
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpinffError(
            f"{path} is not YAML, got {error}, expected a nequip "
            "configuration; correct the file"
        ) from error
    if not isinstance(config, dict):
        raise SpinffError(
            f"{path} holds no sections, got {type(config).__name__}, "
            f"expected {', '.join(_REQUIRED)}; start from examples/nio/train.yaml"
        )
    missing = [name for name in _REQUIRED if name not in config]
    if missing:
        raise SpinffError(
            f"{path} lacks the section(s) {', '.join(missing)}, "
            f"expected {', '.join(_REQUIRED)}; start from examples/nio/train.yaml"
        )
    variables = {key for key in config if f"${{{key}}}" in text or f"${{{key}." in text}
    _check_keys(set(config) - variables, _SECTIONS, str(path))
    _check_targets(config, "")
    _check_longitudinal(config, path)
    return config


def _check_longitudinal(config: dict[str, Any], path: Path) -> None:
    """Refuse labels along moments for a model of directions, which has none."""
    resolved = OmegaConf.create(config)
    mode = OmegaConf.select(resolved, "training_module.model.moment_mode") or "fixed"
    builder = OmegaConf.select(resolved, "training_module.model._target_") or ""
    if mode == "input" or not str(builder).endswith(("SpinAllegro", "SpinNequIP")):
        return
    for part in ("loss", "val_metrics"):
        coeffs = OmegaConf.select(resolved, f"training_module.{part}.coeffs") or {}
        if "magnetic_forces_longitudinal" in coeffs:
            raise SpinffError(
                f"{path}: training_module.{part}, got magnetic_forces_longitudinal "
                f"with moment_mode: {mode}, expected moment_mode: input, because "
                "otherwise the energy depends on directions alone and has no force "
                "along a moment; take it out or change moment_mode"
            )


def _check_targets(node: Any, where: str) -> None:  # noqa: ANN401 - any YAML value
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_targets(item, f"{where}[{index}]")
    elif isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str) and "${" not in node["_target_"]:
            _check_target(node, where)
        for key, value in node.items():
            _check_targets(value, f"{where}.{key}" if where else str(key))


def _check_target(node: Mapping[str, Any], where: str) -> None:
    target = node["_target_"]
    try:
        factory = get_object(target)
    except Exception as error:
        raise SpinffError(
            f"{where}._target_ cannot be imported, got '{target}' "
            f"({error}), expected the dotted name of a class or function; correct it"
        ) from error
    known = _parameters(factory)
    if known is not None:
        _check_keys(set(node) - _HYDRA_KEYS, known, f"{where} ({target})")


def _parameters(factory: Callable[..., Any]) -> set[str] | None:
    """Names a factory accepts; None if it accepts any (``**kwargs``)."""
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    extra = _MODEL_BUILDER_KEYS if hasattr(factory, "__wrapped__") else set()
    return (set(parameters) - {"self"}) | extra


def _check_keys(keys: set[str], known: set[str], where: str) -> None:
    for key in sorted(keys - known):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "remove or rename it"
        raise SpinffError(
            f"unknown key in {where}, got '{key}', expected one of "
            f"{', '.join(sorted(known))}; {hint}"
        )
