"""Plain Allegro on our tensor product beside nequip-allegro's own, on one core.

Ours is the model builder SpinAllegro without terms, theirs allegro.model.AllegroModel
with the same hyperparameters, cutoffs and number of weights, both in eager mode on the
same edges. A pass is forwards and backwards: energy, forces and stress. Training is
nequip's own loop, EMA and optimiser on the frames and batches of the NiO example.
The two alternate, and times are those of the processor.
"""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from hydra.utils import instantiate
from nequip.data import AtomicDataDict
from nequip.data.ase import from_ase
from nequip.data.transforms import (
    ChemicalSpeciesToAtomTypeMapper,
    NeighborListTransform,
)
from nequip.train import EMALightningModule
from networks import Example, build, cri3, model_config, nio
from omegaconf import OmegaConf
from one_pass import Times
from rows import REPOSITORY, Options, Result, Row

from spinff import fields

PASSES = 5
"""Of each model in a round."""
ROUNDS = 5
"""Of the tensor product; a ratio is the median over them."""
FITS = 3
"""Pairs of training runs of one epoch."""


def allegro_config(config: dict[str, Any]) -> dict[str, Any]:
    """AllegroModel with the hyperparameters of a SpinAllegro."""
    same = (
        "seed",
        "model_dtype",
        "type_names",
        "r_max",
        "per_edge_type_cutoff",
        "avg_num_neighbors",
        "per_type_energy_shifts",
        "per_type_energy_scales",
        "l_max",
        "num_layers",
        "num_scalar_features",
        "num_tensor_features",
    )
    shared = {name: config[name] for name in same if name in config}
    mlp = {
        f"{part}_mlp_hidden_layers_{size}": value
        for part in ("scalar_embed", "allegro", "readout")
        for size, value in (("depth", 1), ("width", 32))
    }
    radial = {
        "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
        "num_bessels": config["num_bessels"],
        "polynomial_cutoff_p": config.get("polynomial_cutoff_p", 6),
    }
    return {
        "_target_": "allegro.model.AllegroModel",
        **shared,
        **mlp,
        "radial_chemical_embed": radial,
    }


def both_configs(example: Example) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ours and theirs, of equally many weights."""
    config = model_config(example, terms=[], magnetic_force_scale_trainable=False)
    configs = config, allegro_config(config)
    counts = [
        sum(w.numel() for w in build(c).parameters() if w.requires_grad)
        for c in configs
    ]
    if counts[0] != counts[1]:
        sys.exit(
            f"plain_allegro.py: the two are not of one size, got {counts} weights, "
            "expected equally many"
        )
    return configs


def graph(example: Example, config: dict[str, Any]) -> AtomicDataDict.Type:
    """The example's atoms as a model of nequip takes them."""
    data = from_ase(example.atoms)
    moments = torch.as_tensor(example.atoms.get_initial_magnetic_moments())
    data[fields.MAGNETIC_MOMENTS_KEY] = moments
    to_types = ChemicalSpeciesToAtomTypeMapper(list(example.types))
    to_edges = NeighborListTransform(
        r_max=config["r_max"],
        per_edge_type_cutoff=config.get("per_edge_type_cutoff"),
        type_names=list(example.types),
    )
    return to_edges(to_types(data))


def pass_times(
    models: list[Callable[..., Any]], data: AtomicDataDict.Type, passes: int
) -> list[Times]:
    """Processor seconds of a pass in each round, by model."""
    seconds = np.zeros((len(models), ROUNDS))
    for model in models:
        model(data.copy())  # warms up
    for column in range(ROUNDS):
        for row, model in enumerate(models):
            start = time.process_time()
            for _ in range(passes):
                model(data.copy())
            seconds[row, column] = (time.process_time() - start) / passes
    return list(seconds)


def ratio_case(name: str, ours: Times, theirs: Times) -> dict[str, Any]:
    """How many times as fast ours is, by seconds of both."""
    ratios = theirs / ours
    case = {
        "case": name,
        "ratio": float(np.median(ratios)),
        "smallest": float(ratios.min()),
        "largest": float(ratios.max()),
        "seconds_spinff": float(np.median(ours)),
        "seconds_allegro": float(np.median(theirs)),
    }
    print(f"  {case}", flush=True)
    return case


def contraction(options: Options) -> Result:
    """Passes of NiO and of cri3; the value is the smallest ratio."""
    cases = []
    for example in (nio(), cri3()):
        configs = both_configs(example)
        models = [build(config).eval() for config in configs]
        passes = max(1, round(options.length * PASSES))
        ours, theirs = pass_times(models, graph(example, configs[0]), passes)
        cases.append(ratio_case(example.name, ours, theirs))
    what = (
        "time of nequip-allegro's own Allegro over ours, one pass forwards and "
        "backwards, eager, 1 core"
    )
    value = min(case["ratio"] for case in cases)
    return Result(what, value, 3.0, 1, cases, at_least=True)


class BatchTimes(lightning.Callback):
    """Processor seconds of every batch of a fit, loading of data included."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        """Lightning calls it."""
        self.ends.append(time.process_time())


def fit(config: dict[str, Any], batches: int) -> float:
    """Processor seconds of a batch: the median of a training run of one epoch."""
    content = OmegaConf.load(REPOSITORY / "examples" / "nio" / "train.yaml")
    data = OmegaConf.to_container(content.data, resolve=True)
    assert isinstance(data, dict)
    del data["stats_manager"]  # what it would find is filled in
    loss = {
        "_target_": "spinff.training.SpinLoss",
        "coeffs": {"energy": 500.0, "forces": 4.0},
    }
    module = EMALightningModule(
        model=config | {"compile_mode": "eager"},
        num_datasets={"train": 1, "val": 1, "test": 0, "predict": 0},
        loss=loss,
        val_metrics={**loss, "_target_": "spinff.training.SpinMetrics"},
        optimizer=OmegaConf.to_container(content.training_module.optimizer),
    )
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    times = BatchTimes()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=batches,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[times],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the number of workers that load data
        trainer.fit(module, datamodule=instantiate(data, _recursive_=False))
    return float(np.median(np.diff(times.ends)))


def training_speed(options: Options) -> Result:
    """Training on nio_deltaspin in batches of four frames of 32 atoms."""
    if "SPINFF_DATA" not in os.environ:
        sys.exit(
            "plain_allegro.py: no data, got no environment variable SPINFF_DATA, "
            "expected the folder that holds nio_deltaspin"
        )
    batches = max(4, round(options.length * 28))  # of an epoch of 112 frames
    configs = both_configs(nio())
    seconds = np.array([[fit(c, batches) for c in configs] for _ in range(FITS)])
    case = ratio_case("NiO, 32 atoms, batches of 4 frames", *seconds.T)
    case |= {
        "frames_per_s_spinff": 4 / case["seconds_spinff"],
        "frames_per_s_allegro": 4 / case["seconds_allegro"],
    }
    what = (
        "frames per second of training plain Allegro over nequip-allegro's own, "
        "eager, 1 core"
    )
    return Result(what, case["ratio"], None, 1, [case], at_least=True)


ROWS: dict[str, Row] = {"contraction": contraction, "training_speed": training_speed}
