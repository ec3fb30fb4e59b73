"""Small models with random weights, and structures to evaluate them on."""

from typing import Any

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.nn import GraphModel
from nequip.utils.global_state import global_state_initialized, set_global_state
from numpy.typing import NDArray

from spinff import fields
from spinff.calculator import SpinCalculator
from spinff.export import RunnableModel, make_header, scriptable
from spinff.graphs import GraphBuilder
from spinff.models import Checkpoint, SpinAllegro

Array = NDArray[np.float64]

TYPES = ["Ni", "O"]
# every way a model can see spins
MODELS: dict[str, dict[str, object]] = {
    "msenn": {},
    "msenn-no-soc": {
        "terms": ["exchange", "biquadratic"],
        "spin_orbit_coupling": False,
    },
    "ring-tenn": {"terms": ["exchange", "anisotropy", "biquadratic", "ring", "tenn"]},
    "ring-tenn-no-soc": {
        "terms": ["exchange", "biquadratic", "ring", "tenn"],
        "spin_orbit_coupling": False,
    },
    "input": {
        "terms": ["exchange", "anisotropy", "ring", "longitudinal", "tenn"],
        "moment_mode": "input",
    },
    "predicted": {"terms": ["exchange", "tenn"], "moment_mode": "predicted"},
}


def small_config(**changes: object) -> dict[str, object]:
    """Arguments of a small model whose every term is of the same size."""
    config: dict[str, object] = {
        "seed": 7,
        "model_dtype": "float64",
        "type_names": TYPES,
        "magnetic_types": ["Ni"],
        "moments": {"Ni": 1.3},
        "r_max": 4.0,
        "terms": ["exchange", "anisotropy", "biquadratic"],
        "spin_orbit_coupling": True,
        "exchange_baseline": {"Ni-Ni": [0.01, -0.02, 0.015, 0.01]},
        # large, so that D, Γ and the network's J and K carry weight beside it
        "exchange_scale": 2.0,
        "biquadratic_baseline": {"Ni-Ni": [0.005, 0.002, 0.0, 0.001]},
        "biquadratic_scale": 2.0,
        "relativistic_scale": 2.0,
        "anisotropy_scale": 0.5,
        "ring_scale": 50.0,
        "longitudinal_baseline": {"Ni": [-0.2, 0.1, 0.01]},
        "longitudinal_scale": 2.0,
        "tenn_num_layers": 2,
        "tenn_num_scalar_features": 8,
        "tenn_num_tensor_features": 2,
        "tenn_scale": 2.0,
        "magnetic_force_scale": [{"Ni": 0.8}],
        "magnetic_force_scale_trainable": False,
        "avg_num_neighbors": 12.0,
        "per_type_energy_shifts": {"Ni": -2.0, "O": -1.0},
        "per_type_energy_scales": 0.5,
        "lattice_baseline": {
            "pair": {"Ni-O": [-0.2, 0.1], "Ni-Ni": [0.05, 0.02], "O-O": [0.1, 0.0]},
            "three_body": {
                "Ni": [0.01 * (-1) ** n for n in range(15)],
                "O": [0.02 * (n % 3 - 1) for n in range(15)],
            },
        },
        "num_layers": 2,
        "num_scalar_features": 8,
        "num_tensor_features": 4,
        "num_bessels": 4,
        "mlp_hidden_layers_width": 8,
    }
    return config | changes


def small_checkpoint(**changes: object) -> Checkpoint:
    """As if loaded from a file."""
    if not global_state_initialized():
        set_global_state()
    config = small_config(**changes)
    model = SpinAllegro(**config)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(5)
    for name, weights in model.named_parameters():
        if name.endswith(("tensor_weights", "readout_weights")):  # zero in a new model
            torch.nn.init.normal_(weights, generator=generator)
        if name.endswith("relativistic.tensor_weights"):
            with torch.no_grad():  # of D, which is small in a new model
                weights[: len(weights) // 2] *= 30.0
    assert isinstance(model, GraphModel)
    return Checkpoint(
        model=model.eval(),
        config={"_target_": "spinff.models.SpinAllegro", **config},
        training_data_sha256="none",
    )


def small_model(**changes: object) -> RunnableModel:
    checkpoint = small_checkpoint(**changes)
    return RunnableModel(
        make_header(checkpoint), scriptable(checkpoint), torch.device("cpu")
    )


def structure(seed: int = 0) -> Atoms:
    """Eight atoms without any symmetry, noncollinear, smaller than twice the cutoff."""
    rng = np.random.default_rng(seed)
    cell = 4.3 * np.eye(3) + rng.normal(scale=0.3, size=(3, 3))
    sites = np.array(
        [[i, j, k] for i in range(2) for j in range(2) for k in range(2)], dtype=float
    )
    symbols = ["Ni" if site.sum() % 2 == 0 else "O" for site in sites]
    atoms = Atoms(
        symbols,
        scaled_positions=(sites + rng.normal(scale=0.06, size=sites.shape)) / 2,
        cell=cell,
        pbc=True,
    )
    moments = rng.normal(size=(8, 3))
    moments *= (1.3 / np.linalg.norm(moments, axis=1))[:, None]
    moments[[symbol == "O" for symbol in symbols]] = 0.0
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def results(model: RunnableModel, atoms: Atoms) -> dict[str, Any]:
    """Everything the calculator gives, with the stress as a matrix."""
    atoms = atoms.copy()
    atoms.calc = SpinCalculator(model)
    atoms.get_potential_energy()
    stress = atoms.get_stress(voigt=False)
    return {**atoms.calc.results, "stress": stress}


def graph_data(model: RunnableModel, atoms: Atoms) -> AtomicDataDict.Type:
    """The frame as nequip's GraphModel takes it in training."""
    graph = GraphBuilder(model.header)(atoms)
    shift = graph.edge_vectors - torch.from_numpy(
        atoms.positions[graph.edge_index[1]] - atoms.positions[graph.edge_index[0]]
    )
    cell = torch.from_numpy(atoms.cell.array)
    return {
        AtomicDataDict.POSITIONS_KEY: torch.from_numpy(atoms.positions.copy()),
        AtomicDataDict.EDGE_INDEX_KEY: graph.edge_index,
        AtomicDataDict.EDGE_CELL_SHIFT_KEY: torch.round(shift @ torch.linalg.inv(cell)),
        AtomicDataDict.CELL_KEY: cell.view(1, 3, 3),
        AtomicDataDict.ATOM_TYPE_KEY: graph.types,
        fields.MAGNETIC_MOMENTS_KEY: torch.from_numpy(
            atoms.get_initial_magnetic_moments()
        ),
    }
