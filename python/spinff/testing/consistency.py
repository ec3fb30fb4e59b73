"""Twice the system has twice the energy, and frames of a batch are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.data.transforms import (
    ChemicalSpeciesToAtomTypeMapper,
    NeighborListTransform,
)
from nequip.nn import GraphModel
from nequip.utils.dtype import torch_default_dtype

from spinff import fields
from spinff.data.dataset import frame_to_data
from spinff.data.frames import make_frame
from spinff.testing.results import (
    Errors,
    SpinPotential,
    errors_between,
    evaluate,
    moments_of,
)

# Å between two copies of a molecule, beyond the reach of any short-ranged model
_FAR = 100.0


def size_errors(calculator: SpinPotential, atoms: Atoms) -> Errors:
    """Results of two copies against those of one.

    Along the first periodic direction the copies are two cells of a supercell; without
    one they stand 100 Å apart.
    """
    one, two = evaluate(calculator, atoms), evaluate(calculator, doubled(atoms))
    expected = {
        name: np.concatenate([value, value])
        for name, value in one.items()
        if name not in ("energy", "stress")
    }
    expected["energy"] = 2 * one["energy"]
    if "stress" in one and atoms.pbc.any():  # of a molecule's box it depends on the box
        expected["stress"] = one["stress"]
    return errors_between(two, expected)


def doubled(atoms: Atoms) -> Atoms:
    """Two copies of the atoms that do not see more of each other than images do."""
    axes = np.flatnonzero(atoms.pbc)
    if axes.size:
        repeat = [1, 1, 1]
        repeat[axes[0]] = 2
        return atoms.repeat(repeat)
    copy = atoms.copy()
    copy.positions[:, 0] += np.ptp(atoms.positions[:, 0]) + _FAR
    return atoms + copy


def graph_frame(
    atoms: Atoms,
    type_names: Sequence[str],
    r_max: float,
    per_edge_type_cutoff: Mapping[str, Mapping[str, float]] | None = None,
) -> AtomicDataDict.Type:
    """Atoms with moments as nequip's ``GraphModel`` takes a frame in training."""
    frame = frame_to_data(make_frame("atoms", atoms, moments_of(atoms)))
    names = list(type_names)
    neighbours = NeighborListTransform(
        r_max=r_max,
        per_edge_type_cutoff=dict(per_edge_type_cutoff or {}) or None,
        type_names=names,
    )
    with torch_default_dtype(torch.float64):
        return neighbours(ChemicalSpeciesToAtomTypeMapper(names)(frame))


def cross_frame_errors(
    model: GraphModel, first: AtomicDataDict.Type, second: AtomicDataDict.Type
) -> Errors:
    """What a frame sees of another in its batch; every value must be zero exactly.

    A sum, a normalisation or an index over the whole batch instead of one frame makes
    a model learn from its neighbours in the batch.

    Args:
        model: of a training run.
        first: frame as a data set gives it, such as :func:`graph_frame`.
        second: another one.

    Returns:
        Largest gradient of the energy of the first frame with respect to ``positions``
        (eV/Å) and ``moments`` (eV/µB) of the second.
    """
    batch = AtomicDataDict.batched_from_list([dict(first), dict(second)])
    inputs = {
        "positions": AtomicDataDict.POSITIONS_KEY,
        "moments": fields.MAGNETIC_MOMENTS_KEY,
    }
    for key in inputs.values():
        batch[key] = batch[key].detach().clone().requires_grad_(True)
    was_training = model.training
    model.train()  # in evaluation the forces' own derivative frees the graph
    try:
        energy = model(batch.copy())[AtomicDataDict.TOTAL_ENERGY_KEY].view(-1)[0]
        gradients = torch.autograd.grad(
            energy, [batch[key] for key in inputs.values()], allow_unused=True
        )
    finally:
        model.train(was_training)
    of_second = batch[AtomicDataDict.BATCH_KEY] == 1
    return {
        name: 0.0 if gradient is None else float(gradient[of_second].abs().max())
        for name, gradient in zip(inputs, gradients, strict=True)
    }
