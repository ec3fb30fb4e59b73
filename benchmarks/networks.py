"""Untrained networks of the examples' size, and what they are run on.

The hyperparameters are read from the examples' configurations; what a training run
would take from its data is filled in with plain numbers of the right shape, because the
question is time. Baselines of the lattice energy are left out: a network with spins and
one without would both have them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from e3nn.util.jit import script
from hydra.utils import get_method
from nequip.utils.global_state import global_state_initialized, set_global_state
from omegaconf import OmegaConf
from one_pass import nickel_oxide
from rows import REPOSITORY

from spinff.compiled import trace_model, write_package
from spinff.data.references import reference
from spinff.export import make_header, scriptable
from spinff.header import HEADER_NAME
from spinff.models import Checkpoint


@dataclass(frozen=True)
class Example:
    """An example's network and a crystal for it."""

    name: str
    config: Path
    """Of ``examples/``."""
    atoms: Atoms
    types: tuple[str, ...]
    magnetic: str
    """The magnetic type."""
    terms: tuple[str, ...]
    """The explicit terms of its MSENN."""
    neighbours: float
    """Of an atom, within the cutoffs; a factor of sums."""


def nio() -> Example:
    """256 atoms of nickel oxide."""
    system = nickel_oxide()
    return Example(
        f"NiO, {len(system.atoms)} atoms",
        REPOSITORY / "examples" / "nio" / "train.yaml",
        system.atoms,
        system.types,
        "Ni",
        ("exchange", "biquadratic"),
        56.0,
    )


def cri3() -> Example:
    """648 atoms of a chromium iodide monolayer."""
    atoms = reference("cri3").structure((9, 9, 1))
    atoms.set_initial_magnetic_moments(atoms.arrays.pop("magnetic_moments"))
    return Example(
        f"cri3, {len(atoms)} atoms",
        REPOSITORY / "examples" / "monolayers" / "cri3.yaml",
        atoms,
        ("Cr", "I"),
        "Cr",
        ("exchange", "anisotropy", "biquadratic"),
        14.0,
    )


def model_config(example: Example, **changes: object) -> dict[str, Any]:
    """Arguments of the example's model builder, with ``_target_``."""
    content = OmegaConf.load(example.config)
    moment = max(abs(example.atoms.get_initial_magnetic_moments()).max(axis=-1))
    pair = f"{example.magnetic}-{example.magnetic}"
    radial = {pair: [0.01 * (-1) ** k for k in range(content.num_bessels)]}
    filled: dict[str, object] = {
        "moments": {example.magnetic: float(moment)},
        "exchange_baseline": radial,
        "biquadratic_baseline": radial,
        "magnetic_force_scale": None,
        "avg_num_neighbors": example.neighbours,
        "avg_num_magnetic_neighbors": example.neighbours,
        "per_type_energy_shifts": 0.0,
        "per_type_energy_scales": 0.3,
        "lattice_baseline": None,
        "terms": list(example.terms),
    }
    model = content.training_module.model
    for name, value in (filled | changes).items():
        OmegaConf.update(model, name, value, force_add=True)
    config: Any = OmegaConf.to_container(model, resolve=True)
    # a model without a term takes no baseline of it
    for term in ("exchange", "biquadratic"):
        if term not in config["terms"]:
            config[f"{term}_baseline"] = None
    return config


def build(config: dict[str, Any], *, do_derivatives: bool = True) -> Any:  # noqa: ANN401
    """The model of some arguments, in nequip's eager mode."""
    if not global_state_initialized():
        set_global_state()
    arguments = {key: value for key, value in config.items() if key != "_target_"}
    arguments |= {"compile_mode": "eager", "do_derivatives": do_derivatives}
    return get_method(config["_target_"])(**arguments)


def deploy(config: dict[str, Any], path: Path) -> Path:
    """The deployed file of an untrained model, compiled if it ends in .pt2."""
    checkpoint = Checkpoint(build(config).eval(), config, "none")
    if path.suffix == ".pt2":
        compiled = make_header(checkpoint, "aotinductor")
        with path.open("wb") as file:
            write_package(file, compiled, trace_model(scriptable(checkpoint), compiled))
        return path
    scripted = script(scriptable(checkpoint), in_place=False)
    header = make_header(checkpoint).to_json()
    torch.jit.save(scripted, str(path), {HEADER_NAME: header})
    return path
