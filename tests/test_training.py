"""Training: configuration, statistics, losses, runs, resume, and what they leave."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
import yaml

from small_models import structure
from spinff.data import SpinDataModule
from spinff.data.references.cri3 import cri3_pairs
from spinff.data.references.rocksalt import Rocksalt
from spinff.errors import SpinffError
from spinff.export import load_model
from spinff.training import SpinStatistics
from spinff.training.config import check_config
from spinff.training.run import train
from test_symmetry import OPERATIONS, equivariance_error

_MAIN = "import sys; from spinff.cli.main import main; sys.exit(main())"
CONFIG = Path(__file__).with_name("small_train.yaml")


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "frames.xyz"
    ase.io.write(path, Rocksalt().generate(10, seed=1))
    return path


@pytest.fixture(scope="session")
def run_directory(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs."""
    output = tmp_path_factory.mktemp("runs") / "two-epochs"
    train(CONFIG, output, [f"frames={frames}"])
    return output


def spinff(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]


# === runs ===


def test_a_run_leaves_a_model_with_its_data_hash(
    run_directory: Path, frames: Path
) -> None:
    model = load_model(run_directory / "model.pth")
    assert model.header.type_names == ("Ni", "O")
    assert len(model.header.training_data_sha256) == 64
    full, kept = (run_directory / name for name in ("best.ckpt", "model.pth"))
    assert kept.stat().st_size < full.stat().st_size


def test_a_float32_model_deployed_as_float64_is_symmetric_to_float64(
    run_directory: Path,
) -> None:
    model = load_model(run_directory / "model.pth", dtype="float64")
    assert model.header.dtype == "float64"
    error = equivariance_error(model, structure(), OPERATIONS["rotation"])
    assert error < 1e-12


def test_resume_gives_the_weights_of_a_run_that_was_not_stopped(
    frames: Path, run_directory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "stopped"
    train(CONFIG, output, [f"frames={frames}", "epochs=1"])
    train(CONFIG, output, [f"frames={frames}", "epochs=2"], resume=True)
    straight, resumed = (weights(d / "last.ckpt") for d in (run_directory, output))
    changed = False
    for name, tensor in straight.items():
        if isinstance(tensor, torch.Tensor) and name.startswith("model."):
            assert torch.equal(tensor, resumed[name]), name
            changed = changed or bool(tensor.abs().sum() > 0)
    assert changed


def test_a_directory_with_a_run_is_not_overwritten(
    frames: Path, run_directory: Path
) -> None:
    with pytest.raises(SpinffError, match=r"holds a run already.*--resume"):
        train(CONFIG, run_directory, [f"frames={frames}"])


def test_nothing_to_resume_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpinffError, match="nothing to resume"):
        train(CONFIG, tmp_path / "none", [], resume=True)


def test_a_loss_that_is_not_a_number_stops_the_run(
    frames: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpinffError, match=r"loss not finite at step \d+, epoch 0"):
        train(
            CONFIG,
            tmp_path / "nan",
            [f"frames={frames}", "training_module.optimizer.lr=1e30"],
        )
    assert not (tmp_path / "nan" / "model.pth").exists()


def test_a_gpu_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SpinffError, match="a GPU is asked for, got 0 CUDA devices"):
        train(CONFIG, tmp_path / "gpu", ["trainer.accelerator=gpu"])


def test_an_override_of_a_key_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpinffError, match=r"hydra cannot apply one.*\+KEY=VALUE"):
        train(CONFIG, tmp_path / "run", ["trainer.max_steps=3"])


def test_train_prints_its_result_as_json(frames: Path, tmp_path: Path) -> None:
    done = spinff(
        "train",
        CONFIG,
        f"frames={frames}",
        "epochs=1",
        "--json",
        "-o",
        tmp_path / "run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result["model"]).is_file()
    assert result["best_epoch"] == 0
    assert len(result["training_data_sha256"]) == 64


def test_evaluate_prints_every_key_and_a_picture(
    run_directory: Path, frames: Path, tmp_path: Path
) -> None:
    done = spinff(
        "evaluate", run_directory / "model.pth", frames, "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert errors["n_frames"] == 10
    assert errors["magnetic_forces_longitudinal_mae_mev_per_mub"] is None
    for key in (
        "energy_mae_mev_per_atom",
        "energy_rmse_mev_per_atom",
        "energy_r2",
        "forces_mae_mev_per_a",
        "forces_rmse_mev_per_a",
        "stress_mae_mev_per_a3",
        "magnetic_forces_transverse_mae_mev_per_mub",
        "magnetic_forces_transverse_rmse_mev_per_mub",
        "magnetic_forces_mae_mev_per_mub",
        "torque_mae_mev",
    ):
        assert np.isfinite(errors[key]), key
    assert errors["moment_length_mae_mmub"] is None
    assert list(errors["energy_by_term_mev_per_atom"]) == ["lattice", "exchange"]
    assert set(errors["magnetic_force_scale"]) == {"Ni"}
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_names_the_frame_of_a_species_the_model_lacks(
    run_directory: Path, frames: Path, tmp_path: Path
) -> None:
    atoms = ase.io.read(frames, 0)
    symbols = atoms.get_chemical_symbols()
    symbols[3] = "Fe"
    atoms.set_chemical_symbols(symbols)
    ase.io.write(tmp_path / "fe.xyz", atoms)
    done = spinff("evaluate", run_directory / "model.pth", "fe.xyz", cwd=tmp_path)
    assert done.returncode == 2
    assert "Fe" in done.stderr and "Ni, O" in done.stderr


# === configuration ===


def changed_config(tmp_path: Path, *path: str, value: object) -> Path:
    """The small configuration with one entry changed or added."""
    config: Any = yaml.safe_load(CONFIG.read_text())
    node = config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    target = tmp_path / "changed.yaml"
    target.write_text(yaml.safe_dump(config, allow_unicode=True))
    return target


def test_the_shipped_configurations_are_accepted() -> None:
    repository = Path(__file__).parents[1]
    configs = sorted(repository.glob("examples/**/*.yaml"))
    assert configs
    for path in [CONFIG, *configs]:
        check_config(path)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (("trainings_module",), "unknown key in .*'trainings_module'.*did you mean"),
        (
            ("training_module", "model", "num_layer"),
            r"\(spinff.models.SpinAllegro\).*did you mean 'num_layers'",
        ),
        (("data", "train_path"), "unknown argument, got 'train_path'|train_path"),
        (("trainer", "epochs"), r"trainer \(lightning.Trainer\), got 'epochs'"),
    ],
)
def test_an_unknown_key_is_a_sentence(
    tmp_path: Path, path: tuple[str, ...], sentence: str
) -> None:
    config = changed_config(tmp_path, *path, value=1)
    with pytest.raises(SpinffError, match=sentence):
        check_config(config)
        # the data module takes nequip's own arguments, and checks them itself
        train(config, tmp_path / "run", ["frames=none.xyz"])


def test_a_target_that_cannot_be_imported_is_a_sentence(tmp_path: Path) -> None:
    config = changed_config(
        tmp_path, "training_module", "model", "_target_", value="spinff.models.MSEN"
    )
    with pytest.raises(SpinffError, match=r"cannot be imported, got 'spinff"):
        check_config(config)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "holds no sections, got list"),
        ("run: [train]", "lacks the section.*data, trainer, training_module"),
    ],
)
def test_a_file_that_is_no_configuration_is_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SpinffError, match=sentence):
        check_config(path)


def test_labels_along_moments_for_a_model_of_directions_are_a_sentence(
    tmp_path: Path,
) -> None:
    loss = ("training_module", "loss", "coeffs")
    longitudinal = {"energy": 1.0, "magnetic_forces_longitudinal": 1.0}
    config = changed_config(tmp_path, *loss, value=longitudinal)
    with pytest.raises(SpinffError, match="loss, got magnetic_forces_longitudinal"):
        check_config(config)


def test_a_missing_configuration_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpinffError, match="no such configuration"):
        check_config(tmp_path / "none.yaml")


# === statistics ===


def statistics(frames: Path, **changes: object) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "type_names": ["Ni", "O"],
        "magnetic_types": ["Ni"],
        "r_max": 4.9,
        "terms": ["exchange"],
        "num_bessels": 8,
    }
    module = SpinDataModule(
        seed=1,
        train_paths=[str(frames)],
        val_paths=[str(frames)],  # nequip asks for one; not read into the statistics
        type_names=["Ni", "O"],
        transforms=[
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": ["Ni", "O"],
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 4.9},
        ],
        train_dataloader={"_target_": "torch.utils.data.DataLoader", "batch_size": 4},
        stats_manager={
            "_target_": "spinff.training.SpinStatistics",
            **(arguments | changes),
        },
    )
    return module.get_statistics("train")


def fitted_exchange(results: dict[str, Any], r: np.ndarray) -> np.ndarray:
    """J(r) in eV of the fitted baseline."""
    n = np.arange(1, 9)
    x = r[:, None] / 4.9
    envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    return (np.sinc(x * n) * n * envelope) @ results["exchange_baseline"]["Ni-Ni"]


def test_the_baseline_is_the_exchange_of_the_reference(tmp_path: Path) -> None:
    hamiltonian = Rocksalt()
    # enough frames to average over the DM and anisotropic parts a J(r) cannot have
    ase.io.write(tmp_path / "frames.xyz", hamiltonian.generate(60, seed=1))
    results = statistics(tmp_path / "frames.xyz")
    atoms = hamiltonian.generate(1, seed=9)[0]
    pairs = hamiltonian.exchange(atoms)
    isotropic = np.trace(np.asarray(pairs.tensors), axis1=1, axis2=2) / 3
    fitted = fitted_exchange(results, np.linalg.norm(pairs.vectors, axis=1))
    error = np.sqrt(np.square(fitted - isotropic).mean())
    assert error < 0.1 * np.sqrt(np.square(isotropic).mean())


def test_the_label_scale_is_found_from_the_energies(tmp_path: Path) -> None:
    rigid = Rocksalt().generate(10, seed=2, displacement=0.0, strain=0.0)
    for atoms in rigid:
        atoms.arrays["magnetic_forces"] *= 0.7
    ase.io.write(tmp_path / "scaled.xyz", rigid)
    results = statistics(tmp_path / "scaled.xyz")
    assert results["magnetic_force_scale"][0]["Ni"] == pytest.approx(0.7, rel=1e-2)


def test_energies_that_do_not_determine_the_label_scale_leave_it_at_one(
    frames: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert statistics(frames)["magnetic_force_scale"] == [{"Ni": 1.0}]
    assert "do not determine the label scale" in caplog.text


def test_a_magnetic_type_without_any_moment_is_a_sentence(frames: Path) -> None:
    with pytest.raises(SpinffError, match="no atom of magnetic type O has a moment"):
        statistics(frames, magnetic_types=["Ni", "O"])


def test_statistics_without_energies_are_a_sentence() -> None:
    manager = SpinStatistics(["Ni"], ["Ni"], r_max=3.0, terms=[])
    manager.magnetic_types = []  # no moments to look for either
    with pytest.raises(SpinffError, match="no energies in the training set"):
        manager.get_statistics([])


def test_energies_alone_give_the_exchange_and_not_the_lattice(tmp_path: Path) -> None:
    frames = Rocksalt().generate(120, seed=5)
    for atoms in frames:
        del atoms.arrays["magnetic_forces"]
    ase.io.write(tmp_path / "energies.xyz", frames)
    fit = fitted_exchange(statistics(tmp_path / "energies.xyz"), np.array([4.17]))
    assert fit[0] == pytest.approx(0.018, rel=0.15)


def test_terms_that_are_not_asked_for_have_no_baseline(frames: Path) -> None:
    results = statistics(frames, terms=[])
    for name in ("exchange", "biquadratic", "longitudinal"):
        assert results[f"{name}_baseline"] == {}


def test_forces_that_are_not_central_do_not_spoil_the_exchange(tmp_path: Path) -> None:
    """The exchange of cri3 depends on bond angles: J(r) has no such forces."""
    magnet = cri3_pairs()
    frames = magnet.generate(60, seed=1, displacement=0.003)
    for atoms in frames:
        del atoms.arrays["magnetic_forces"]
        atoms.symbols = ["Ni" if symbol == "Cr" else "O" for symbol in atoms.symbols]
    ase.io.write(tmp_path / "frames.xyz", frames)
    results = statistics(tmp_path / "frames.xyz", terms=["exchange", "biquadratic"])
    first = fitted_exchange(results, np.array([3.965]))[0]
    # with a weight for each component of a force it is −5.1 meV
    assert first == pytest.approx(-4.52e-3, rel=0.1)


def test_landau_coefficients_come_back_from_moments_of_any_length(
    tmp_path: Path,
) -> None:
    """Free spins in E = Σ a s² + b s⁴ + c s⁶ with s = |m| / mean |m|."""
    rng = np.random.default_rng(4)
    coefficients = np.array([-0.2, 0.08, 0.01])
    frames = []
    for _ in range(6):
        atoms = Rocksalt().generate(1, seed=1)[0]
        magnetic = atoms.symbols == "Ni"
        lengths = np.where(magnetic, rng.uniform(0.5, 1.5, len(atoms)), 0.0)
        direction = rng.normal(size=(len(atoms), 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        atoms.arrays["magnetic_moments"] = lengths[:, None] * direction
        frames.append(atoms)
    every = np.concatenate([f.arrays["magnetic_moments"] for f in frames])
    every = np.linalg.norm(every, axis=1)
    mean = every[every > 0].mean()
    for atoms in frames:
        s = atoms.arrays["magnetic_moments"] / mean
        x = np.square(s).sum(1, keepdims=True)
        powers = np.concatenate([x, x**2, x**3], axis=1)
        slopes = np.concatenate([np.full_like(x, 2.0), 4 * x, 6 * x**2], axis=1)
        atoms.calc.results = {"energy": float((powers @ coefficients).sum())}
        atoms.arrays["magnetic_forces"] = -(slopes @ coefficients)[:, None] * s / mean
    ase.io.write(tmp_path / "landau.xyz", frames)
    results = statistics(
        tmp_path / "landau.xyz",
        terms=["exchange", "longitudinal", "tenn"],
        moment_mode="input",
    )
    assert results["moments"]["Ni"] == pytest.approx(mean)
    # the ridge shifts the smallest of them by 2e-3
    np.testing.assert_allclose(
        results["longitudinal_baseline"]["Ni"], coefficients, rtol=5e-3
    )
    exchange = fitted_exchange(results, np.array([2.95, 4.17]))
    assert np.abs(exchange).max() < 1e-4
