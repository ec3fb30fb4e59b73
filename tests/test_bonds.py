"""Features of bonds that know the atoms around both ends."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from small_models import small_checkpoint, small_model, structure
from spinff.data.references import reference
from spinff.errors import SpinffError
from spinff.export import make_header, random_inputs, scriptable
from spinff.irreps import TIrreps
from spinff.nn.bonds import features_of_monomials, monomials
from spinff.nn.terms.exchange import cartesian_basis
from spinff.nn.topology import common_neighbours
from spinff.testing import model_couplings

Array = NDArray[np.float64]

CUTOFFS = {("Ni", "Ni"): 4.0, ("Ni", "O"): 3.0, ("O", "O"): 2.5}


@pytest.mark.parametrize("longest", [4.0, 2.95])
def test_common_neighbours_are_those_a_search_over_all_pairs_of_edges_finds(
    longest: float,
) -> None:
    atoms = structure()
    i, j, vectors = neighbor_list("ijD", atoms, CUTOFFS)
    order = np.random.default_rng(0).permutation(len(i))  # any order of edges
    i, j, vectors = i[order], j[order], vectors[order]
    types = np.array([symbol == "O" for symbol in atoms.symbols], dtype=np.int64)
    pairs = np.flatnonzero((types[i] == 0) & (types[j] == 0))
    reach = np.minimum([[4.0, 3.0], [3.0, 2.5]], longest)
    legs, pair, leg = common_neighbours(
        torch.tensor(np.stack([i, j])),
        torch.tensor(vectors),
        torch.tensor(types),
        torch.tensor(pairs),
        torch.tensor(reach),
    )
    expected = {
        (row, other)
        for (row, edge), other in product(enumerate(pairs), range(len(i)))
        if i[other] == i[edge]
        and other != edge
        and np.linalg.norm(vectors[other]) < reach[types[i[edge]], types[j[other]]]
        and np.linalg.norm(vectors[other] - vectors[edge])
        < reach[types[j[edge]], types[j[other]]]
    }
    found = list(zip(pair.tolist(), legs[leg].tolist(), strict=True))
    assert len(expected) > 20
    assert set(found) == expected
    assert len(found) == len(expected)  # each once


def test_monomials_become_products_of_the_two_directions() -> None:
    u, v = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    features = monomials(u.T, v.T).T @ features_of_monomials()
    torch.testing.assert_close(features[:, :3], torch.linalg.cross(u, v))
    basis = cartesian_basis(TIrreps("1x2ee")).view(5, 3, 3)
    for start, (a, b) in zip((3, 8, 13), ((u, u), (v, v), (u, v)), strict=True):
        expected = torch.einsum("mab,ta,tb->tm", basis, a, b)
        torch.testing.assert_close(features[:, start : start + 5], expected)


def test_no_pairs_have_no_common_neighbours() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    legs, pair, leg = common_neighbours(
        torch.zeros(2, 0, dtype=torch.long),
        torch.zeros(0, 3, dtype=torch.float64),
        torch.zeros(2, dtype=torch.long),
        nothing,
        torch.full((1, 1), 4.0, dtype=torch.float64),
    )
    assert len(legs) == len(pair) == len(leg) == 0


@pytest.mark.parametrize(
    "ends",
    [
        {"bond_r_max": 3.0},
        {"per_edge_type_cutoff": {"Ni": {"O": 3.0}, "O": {"Ni": 3.0}}},
    ],
    ids=["reach", "cutoff"],
)
def test_atoms_out_of_reach_of_a_bond_do_not_count(ends: dict[str, object]) -> None:
    """Couplings are smooth where the reach ends, and where edges to k end within it."""
    model = small_model(r_max=6.0, **ends)
    crystal = Atoms("Ni2O", [[0, 0, 0], [2.5, 0, 0], [0.5, 1.5, 0]], cell=[30] * 3)
    crystal.pbc = True

    def exchange(height: float) -> Array:
        crystal.positions[2, 1] = height
        return next(iter(model_couplings(model, crystal).exchange.values()))

    reach = (3.0**2 - 2.0**2) ** 0.5  # of the farther Ni
    near, before, after = exchange(1.5), exchange(reach - 1e-3), exchange(reach + 1e-3)
    assert np.abs(near - after).max() > 1e-5
    assert np.abs(before - after).max() < 0.01 * np.abs(near - after).max()


@pytest.mark.parametrize("reach", [0.0, 6.5])
def test_a_reach_beyond_the_cutoff_is_refused(reach: float) -> None:
    with pytest.raises(SpinffError, match=rf"'bond_r_max' is out .* got {reach}"):
        small_model(r_max=6.0, bond_r_max=reach)


def test_second_neighbours_of_a_honeycomb_have_a_dm_vector() -> None:
    """Each site has a threefold axis: sums over its neighbours alone give none."""
    crystal = reference("cri3").structure((3, 2, 1))
    crystal.symbols = ["Ni" if s == "Cr" else "O" for s in crystal.symbols]
    model = small_model(
        r_max=8.5, per_edge_type_cutoff={"Ni": {"O": 3.7}, "O": {"Ni": 3.7, "O": 2.0}}
    )
    couplings = model_couplings(model, crystal).exchange
    of_shell = [
        dm_vector(tensor)
        for (i, j, *image), tensor in couplings.items()
        if 6.8 < np.linalg.norm(vector(crystal, i, j, image)) < 6.9
    ]
    assert len(of_shell) == 12 * 6
    along_normal = np.abs(np.array(of_shell)[:, 2])
    assert along_normal.min() > 1e-4
    assert along_normal.max() / along_normal.min() < 1 + 1e-8


def vector(crystal: Atoms, i: int, j: int, image: Sequence[int]) -> Array:
    """r_ij of a pair, Å."""
    positions = crystal.positions
    return positions[j] - positions[i] + np.array(image) @ crystal.cell[:]


def dm_vector(tensor: Array) -> Array:
    """D of s_i·J s_j = … + D·(s_i × s_j)."""
    a = (tensor - tensor.T) / 2
    return np.array([a[1, 2], a[2, 0], a[0, 1]])


def test_triangles_may_be_given() -> None:
    """As LAMMPS does; control: none at all are another answer."""
    checkpoint = small_checkpoint(bond_r_max=3.5)
    module, header = scriptable(checkpoint), make_header(checkpoint)
    vectors, index, types, pairs, _, _ = random_inputs(header)
    reach = module.network.topology.bond_reach
    found = common_neighbours(index, vectors, types, pairs, reach)
    given, itself, without = (
        module.couplings(vectors, index, types, pairs, triangles)[1]
        for triangles in ([*found], None, [pairs[:0]] * 3)
    )
    assert torch.equal(given, itself)
    assert not torch.allclose(given, without)
