"""Training on several processes, and after a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from spinff.data.references.rocksalt import Rocksalt
from spinff.training.run import train
from test_training import CONFIG, spinff

EPOCHS = 3
DOUBLE = "training_module.model.model_dtype=float64"
TWO = (
    "+trainer.devices=2",
    "+trainer.strategy._target_=nequip.train.SimpleDDPStrategy",
    "data.train_dataloader.batch_size=4",
)


def changed(config: dict[str, Any], path: Path) -> Path:
    # Lightning writes last.ckpt only in epochs that are the best so far: the forces,
    # which the loss is made of, become better with each, the energies at first do not
    config["training_module"]["val_metrics"]["coeffs"] = {"forces": 1.0}
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    return path


def checkpoint(run: Path) -> dict[str, Any]:
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=False)


def largest_difference(one: Path, other: Path, part: str) -> float:
    """Over the weights, or the optimiser's averages of gradients."""
    values = []
    for run in (one, other):
        full = checkpoint(run)
        if part == "weights":
            weights = {k: v for k, v in full["state_dict"].items() if "ema" in k}
            weights |= {k: v for k, v in full["state_dict"].items() if "model." in k}
            tensors = [v for v in weights.values() if isinstance(v, torch.Tensor)]
        else:
            states = full["optimizer_states"][0]["state"].values()
            tensors = [state["exp_avg"] for state in states]
        values.append(torch.cat([t.double().flatten() for t in tensors]))
    assert values[0].abs().max() > 0
    return float((values[0] - values[1]).abs().max() / values[0].abs().max())


# === several processes ===


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """All eight frames in each step, on one process and on two of four frames."""
    folder = tmp_path_factory.mktemp("processes")
    frames = Rocksalt().generate(8, seed=1)
    # Lightning's order of the first epoch: the second process has energies alone, so
    # that a mean of the means of the processes would be off by a factor of two
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    for index in order[1::2].tolist():
        frames[index].calc.results = {"energy": frames[index].get_potential_energy()}
        del frames[index].arrays["magnetic_forces"]
    ase.io.write(folder / "frames.xyz", frames)
    config = yaml.safe_load(CONFIG.read_text())
    del config["data"]["split_dataset"]
    config["data"] |= {"train_paths": "${frames}", "val_paths": "${frames}"}
    config["data"]["train_dataloader"]["batch_size"] = 8
    path = changed(config, folder / "config.yaml")
    overrides = [f"frames={folder / 'frames.xyz'}", DOUBLE, f"epochs={EPOCHS}"]
    train(path, folder / "one", overrides)
    two = spinff("train", path, *overrides, *TWO, "-o", folder / "two", cwd=folder)
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("trained model") == 1
    assert "Starting with 2 processes" in two.stdout + two.stderr
    return folder / "one", folder / "two"


def test_two_processes_give_the_weights_of_one(runs: tuple[Path, Path]) -> None:
    assert checkpoint(runs[1])["global_step"] == EPOCHS
    assert largest_difference(*runs, "gradients") < 1e-10
    assert largest_difference(*runs, "weights") < 1e-8


def test_two_processes_see_the_metrics_of_one(runs: tuple[Path, Path]) -> None:
    scores = [
        state["current_score"].item()
        for run in runs
        for name, state in checkpoint(run)["callbacks"].items()
        if name.startswith("ModelCheckpoint")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-8)


def test_two_processes_leave_the_files_of_one(runs: tuple[Path, Path]) -> None:
    one, two = ({path.name for path in run.iterdir()} for run in runs)
    assert {"model.pth", "best.ckpt", "last.ckpt"} <= one
    assert two - one == {"train_ddp_process_1.log"}
    assert one <= two


# === a kill ===


class Kill(Callback):
    """Ends the process as a scheduler does, between two steps of the second epoch."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    """To the bit: weights, averages and optimiser, with batches drawn at random."""
    frames = tmp_path / "frames.xyz"
    ase.io.write(frames, Rocksalt().generate(10, seed=1))
    config = yaml.safe_load(CONFIG.read_text())
    assert config["data"]["train_dataloader"]["shuffle"]
    config["training_module"]["lr_scheduler"] = {
        "scheduler": {
            "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
            "T_max": EPOCHS,
        },
        "interval": "epoch",
    }
    path = changed(config, tmp_path / "config.yaml")
    config["trainer"]["callbacks"].append({"_target_": f"{__name__}.Kill"})
    killer = changed(config, tmp_path / "killer.yaml")
    overrides = [f"frames={frames}", DOUBLE, f"epochs={EPOCHS}"]

    code = (
        "import sys; from pathlib import Path; from spinff.training.run import train; "
        "train(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])"
    )
    tests = {"PYTHONPATH": str(Path(__file__).parent)}
    arguments = [str(killer), str(tmp_path / "killed"), *overrides]
    killed = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | tests,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint(tmp_path / "killed")["global_step"] == 2
    assert not (tmp_path / "killed" / "model.pth").exists()

    train(path, tmp_path / "straight", overrides)
    assert largest_difference(tmp_path / "straight", tmp_path / "killed", "weights") > 0
    train(path, tmp_path / "killed", overrides, resume=True)
    for part in ("weights", "gradients"):
        two = (tmp_path / "straight", tmp_path / "killed")
        assert largest_difference(*two, part) == 0.0, part
