"""The linear model of the statistics: its potentials, their forces, what it finds."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from nequip.data import AtomicDataDict, compute_neighborlist_
from nequip.data.ase import from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
from nequip.nn import with_edge_vectors_
from nequip.nn.embedding import EdgeLengthNormalizer
from nequip.utils import torch_default_dtype

from small_models import small_model
from spinff.data.references import reference
from spinff.errors import SpinffError
from spinff.nn import PairPotential, ThreeBodyPotential
from spinff.nn.radial import RadialBasis
from spinff.nn.three_body import num_coefficients
from spinff.training.linear_model import Columns, LinearModel

SPECIES = ["Ni", "O"]
CUTOFF = 4.0
COUNT = 2
"""Radial functions of the three-body potential here."""


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """As in a training run."""
    with torch_default_dtype(torch.float64):
        yield


def shaken(seed: int = 0) -> Atoms:
    """Rock salt that is far from its sites and strained."""
    atoms = bulk("NiO", "rocksalt", a=4.2, cubic=True)
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(0, 0.15, (len(atoms), 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02), scale_atoms=True)
    return atoms


def with_neighbours(*frames: Atoms) -> AtomicDataDict.Type:
    mapper = ChemicalSpeciesToAtomTypeMapper(SPECIES)
    data = [
        compute_neighborlist_(mapper(from_ase(atoms)), r_max=CUTOFF) for atoms in frames
    ]
    return AtomicDataDict.batched_from_list(data)


def linear_model() -> LinearModel:
    return LinearModel(
        SPECIES,
        ["Ni"],
        terms=[],
        r_max=CUTOFF,
        per_edge_type_cutoff=None,
        num_bessels=4,
        num_three_body_bessels=COUNT,
        polynomial_cutoff_p=6,
    )


def coefficients(model: LinearModel) -> dict[str, dict[str, list[float]]]:
    generator = torch.Generator().manual_seed(3)
    return {
        kind: model.named(
            kind, 0.1 * torch.randn(size, generator=generator, dtype=torch.float64)
        )
        for kind, size in zip(model.kinds, model.sizes, strict=True)
    }


def energies(
    data: AtomicDataDict.Type, given: dict[str, dict[str, list[float]]]
) -> torch.Tensor:
    """Of the atoms, by the modules of a model."""
    data = with_edge_vectors_(data.copy(), with_lengths=True)
    data = EdgeLengthNormalizer(r_max=CUTOFF, type_names=SPECIES)(data)
    data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = torch.zeros(
        len(data[AtomicDataDict.POSITIONS_KEY]), 1, dtype=torch.float64
    )
    irreps = {
        AtomicDataDict.PER_ATOM_ENERGY_KEY: "0e",
        AtomicDataDict.NORM_LENGTH_KEY: "0e",
    }
    basis = RadialBasis(
        num_bessels=len(given["pair"]["Ni-Ni"]),
        polynomial_cutoff_p=6,
        irreps_in=irreps,
    )
    pair = PairPotential(
        type_names=SPECIES, coefficients=given["pair"], irreps_in=basis.irreps_out
    )
    three_body = ThreeBodyPotential(
        type_names=SPECIES,
        coefficients=given["three_body"],
        polynomial_cutoff_p=6,
        irreps_in=irreps,
    )
    data = three_body(pair(basis(data)))
    return data[AtomicDataDict.PER_ATOM_ENERGY_KEY].view(-1)


def test_columns_are_the_energy_and_the_forces_of_the_potentials() -> None:
    model = linear_model()
    given = coefficients(model)
    data = with_neighbours(shaken(1), shaken(2))
    positions = data[AtomicDataDict.POSITIONS_KEY].requires_grad_()
    of_atoms = energies(data, given)
    (gradient,) = torch.autograd.grad(of_atoms.sum(), positions)
    columns: Columns = model.columns(data, torch.zeros_like(positions))
    flat = torch.tensor(
        [c for kind in model.kinds for row in given[kind].values() for c in row]
    )
    of_frames = of_atoms.view(2, -1).sum(1)
    assert torch.allclose(columns.energy @ flat, of_frames, rtol=1e-12)
    forces = torch.einsum("ncx,c->nx", columns.forces, flat)
    assert torch.allclose(forces, -gradient, atol=1e-11)


def test_the_potential_is_the_sum_over_pairs_of_neighbours() -> None:
    """One coefficient, against the double sum written out."""
    atoms = shaken()
    data = with_neighbours(atoms)
    given = coefficients(linear_model())
    given["pair"] = {pair: [0.0] * 4 for pair in given["pair"]}
    row, column = torch.triu_indices(2 * COUNT, 2 * COUNT)
    place = int(((row == 1) & (column == 2)).nonzero())  # (Ni, n = 2), (O, n = 1)
    power = 3
    c = [0.0] * num_coefficients(2, COUNT)
    c[5 * place + power] = 0.7
    given["three_body"] = {"Ni": [0.0] * len(c), "O": c}

    expected = np.zeros(len(atoms))
    edges = with_edge_vectors_(data.copy())[AtomicDataDict.EDGE_VECTORS_KEY].numpy()
    centre, neighbour = data[AtomicDataDict.EDGE_INDEX_KEY].numpy()
    for a in range(len(centre)):
        for b in np.flatnonzero(centre == centre[a]):
            pair = atoms.symbols[neighbour[a]], atoms.symbols[neighbour[b]]
            if atoms.symbols[centre[a]] == "O" and pair == ("Ni", "O"):
                r, s = np.linalg.norm(edges[a]), np.linalg.norm(edges[b])
                cosine = edges[a] @ edges[b] / (r * s)
                product = bessel(2, r) * bessel(1, s)
                expected[centre[a]] += 0.7 * product * cosine**power
    np.testing.assert_allclose(energies(data, given), expected, atol=1e-12)


def bessel(n: int, r: float) -> float:
    x = r / CUTOFF
    return float(np.sinc(n * x) * n * (1 - 28 * x**6 + 48 * x**7 - 21 * x**8))


def test_the_potential_does_not_turn_with_the_crystal() -> None:
    given = coefficients(linear_model())
    atoms = shaken()
    turned = atoms.copy()
    turned.rotate(33, (1, 2, -1), rotate_cell=True)
    before = energies(with_neighbours(atoms), given)
    after = energies(with_neighbours(turned), given)
    assert torch.allclose(before, after, rtol=1e-11)
    moved = atoms.copy()
    moved.rotate(33, (1, 2, -1), rotate_cell=False)  # the crystal is another one now
    assert not torch.allclose(before, energies(with_neighbours(moved), given), 1e-3)


def test_forces_of_bond_angles_are_found() -> None:
    """The lattice energy of crte2 has angles: pairs leave four times as much."""
    magnet = reference("crte2")
    frames = magnet.generate(12, seed=1, repeat=(2, 2, 1), displacement=0.02)
    left = {count: residual(frames, count) for count in (0, 3)}
    assert left[3] < 0.25 * left[0]


def residual(frames: list[Atoms], count: int) -> float:
    """What a fit to their forces leaves, eV/Å rms."""
    model = LinearModel(
        ["Cr", "Te"],
        ["Cr"],
        terms=[],
        r_max=5.0,
        per_edge_type_cutoff=None,
        num_bessels=8,
        num_three_body_bessels=count,
        polynomial_cutoff_p=6,
    )
    mapper = ChemicalSpeciesToAtomTypeMapper(["Cr", "Te"])
    rows, labels = [], []
    for atoms in frames:
        data = compute_neighborlist_(mapper(from_ase(atoms)), r_max=5.0)
        data = AtomicDataDict.batched_from_list([data])
        columns = model.columns(data, torch.zeros(len(atoms), 3))
        rows.append(columns.forces.transpose(1, 2).flatten(0, 1))
        labels.append(data[AtomicDataDict.FORCE_KEY].flatten())
    x, y = torch.cat(rows), torch.cat(labels)
    normal = x.T @ x
    normal += 1e-6 * normal.diagonal().mean() * torch.eye(len(normal))
    return float((y - x @ torch.linalg.solve(normal, x.T @ y)).square().mean().sqrt())


def test_coefficients_of_other_species_are_a_sentence() -> None:
    with pytest.raises(SpinffError, match="ThreeBodyPotential: coefficients of Fe"):
        ThreeBodyPotential(
            type_names=SPECIES,
            coefficients={"Fe": [0.0] * 15},
            polynomial_cutoff_p=6,
            irreps_in={AtomicDataDict.PER_ATOM_ENERGY_KEY: "0e"},
        )


def test_an_unknown_potential_is_a_sentence() -> None:
    with pytest.raises(SpinffError, match="got pairs, expected pair and three_body"):
        small_model(lattice_baseline={"pairs": {}})
