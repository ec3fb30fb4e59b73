"""The demo's helpers on tiny inputs; `make demo` itself is the test of the whole."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import lammps_models
from spinff.data.references.rocksalt import Rocksalt
from spinff.header import parse_header

EXAMPLES = Path(__file__).parents[1] / "examples"


def import_example(folder: str, name: str) -> ModuleType:
    """A script of examples/, imported as it imports its neighbours."""
    sys.path.insert(0, str(EXAMPLES / folder))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES / folder))


couplings = import_example("demo", "couplings")
report = import_example("demo", "report")
stages = import_example("demo", "stages")
run_demo = import_example("demo", "run_demo")
supercell = import_example("nio", "build_supercell")

PYTHON = sys.executable


# === stages ===


def test_run_keeps_the_output_and_sets_the_environment(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['A']); sys.stderr.write('said')"
    log, out = tmp_path / "log", tmp_path / "out"
    stages.run([PYTHON, "-c", code], log, environment={"A": "b"})
    assert sorted(log.read_text()) == sorted("b\nsaid")
    stages.run([PYTHON, "-c", code], log, output=out, environment={"A": "b"})
    assert out.read_text() == "b\n"
    assert log.read_text() == "said"


def test_run_shows_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import time; print('Epoch 3: |', flush=True); time.sleep(1)"
    stages.run(
        [PYTHON, "-c", code],
        tmp_path / "log",
        progress=run_demo.training_progress,
        heartbeat=0.3,
    )
    assert "epoch 4" in capsys.readouterr().out


def test_a_failed_stage_says_which_and_where(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    code = "import sys; print('bar 1%\\rbar 9%'); print('no such data'); sys.exit(3)"
    run = stages.Stages(total=2)
    with (
        pytest.raises(stages.StageError) as error,
        run.stage("train"),
    ):
        stages.run([PYTHON, "-c", code], log)
    message = str(error.value)
    assert message.startswith("stage 1 of 2 (train) failed: ")
    assert "status 3" in message
    assert str(log) in message
    assert "no such data" in message
    assert "bar 1%" not in message
    assert run.finished == []


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(stages.StageError, match=r"cannot start no-such.*make setup"):
        stages.run(["no-such"], tmp_path / "log")


def test_progress_of_lammps() -> None:
    log = "   Step  Temp\n     0   1.5  2\n    25   1.0 -3e-5\nWARNING: 7\n"
    assert run_demo.lammps_progress(log) == f"step 25 of {run_demo.STEPS}"
    assert run_demo.lammps_progress("") == "starting"


def test_the_demo_needs_the_potential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(stages.StageError, match=r"NiO\.pth.*root of the repository"):
        run_demo.check_potential()


# === couplings ===


def test_parts_of_a_tensor() -> None:
    rng = np.random.default_rng(0)
    j, d = 3.0, rng.normal(size=3)
    gamma = rng.normal(size=(3, 3))
    gamma = gamma + gamma.T
    gamma -= np.trace(gamma) / 3 * np.eye(3)
    u, v = rng.normal(size=(2, 3))
    odd = np.zeros((3, 3))
    for a, b in ((0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)):
        c = 3 - a - b
        odd[a, b] = d[c] * (1 if (b - a) % 3 == 1 else -1)
    np.testing.assert_allclose(u @ odd @ v, d @ np.cross(u, v))
    tensors = (j * np.eye(3) + odd + gamma)[None]
    np.testing.assert_allclose(couplings.isotropic(tensors), [j])
    np.testing.assert_allclose(couplings.dm_vectors(tensors), [d])
    np.testing.assert_allclose(couplings.anisotropic(tensors), [gamma], atol=1e-12)


def test_the_model_is_compared_pair_by_pair() -> None:
    hamiltonian = Rocksalt()
    frame = hamiltonian.generate(1, seed=3)[0]
    exact = hamiltonian.exchange(frame)

    def one_sided(
        edge_vectors: torch.Tensor, edge_index: torch.Tensor, *_: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Twice the true tensor on i→j with i < j, and nothing on j→i."""
        magnetic = _[1]
        distances = torch.cdist(edge_vectors[magnetic], torch.from_numpy(exact.vectors))
        tensors = 2 * torch.from_numpy(exact.tensors)[distances.argmin(1)]
        i, j = edge_index[:, magnetic]
        exchange = torch.where((i < j)[:, None, None], tensors, 0.0)
        atoms = len(_[0])
        return (
            torch.zeros(atoms),
            exchange,
            torch.zeros(len(exchange), 1),
            torch.zeros(atoms, 3, 3),
        )

    header = parse_header(
        json.dumps(lammps_models.header(cutoffs=[[5.0] * 2] * 2)), "test"
    )
    model = SimpleNamespace(
        header=header,
        module=SimpleNamespace(couplings=one_sided),
        device=torch.device("cpu"),
    )
    result = couplings.compare(model, hamiltonian, [frame, frame])
    assert len(result.distance) == 2 * len(exact.pairs)
    assert len(np.unique(result.pairs[:, 0])) == 16
    np.testing.assert_allclose(result.model, result.true, atol=1e-9)


def test_images_are_summed() -> None:
    one = np.eye(3)
    pairs = couplings.Comparison(
        pairs=np.array([[0, 1], [1, 0], [0, 1]]),
        distance=np.array([3.0, 4.0, 2.0]),
        true=np.array([one, 2 * one, 4 * one]),
        model=np.array([8 * one, 0 * one, one]),
    )
    sums = couplings.sum_images(pairs)
    assert sums.pairs.tolist() == [[0, 1], [1, 0]]
    np.testing.assert_allclose(sums.distance, [2, 4])
    np.testing.assert_allclose(couplings.isotropic(sums.true), [5, 2])
    np.testing.assert_allclose(couplings.isotropic(sums.model), [9, 0])


# === the report ===


def perfect_shells() -> couplings.Comparison:
    """The undistorted crystal with the true couplings as the model's."""
    hamiltonian = Rocksalt()
    exact = hamiltonian.exchange(couplings.perfect_crystal(hamiltonian))
    distance = np.linalg.norm(exact.vectors, axis=1)
    tensors = 1000 * exact.tensors
    return couplings.Comparison(exact.pairs, distance, tensors, tensors)


def test_shells_of_the_crystal() -> None:
    shells = report.shell_rows(perfect_shells())
    assert [(round(d, 2), n) for d, n, _, _ in shells] == [(2.95, 12), (4.17, 6)]
    assert shells[1][2] == pytest.approx(18.0, rel=0.01)  # meV, antiferromagnetic
    assert all(true == model for _, _, true, model in shells)


def thermo(up: list[list[float]], down: list[list[float]]) -> dict[str, np.ndarray]:
    """Columns of in.nio for some magnetisations of the sublattices."""
    n = len(up)
    columns = {"Step": 5.0 * np.arange(n), "Time": 0.005 * np.arange(n)}
    columns["Temp"] = np.full(n, 90.0)
    columns["PotEng"] = -10.0 + 0.01 * np.arange(n)
    for name, values in (("mup", up), ("mdown", down)):
        for k in range(3):
            columns[f"c_{name}[{k + 1}]"] = np.array(values)[:, k]
    return columns


def test_order_is_measured_along_its_own_direction() -> None:
    # both sublattices turned by 90° and shortened
    values = thermo([[0, 0, 1], [0.5, 0, 0]], [[0, 0, -1], [-0.7, 0, 0]])
    up, down = report.sublattices(values)
    np.testing.assert_allclose(up, [1, 0.5])
    np.testing.assert_allclose(down, [-1, -0.7])
    np.testing.assert_allclose(report.staggered(values), [1, 0.6])


@pytest.fixture
def results() -> report.Results:
    """Small made-up results."""
    shells = perfect_shells()
    columns = thermo([[0, 0, 1], [0, 0, 0.9]], [[0, 0, -1], [0, 0, -0.9]])
    runs = [report.Dynamics(t, 20.0, 8, columns) for t in (100.0, 600.0)]
    errors = {
        "n_frames": 3,
        "energy_mae_mev_per_atom": 0.123,
        "forces_mae_mev_per_a": 4.5,
        "stress_mae_mev_per_a3": None,
        "magnetic_forces_transverse_mae_mev_per_mub": 0.678,
    }
    return report.Results(
        errors=errors,
        n_train=7,
        shells=shells,
        held_out=shells,
        dynamics=runs,
        ranks=2,
        timestep=0.001,
        stages=[("train", 61.2), ("draw", 1.4)],
    )


def test_the_report_shows_numbers_and_pictures(
    results: report.Results, tmp_path: Path
) -> None:
    report.write_report(results, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    for number in ("0.123", "4.5", "0.678", "100", "600", "0.900", "| train | 61 |"):
        assert number in text, number
    assert "stress" not in text
    assert len(re.findall(r"^\d\. ", text, re.M)) == 5  # what was done, in five lines
    assert "None" not in text
    assert "cores" in text
    pictures = {"parity.png", "exchange.png", "energy.png", "magnetisation.png"}
    assert set(re.findall(r"\((\w+\.png)\)", text)) == pictures


def test_the_pictures_can_be_drawn(results: report.Results, tmp_path: Path) -> None:
    report.plot_exchange(results.held_out, tmp_path / "a.png")
    report.plot_energy(results.dynamics, tmp_path / "b.png")
    report.plot_magnetisation(results.dynamics, tmp_path / "c.png")
    for name in ("a.png", "b.png", "c.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


# === the supercell of NiO ===


def test_order_of_the_second_kind() -> None:
    atoms = supercell.build_supercell((2, 2, 2), 4.17, moment=1.3)
    assert len(atoms) == 64
    nickel = atoms[atoms.symbols == "Ni"]
    m = nickel.get_initial_magnetic_moments()
    np.testing.assert_allclose(np.linalg.norm(m, axis=1), 1.3)
    np.testing.assert_allclose(m.sum(0), 0, atol=1e-12)
    distance = nickel.get_all_distances(mic=True)
    cosine = m @ m.T / 1.3**2
    # six second neighbours through an oxygen, all opposite (in this cell as 3 pairs of
    # images); half of the first neighbours parallel, half opposite
    second = np.isclose(distance, 4.17)
    np.testing.assert_allclose(cosine[second], -1)
    first = np.isclose(distance, 4.17 / np.sqrt(2))
    np.testing.assert_allclose(first.sum(1), 12)
    np.testing.assert_allclose((cosine * first).sum(1), 0, atol=1e-12)
    # along [111] the sign alternates from plane to plane
    plane = np.rint(nickel.positions.sum(1) / 4.17)
    np.testing.assert_allclose(cosine[0], (-1) ** plane)


def test_odd_supercells_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got repeat \(2, 3, 2\), expected even"):
        supercell.build_supercell((2, 3, 2), 4.17, moment=1.3)


def test_data_file(tmp_path: Path) -> None:
    atoms = supercell.build_supercell((2, 2, 2), 4.0, moment=1.3)
    path = tmp_path / "nio.data"
    supercell.write_data_file(atoms, path)
    assert run_demo.count_atoms(path) == 64
    rows = [line.split() for line in path.read_text().splitlines()]
    rows = [row for row in rows if len(row) == 9]
    kinds = [int(row[1]) for row in rows]
    assert [kinds.count(kind) for kind in (1, 2, 3)] == [16, 16, 32]
    assert ["0", "8", "xlo", "xhi"] in [
        line.split() for line in path.read_text().splitlines()
    ]
    for row in rows:
        direction = np.array(row[5:8], dtype=float)
        assert np.linalg.norm(direction) == pytest.approx(1)
        assert float(row[8]) == (1.3 if row[1] in "12" else 0.0)
