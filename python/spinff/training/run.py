"""A training run: nequip's, with checks before it and a compact model file after it."""

from __future__ import annotations

import os
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from hydra.errors import ConfigCompositionException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf

from spinff.errors import SpinffError
from spinff.export import check_device
from spinff.files import whole_file
from spinff.models.checkpoint import CHECKPOINT_KEY, CHECKPOINT_VERSION
from spinff.training.config import check_config

# of a Lightning checkpoint, what inference needs; the optimiser's state is dropped
_KEPT = ("state_dict", "hyper_parameters", "pytorch-lightning_version", "epoch")
_WORKER = Path(__file__).with_name("worker.py")


def train(
    config: Path, output: Path, overrides: list[str], *, resume: bool = False
) -> Path:
    """Run ``nequip-train`` with a configuration and write ``model.pth``.

    Args:
        config: nequip configuration.
        output: directory of the run, created if needed.
        overrides: hydra overrides.
        resume: continue from ``output/last.ckpt``.

    Returns:
        Path of the best model: weights, configuration, hash of the training data.

    Raises:
        SpinffError: bad configuration or data, or a run already there.
    """
    content = check_config(config)
    check_accelerator(content, overrides)
    last, best = output / "last.ckpt", output / "best.ckpt"
    if resume and not last.is_file():
        raise SpinffError(
            f"nothing to resume, got no '{last}', expected the "
            "checkpoint of an earlier run; leave out --resume, or give --output"
        )
    if not resume and last.exists():
        raise SpinffError(
            f"'{output}' holds a run already (last.ckpt), expected a "
            "new directory; add --resume to go on with it, or give another --output"
        )
    arguments = [
        f"hydra.run.dir={_quoted(output)}",
        *checkpoint_plugin(content, overrides),
        *overrides,
        *([f"++ckpt_path={_quoted(last)}"] if resume else []),
    ]
    _run_nequip(config, arguments)
    if not is_first_process():
        return output / "model.pth"
    if not best.is_file():
        raise SpinffError(
            f"the run left no '{best}', expected a ModelCheckpoint "
            "callback with filename: best and save_last: true; see "
            "examples/nio/train.yaml"
        )
    return write_model(best, output / "model.pth")


def is_first_process() -> bool:
    """Whether files and messages are this process's, also under torchrun or Slurm."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def check_accelerator(config: dict[str, Any], overrides: list[str]) -> None:
    """Raise SpinffError for a GPU asked for that is not there."""
    asked = [config["trainer"].get("accelerator")]
    asked += [text.split("=", 1)[1] for text in overrides if "accelerator=" in text]
    if asked[-1] in ("gpu", "cuda"):
        check_device("cuda", "trainer.accelerator")


def checkpoint_plugin(config: dict[str, Any], overrides: list[str]) -> list[str]:
    """Override that adds ``WholeCheckpoints``, unless a run has plugins of its own."""
    if "plugins" in config["trainer"] or any("trainer.plugins" in o for o in overrides):
        return []
    target = "spinff.training.checkpoint_io.WholeCheckpoints"
    return [f"+trainer.plugins=[{{_target_: {target}}}]"]


def write_model(checkpoint: Path, path: Path) -> Path:
    """Keep what inference needs of a checkpoint, with the hash of its training data."""
    full = torch.load(checkpoint, map_location="cpu", weights_only=False)
    kept: dict[str, Any] = {key: full[key] for key in _KEPT if key in full}
    info = full["hyper_parameters"]["info_dict"]
    kept[CHECKPOINT_KEY] = {
        "version": CHECKPOINT_VERSION,
        "training_data_sha256": training_data_sha256(info["data"]),
    }
    content = BytesIO()  # torch's own writer has no clear error for a full disk
    torch.save(kept, content)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return path


def summary(path: Path) -> dict[str, Any]:
    """What ``spinff train --json`` prints of a finished run."""
    kept = torch.load(path, map_location="cpu", weights_only=False)
    return {
        "model": str(path),
        "best_epoch": kept["epoch"],
        "training_data_sha256": kept[CHECKPOINT_KEY]["training_data_sha256"],
    }


def training_data_sha256(data_config: dict[str, Any]) -> str:
    """Hash of the training frames of a ``data`` section, if it is spinff's own."""
    from hydra.utils import instantiate

    from spinff.data import SpinDataModule

    module = instantiate(data_config, _recursive_=False)
    if not isinstance(module, SpinDataModule):
        return ""
    return module.training_data_sha256()


def _quoted(path: Path) -> str:
    return "'" + str(path.resolve()).replace("'", "\\'") + "'"


def _run_nequip(config: Path, arguments: list[str]) -> None:
    """Call nequip's entry point in this process, with its command line."""
    from nequip.scripts.train import main as nequip_train

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    saved = sys.argv
    sys.argv = [
        str(_WORKER),  # what Lightning starts for the other processes of a run
        f"--config-path={config.resolve().parent}",
        f"--config-name={config.stem}",
        *arguments,
    ]
    try:
        with warnings.catch_warnings():
            # hydra has written its record of the configuration there before
            warnings.filterwarnings("ignore", "Checkpoint directory .* is not empty")
            nequip_train()
    except Exception as error:
        raise _own_error(error) from error
    finally:
        sys.argv = saved
        # nequip registers it for the process, and a second run would not be allowed
        OmegaConf.clear_resolver("training_data_stats")


def _own_error(error: BaseException) -> BaseException:
    """The SpinffError inside hydra's wrapping, or the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SpinffError):
            return cause
        if isinstance(cause, ConfigCompositionException):
            reason = str(cause).splitlines()[0].rstrip(".")
            return SpinffError(
                f"overrides: hydra cannot apply one, got '{reason}', expected "
                "KEY=VALUE for a key of the configuration, or +KEY=VALUE for a new "
                "one; correct the override"
            )
        cause = cause.__cause__
    return error
