"""What the reference Hamiltonians share, on a model small enough to know by heart."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from numpy.typing import NDArray

import reference_checks as checks
from spinff.cli.main import main
from spinff.data.readers import read_frames
from spinff.data.references import REFERENCES, Batch, Sampling, reference
from spinff.data.references.base import (
    BATCH_ATOMS,
    ReferenceHamiltonian,
    cross_matrix,
    disordered,
    edge_pairs,
    smooth_step,
)
from spinff.errors import SpinffError
from spinff.fields import MAGNETIC_FORCES_KEY, MAGNETIC_MOMENTS_KEY

Array = NDArray[np.float64]
DOCS = Path(__file__).parents[1] / "docs" / "references"


class Chain(ReferenceHamiltonian):
    """E = Σ_pairs (r − 2)² + B Σ m_z: every derivative is known in closed form."""

    name = "chain"
    species = ("Fe",)
    cutoff = 2.5
    sampling = Sampling((2, 1, 1), displacement=0.01, strain=0.0, disorder=1.0)
    field = 0.1

    def energy(self, batch: Batch) -> torch.Tensor:
        r = torch.linalg.vector_norm(batch.vectors(), dim=1)
        atoms = torch.arange(len(batch.types))
        return batch.sum_frames(0.5 * (r - 2) ** 2, batch.centre) + batch.sum_frames(
            self.field * batch.moments[:, 2], atoms
        )

    def structure(self, repeat: tuple[int, int, int]) -> Atoms:
        atoms = Atoms("Fe", cell=[2.0, 9.0, 9.0], pbc=True).repeat(repeat)
        return checks.with_moments(atoms, np.tile([0.0, 0.0, 1.0], (len(atoms), 1)))

    def random_moments(
        self, rng: np.random.Generator, atoms: Atoms, disorder: float
    ) -> Array:
        order = atoms.arrays[MAGNETIC_MOMENTS_KEY]
        return disordered(rng, order, np.ones(len(atoms)), disorder)

    def describe(self) -> str:
        return "a chain"


CHAIN = Chain()


def test_labels_have_the_signs_of_the_conventions() -> None:
    atoms = CHAIN.structure((1, 1, 1))
    atoms.set_cell([2.2, 9.0, 9.0])  # stretched: it wants to shrink
    labels = CHAIN.evaluate(atoms)
    assert labels["energy"] == pytest.approx(0.2**2 + 0.1)
    np.testing.assert_allclose(labels["forces"], 0.0, atol=1e-12)
    stress = np.zeros((3, 3))
    stress[0, 0] = 2 * 0.2 * 2.2 / atoms.get_volume()
    np.testing.assert_allclose(labels["stress"], stress, atol=1e-12)
    np.testing.assert_allclose(labels["magnetic_forces"], [[0, 0, -0.1]])


def test_stress_is_zero_where_a_direction_is_not_periodic() -> None:
    atoms = CHAIN.structure((1, 1, 1))
    atoms.set_cell([2.2, 9.0, 9.0])
    atoms.pbc = [True, True, False]
    np.testing.assert_array_equal(CHAIN.evaluate(atoms)["stress"], 0.0)


def test_labels_do_not_depend_on_the_batch() -> None:
    sizes = [BATCH_ATOMS // 2, 3, BATCH_ATOMS + 1, 1, BATCH_ATOMS - 5, 4]
    frames = [CHAIN.structure((size, 1, 1)) for size in sizes]
    for k, atoms in enumerate(frames):
        atoms.positions[0, 0] += 0.01 * k
    for atoms, labels in zip(frames, CHAIN.evaluate_many(frames), strict=True):
        alone = CHAIN.evaluate(atoms)
        assert labels["energy"] == pytest.approx(alone["energy"], rel=1e-13)
        np.testing.assert_allclose(labels["forces"], alone["forces"], atol=1e-14)
    assert CHAIN.evaluate_many([]) == []


def test_frames_come_as_they_are_ready() -> None:
    repeat = (BATCH_ATOMS // 2, 1, 1)  # two frames in a batch
    frames = CHAIN.iterate(10**9, 0, repeat)
    first = [next(frames) for _ in range(3)]
    again = CHAIN.generate(3, 0, repeat)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)


def test_sampling_is_a_default() -> None:
    default = CHAIN.generate(1, seed=0)[0]
    assert len(default) == 2
    still = CHAIN.generate(1, 0, (3, 1, 1), displacement=0.0, disorder=0.0)[0]
    ideal = CHAIN.structure((3, 1, 1))
    np.testing.assert_allclose(still.positions, ideal.positions)
    np.testing.assert_allclose(
        still.arrays[MAGNETIC_MOMENTS_KEY], ideal.arrays[MAGNETIC_MOMENTS_KEY]
    )
    strained = CHAIN.generate(1, 0, strain=0.1)[0]
    deform = np.asarray(strained.cell) / np.diag(default.cell)[:, None]
    np.testing.assert_allclose(deform, deform.T)
    assert np.abs(deform - np.eye(3)).max() > 0.01


# === helpers ===


def test_edge_pairs_are_the_triplets() -> None:
    centre = torch.tensor([0, 0, 0, 1, 3, 3])
    first, second = torch.tensor([0, 2, 3, 4]), torch.tensor([1, 2, 4, 5])
    a, b = edge_pairs(centre, first, second)
    found = set(zip(first[a].tolist(), second[b].tolist(), strict=True))
    expected = {
        (e, f)
        for e in first.tolist()
        for f in second.tolist()
        if centre[e] == centre[f]
    }
    assert found == expected
    assert len(a) == len(expected) == 6


def test_edge_pairs_of_nothing() -> None:
    none = torch.tensor([], dtype=torch.int64)
    a, b = edge_pairs(none, none, none)
    assert len(a) == len(b) == 0


def test_smooth_step_has_two_continuous_derivatives() -> None:
    r = torch.linspace(1.0, 4.0, 3001, dtype=torch.float64)
    r.requires_grad_()
    value = smooth_step(r, 3.0, 1.0)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    assert (value[r < 2] == 1).all()
    assert (value[r > 3] == 0).all()
    # 60/width³ is the third derivative's largest size, 0.001 Å the spacing.
    assert curvature.diff().abs().max() < 0.065


def test_cross_matrix() -> None:
    rng = np.random.default_rng(1)
    d, u, v = torch.tensor(rng.normal(size=(3, 1, 3)))
    product = torch.einsum("pa,pab,pb->p", u, cross_matrix(d), v)
    expected = (d * torch.linalg.cross(u, v)).sum(dim=1)
    np.testing.assert_allclose(product, expected)


def test_disordered_moments() -> None:
    rng = np.random.default_rng(0)
    order = np.tile([0.0, 0.0, 1.0], (50, 1))
    lengths = np.repeat([2.0, 0.0], 25)
    moments = disordered(rng, order, lengths, 1.0)
    np.testing.assert_allclose(np.linalg.norm(moments, axis=1), lengths)
    assert moments[:25, 2].min() < 1.9
    np.testing.assert_allclose(
        disordered(rng, order, lengths, 0.0), lengths[:, None] * order
    )


# === bad input ===


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_frames": 0}, r"chain: nothing to generate, got 0 frames"),
        ({"repeat": (1, 0, 1)}, r"repeat \(1, 0, 1\), expected numbers of at least 1"),
        ({"seed": -1}, r"the seed is negative, got -1"),
        ({"displacement": -0.1}, r"the displacement is not a size, got -0\.1"),
        ({"strain": np.nan}, r"the strain is not a size, got nan"),
        ({"disorder": np.inf}, r"the disorder is not a size, got inf"),
    ],
)
def test_requests_that_make_no_frame(
    arguments: dict[str, float], sentence: str
) -> None:
    with pytest.raises(SpinffError, match=sentence):
        CHAIN.generate(**{"n_frames": 1, "seed": 0, **arguments})


def test_unusable_frames() -> None:
    with pytest.raises(SpinffError, match=r"unknown species, got 'Ni', expected Fe"):
        CHAIN.evaluate(checks.with_moments(Atoms("Ni"), np.zeros((1, 3))))
    with pytest.raises(SpinffError, match=r"no moments, got the arrays numbers, posi"):
        CHAIN.evaluate(Atoms("Fe"))


# === registry, pages and the command ===


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_says_who_it_is(name: str) -> None:
    hamiltonian = reference(name)
    assert hamiltonian.name == name
    assert name in hamiltonian.describe()
    # A row of its own, or a variant named in the row of another.
    rows = (DOCS / "index.md").read_text(encoding="utf-8").splitlines()
    assert any(
        row.startswith("| [") and re.search(rf"[`\[]{name}[`\]]", row) for row in rows
    )
    crystal = hamiltonian.structure(hamiltonian.sampling.repeat)
    assert np.isfinite(hamiltonian.evaluate(crystal)["energy"])


def test_unknown_name_lists_all() -> None:
    with pytest.raises(SpinffError, match=r"got 'bcc', expected") as raised:
        reference("bcc")
    assert all(name in str(raised.value) for name in REFERENCES)


def test_command_passes_everything_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b20.xyz"
    command = ["data", "generate", "b20", "-n", "2", "--seed", "3", "-o", str(path)]
    shape = ["--repeat", "1", "2", "1", "--displacement", "0.03", "--strain", "0.01"]
    assert main([*command, *shape, "--disorder", "0.5"]) == 0
    assert "2 frames of b20, 16 atoms each, seed 3" in capsys.readouterr().out
    expected = reference("b20").generate(2, 3, (1, 2, 1), 0.03, 0.01, 0.5)
    for one, other in zip(read_frames(path), expected, strict=True):
        for name in (MAGNETIC_MOMENTS_KEY, MAGNETIC_FORCES_KEY):
            np.testing.assert_allclose(one.arrays[name], other.arrays[name], atol=1e-7)
        assert one.get_potential_energy() == pytest.approx(other.get_potential_energy())


def test_command_describes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "generate", "b20", "--describe"]) == 0
    assert capsys.readouterr().out == reference("b20").describe() + "\n"
    assert main(["data", "generate", "b20", "--describe", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == {"name": "b20", "description": reference("b20").describe()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "a.xyz"], "-n N is missing"),
        (["-n", "1"], "-o FILE is missing"),
        (["-n", "1", "-o", "no/a.xyz"], "got the folder 'no', expected one that exist"),
        (["-n", "0", "-o", "a.xyz"], "nothing to generate, got 0 frames"),
    ],
)
def test_command_refuses(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "generate", "rocksalt", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_data_set_of_some_labels(tmp_path: Path) -> None:
    path = tmp_path / "energies.xyz"
    command = ["data", "generate", "rocksalt", "-n", "1", "-o", str(path)]
    assert main([*command, "--labels", "energy", "stress"]) == 0
    atoms = read_frames(path)[0]
    assert set(atoms.calc.results) == {"energy", "stress"}
    assert MAGNETIC_FORCES_KEY not in atoms.arrays
    assert MAGNETIC_MOMENTS_KEY in atoms.arrays
