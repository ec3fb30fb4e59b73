"""Deployed files: round trip, numbers, and the sentences for files that are none."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from small_models import small_checkpoint, small_model, structure
from spinff import export
from spinff.calculator import SpinCalculator
from spinff.cli.main import main
from spinff.errors import SpinffError
from spinff.export import (
    ScriptableModel,
    compare_reloaded,
    deploy,
    load_model,
    make_header,
    random_inputs,
    scriptable,
)
from spinff.header import has_couplings, read_header
from spinff.models import Checkpoint


def pretend_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that loads as a small random model, without a training run."""
    path = folder / "model.pth"
    torch.save({"hyper_parameters": {"model": {}}}, path)

    def load(_: Path, dtype: str | None = None) -> Checkpoint:
        return small_checkpoint(**({"model_dtype": dtype} if dtype else {}))

    monkeypatch.setattr(export, "load_checkpoint", load)
    return path


@pytest.fixture
def checkpoint_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return pretend_checkpoint(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small float64 model as a file; compiling one takes seconds."""
    folder = tmp_path_factory.mktemp("deployed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        return deploy(pretend_checkpoint(folder, monkeypatch), folder / "out.pth")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_deployed_file_gives_the_numbers_of_its_model(
    checkpoint_file: Path, tmp_path: Path, dtype: str
) -> None:
    file = deploy(checkpoint_file, tmp_path / "out.pth", dtype=dtype)
    model = load_model(file)
    eager = small_model(model_dtype=dtype)
    assert model.header == read_header(file)
    assert model.header.dtype == dtype
    inputs = random_inputs(model.header)
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    for got, expected in zip(model.module(*inputs), eager.module(*inputs), strict=True):
        assert got.dtype == torch.float64
        assert float((got - expected).abs().max()) <= tolerance * float(
            expected.abs().max()
        )


def test_nothing_is_left_of_a_file_that_does_not_agree(
    checkpoint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Different(ScriptableModel):
        """What is compared is not what was written."""

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(1.001 * x for x in small_model().module(*inputs))

    real = export.compare_reloaded

    def compare(path: Path, module: ScriptableModel, header: object) -> float:
        different = Different(
            module.network, module.spin_terms, module.moment_mode, module.reference
        )
        return real(path, different, header)  # type: ignore[arg-type]

    monkeypatch.setattr(export, "compare_reloaded", compare)
    with pytest.raises(SpinffError, match="reloaded model differs from the checkpoint"):
        deploy(checkpoint_file, tmp_path / "out.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pth"]


def test_no_edges_and_no_atoms(deployed: Path) -> None:
    model = load_model(deployed)
    lone = Atoms("Ni", positions=[[0, 0, 0]])
    lone.set_initial_magnetic_moments([[0, 0, 1.3]])
    lone.calc = SpinCalculator(model)
    assert lone.get_potential_energy() == pytest.approx(-2.0)
    assert np.array_equal(lone.get_forces(), np.zeros((1, 3)))
    empty = (
        torch.zeros(0, 3, dtype=torch.float64),
        torch.zeros(2, 0, dtype=torch.long),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, 3, dtype=torch.float64),
        0,
    )
    shapes = [tuple(x.shape) for x in model.module(*empty)]
    assert shapes == [(0, 4), (0, 3), (0, 3), (0,)]


def test_the_order_of_edges_does_not_matter() -> None:
    model = small_model()
    edges, index, types, magnetic, spins, count = random_inputs(model.header)
    order = torch.randperm(len(edges), generator=torch.Generator().manual_seed(1))
    is_magnetic = torch.zeros(len(edges), dtype=torch.bool)
    is_magnetic[magnetic] = True
    shuffled = torch.nonzero(is_magnetic[order]).view(-1)
    one = model.module(edges, index, types, magnetic, spins, count)
    other = model.module(edges[order], index[:, order], types, shuffled, spins, count)
    torch.testing.assert_close(one[0], other[0], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(one[1][order], other[1], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(one[2], other[2], rtol=1e-12, atol=1e-13)


def test_the_header_says_what_the_model_is() -> None:
    header = make_header(small_checkpoint(per_edge_type_cutoff={"O": {"O": 3.0}}))
    assert header.terms == ("lattice", "exchange", "anisotropy", "biquadratic")
    assert has_couplings(header)
    assert header.cutoffs == ((4.0, 4.0), (4.0, 3.0))
    assert header.magnetic_force_scale == {"Ni": 0.8}
    without = make_header(
        small_checkpoint(terms=["tenn", "exchange"], spin_orbit_coupling=False)
    )
    assert without.terms == ("lattice", "exchange", "tenn")
    assert not without.spin_orbit_coupling
    assert not has_couplings(without)


def test_per_edge_type_cutoffs_cut_edges_and_stay_smooth() -> None:
    model = small_model(per_edge_type_cutoff={"O": {"O": 3.0}})
    pair = Atoms("O2", positions=[[0, 0, 0], [0, 0, 3.1]])
    pair.set_initial_magnetic_moments(np.zeros((2, 3)))
    pair.calc = SpinCalculator(model)
    apart = pair.get_potential_energy()
    assert apart == pytest.approx(-2.0, abs=1e-14)
    pair.positions[1, 2] = 3.0 - 1e-3
    assert abs(pair.get_potential_energy() - apart) < 1e-7


# === files that cannot be used ===


def test_deploying_a_deployed_file_is_a_sentence(
    deployed: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpinffError, match="is deployed already"):
        deploy(deployed, tmp_path / "again.pth")


def test_another_type_of_number_than_the_files_is_a_sentence(
    deployed: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpinffError, match="deploy again with --dtype float32"):
        load_model(deployed, dtype="float32")


def test_a_truncated_network_is_a_sentence(deployed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    with zipfile.ZipFile(deployed) as whole, zipfile.ZipFile(broken, "w") as part:
        for name in whole.namelist():
            data = whole.read(name)
            part.writestr(name, data[:40] if name.endswith("/data.pkl") else data)
    with pytest.raises(SpinffError, match="TorchScript cannot be loaded"):
        load_model(broken)


def test_a_checkpoint_of_something_else_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(SpinffError, match="no model configuration inside"):
        load_model(path)
    torch.save({"hyper_parameters": {"model": {"_target_": "nequip.model.X"}}}, path)
    with pytest.raises(SpinffError, match=r"not a spinff model, got nequip\.model\.X"):
        load_model(path)


def test_a_newer_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "newer.pth"
    torch.save(
        {
            "hyper_parameters": {"model": {"_target_": "spinff.models.SpinAllegro"}},
            "spinff-checkpoint": {"version": 2},
        },
        path,
    )
    with pytest.raises(SpinffError, match="written by a newer spinff"):
        load_model(path)


def test_a_damaged_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save({"hyper_parameters": {"model": {}}, "x": torch.zeros(1000)}, good)
    with zipfile.ZipFile(good) as whole, zipfile.ZipFile(bad, "w") as part:
        for name in whole.namelist():
            if "/data/" not in name:
                part.writestr(name, whole.read(name))
    with pytest.raises(SpinffError, match="cannot be read"):
        load_model(bad)


def test_a_device_that_is_not_there_is_a_sentence(
    deployed: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpinffError, match="unknown device, got 'tpu'"):
        load_model(deployed, device="tpu")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SpinffError, match="a GPU is asked for, got 0 CUDA devices"):
        load_model(deployed, device="cuda")


def test_the_command_writes_and_says_how_to_use_the_file(
    checkpoint_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", str(checkpoint_file)]) == 0
    output = checkpoint_file.with_name("model.deployed.pth")
    assert read_header(output).type_names == ("Ni", "O")
    assert f"pair_coeff * * {output} Ni O" in capsys.readouterr().out


def test_a_missing_checkpoint_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", str(tmp_path / "none.pth")]) == 2
    assert "the file is missing" in capsys.readouterr().err


# === calculator ===


def test_the_calculator_reads_a_deployed_file(deployed: Path, tmp_path: Path) -> None:
    from_file, in_memory = structure(), structure()
    from_file.calc = SpinCalculator(deployed)
    in_memory.calc = SpinCalculator(small_model())
    assert from_file.get_potential_energy() == pytest.approx(
        in_memory.get_potential_energy(), rel=1e-12
    )
    np.testing.assert_allclose(
        from_file.get_forces(), in_memory.get_forces(), atol=1e-12
    )


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        ([0.0, 0.0, 0.0], r"got \[0. 0. 0.\] µB on atom 0, expected .*length > 0"),
        ([np.nan, 0.0, 1.0], "a magnetic atom has no usable moment"),
    ],
)
def test_a_magnetic_atom_without_a_usable_moment_is_a_sentence(
    moment: list[float], sentence: str
) -> None:
    atoms = structure()
    moments = atoms.get_initial_magnetic_moments()
    moments[0] = moment
    atoms.set_initial_magnetic_moments(moments)
    atoms.calc = SpinCalculator(small_model())
    with pytest.raises(SpinffError, match=sentence):
        atoms.get_potential_energy()


def test_collinear_moments_are_a_sentence() -> None:
    atoms = structure()
    atoms.set_initial_magnetic_moments(None)
    atoms.set_initial_magnetic_moments(np.ones(len(atoms)))
    atoms.calc = SpinCalculator(small_model())
    with pytest.raises(SpinffError, match=r"wrong shape, got \(8,\).*\(0, 0, m\)"):
        atoms.get_potential_energy()


def test_an_unknown_species_is_a_sentence() -> None:
    atoms = structure()
    atoms.symbols[0] = "Fe"
    atoms.calc = SpinCalculator(small_model())
    with pytest.raises(SpinffError, match="species not in the model, got Fe"):
        atoms.get_potential_energy()


def test_a_result_that_is_not_a_number_is_a_sentence() -> None:
    model = small_model()
    head = model.module.network.exchange  # type: ignore[attr-defined]
    head.baseline.table.fill_(torch.nan)
    atoms = structure()
    atoms.calc = SpinCalculator(model)
    with pytest.raises(SpinffError, match="got NaN or infinity in energy at index"):
        atoms.get_potential_energy()


def test_moments_that_change_are_evaluated_again() -> None:
    atoms = structure()
    atoms.calc = SpinCalculator(small_model())
    before = atoms.get_potential_energy()
    moments = atoms.get_initial_magnetic_moments()
    atoms.set_initial_magnetic_moments(moments @ np.diag([1.0, -1.0, -1.0])[::-1])
    assert atoms.get_potential_energy() != before


def test_compare_reloaded_sees_another_models_file(
    deployed: Path, tmp_path: Path
) -> None:
    other = small_checkpoint(seed=8)
    with pytest.raises(SpinffError, match="reloaded model differs"):
        compare_reloaded(deployed, scriptable(other), read_header(deployed))
    shutil.copy(deployed, tmp_path / "copy.pth")
    good = scriptable(small_checkpoint())
    assert compare_reloaded(tmp_path / "copy.pth", good, read_header(deployed)) < 1e-12
