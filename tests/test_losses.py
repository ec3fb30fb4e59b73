"""Losses: values, masks, sentences, and real steps on every subset of the labels."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.data.transforms import (
    ChemicalSpeciesToAtomTypeMapper,
    NeighborListTransform,
)
from nequip.train import MetricsManager

from small_models import MODELS, TYPES, small_checkpoint
from spinff import fields
from spinff.data.dataset import frame_to_data
from spinff.data.frames import make_frame
from spinff.data.references import reference
from spinff.errors import SpinffError
from spinff.export import load_model
from spinff.testing import check_file
from spinff.training import LabelledInMeV, SpinLoss, SpinMetrics
from spinff.training.run import train

CONFIG = Path(__file__).with_name("small_train.yaml")
SUBSETS: dict[str, dict[str, float]] = {
    "forces": {"forces": 1.0},
    "stress": {"stress": 1.0},
    "magnetic forces": {"magnetic_forces": 1.0},
    "torque": {"torque": 1.0},
    "energy and torque": {"energy": 1.0, "torque": 1.0},
    "everything": {
        "energy": 1.0,
        "forces": 2.0,
        "stress": 0.5,
        "magnetic_forces": 1.0,
        "torque": 1.0,
    },
}


# === values ===


def batch(**values: torch.Tensor) -> AtomicDataDict.Type:
    """One frame of two atoms, with moments along z and x."""
    moments = torch.tensor([[0.0, 0.0, 2.0], [1.5, 0.0, 0.0]], dtype=torch.float64)
    return {
        fields.MAGNETIC_MOMENTS_KEY: moments,
        AtomicDataDict.NUM_NODES_KEY: torch.tensor([2]),
    } | values


def magnetic(values: list[list[float]]) -> AtomicDataDict.Type:
    """Magnetic forces under the names of the model's output and of both labels."""
    forces = torch.tensor(values, dtype=torch.float64)
    return batch(
        **{
            fields.MAGNETIC_FORCE_LABELS_KEY: forces,
            fields.MAGNETIC_FORCES_KEY: forces,
        }
    )


ZERO = [[0.0] * 3] * 2
FORCES = [[0.001, 0.002, 0.005], [0.007, 0.0, 0.003]]  # along m: 5 and 7 meV/µB


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        # squares of the three components of two atoms, meV²
        ("magnetic_forces", (1 + 4 + 0 + 0 + 0 + 9) / 6),
        ("magnetic_forces_longitudinal", (25 + 49) / 2),
        # z × (1, 2, ·) = (−2, 1, 0) times 2 µB; x × (·, 0, 3) = (0, −3, 0) times 1.5
        ("torque", (16 + 4 + 4.5**2) / 6),
    ],
)
def test_value_of_a_magnetic_term(term: str, expected: float) -> None:
    loss = SpinLoss(coeffs={term: 1.0})(magnetic(FORCES), magnetic(ZERO))
    assert float(loss["weighted_sum"]) == pytest.approx(expected)


def test_torque_does_not_see_the_part_along_the_moment() -> None:
    along = [[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]]
    loss = SpinLoss(coeffs={"torque": 1.0})(magnetic(along), magnetic(ZERO))
    assert loss["weighted_sum"] == 0.0


def test_moment_lengths_are_in_thousandths_of_a_magneton() -> None:
    def lengths(values: list[float]) -> AtomicDataDict.Type:
        column = torch.tensor(values, dtype=torch.float64).view(-1, 1)
        return batch(**{fields.MOMENT_LENGTHS_KEY: column})

    metrics = SpinMetrics(coeffs={"moment_length": 1.0})
    out = metrics(lengths([2.01, 7.0]), lengths([2.0, torch.nan]))
    assert float(out["moment_length_mae"]) == pytest.approx(10.0)


def test_energies_are_per_atom() -> None:
    def energy(value: float) -> AtomicDataDict.Type:
        value = torch.tensor([[value]], dtype=torch.float64)
        return batch(**{AtomicDataDict.TOTAL_ENERGY_KEY: value})

    out = SpinMetrics(coeffs={"energy": 1.0})(energy(-3.0), energy(-3.02))
    assert float(out["energy_mae"]) == pytest.approx(10.0)
    assert float(out["energy_rmse"]) == pytest.approx(10.0)


def test_weights_are_relative_and_null_only_reports() -> None:
    loss = SpinLoss(coeffs={"magnetic_forces": 3.0, "torque": 1.0})
    out = loss(magnetic(FORCES), magnetic(ZERO))
    expected = 0.75 * out["magnetic_forces_mse"] + 0.25 * out["torque_mse"]
    torch.testing.assert_close(out["weighted_sum"], expected)
    metrics = SpinMetrics(coeffs={"magnetic_forces": 3.0, "torque": None})
    out = metrics(magnetic(FORCES), magnetic(ZERO))
    assert out["weighted_sum"] == out["magnetic_forces_mae"] and out["torque_mae"] > 0


# === masks ===


def forces_batch(labels: torch.Tensor) -> AtomicDataDict.Type:
    return batch(**{AtomicDataDict.FORCE_KEY: labels})


def test_entries_without_a_label_do_not_count() -> None:
    target = torch.full((2, 3), torch.nan)
    target[0] = 0.999
    pairs = LabelledInMeV(AtomicDataDict.FORCE_KEY)(
        forces_batch(torch.ones(2, 3)), forces_batch(target)
    )
    assert pairs[0].shape == (3,)
    torch.testing.assert_close(pairs[0] - pairs[1], torch.ones(3))


@pytest.mark.parametrize("target", [{}, {"forces": torch.full((2, 3), torch.nan)}])
def test_a_batch_without_labels_gives_zero_and_a_gradient(
    target: dict[str, torch.Tensor],
) -> None:
    prediction = torch.ones(2, 3, requires_grad=True)
    loss = SpinLoss(coeffs={"forces": 1.0})(forces_batch(prediction), batch(**target))
    loss["weighted_sum"].backward()
    assert loss["weighted_sum"] == 0.0
    assert prediction.grad is not None
    assert torch.equal(prediction.grad, torch.zeros(2, 3))


def test_batches_without_labels_do_not_dilute_an_epoch() -> None:
    metrics = SpinMetrics(coeffs={"forces": 1.0})
    none = torch.full((2, 3), torch.nan)
    for target in (torch.zeros(2, 3), none, none, none):
        metrics(forces_batch(torch.ones(2, 3)), forces_batch(target))
    assert float(metrics.compute()["forces_mae"]) == pytest.approx(1000.0)


def test_a_moment_of_length_zero_gives_no_nan() -> None:
    prediction, target = magnetic(FORCES), magnetic(FORCES)
    target[fields.MAGNETIC_MOMENTS_KEY][0] = 0.0
    for key in (fields.MAGNETIC_FORCE_LABELS_KEY, fields.MAGNETIC_FORCES_KEY):
        prediction[key].requires_grad_(True)
        target[key][0] = torch.nan
    coeffs = {"magnetic_forces": 1.0, "magnetic_forces_longitudinal": 1.0, "torque": 1}
    out = SpinLoss(coeffs=coeffs)(prediction, target)
    out["weighted_sum"].backward()
    gradient = prediction[fields.MAGNETIC_FORCE_LABELS_KEY].grad
    assert gradient is not None and torch.isfinite(gradient).all()


# === sentences ===


@pytest.mark.parametrize(
    ("coeffs", "sentence"),
    [
        ({"torques": 1.0}, r"SpinLoss: unknown.*\['torques'\].*energy, forces, stress"),
        ({}, "got an empty coeffs"),
        ({"energy": -1.0}, "weight of energy is unusable, got -1.0"),
        ({"energy": None}, "weight of energy is unusable, got None"),
        ({"energy": float("nan")}, "weight of energy is unusable, got nan"),
        ({"energy": 0.0}, "no term has a weight"),
    ],
)
def test_bad_weights_are_a_sentence(coeffs: dict[str, float], sentence: str) -> None:
    with pytest.raises(SpinffError, match=sentence):
        SpinLoss(coeffs=coeffs)


@pytest.mark.parametrize(
    ("term", "missing", "remedy"),
    [
        ("forces", "forces", "do_derivatives: true"),
        ("stress", "stress", "do_derivatives: true"),
        ("torque", "magnetic_force_labels", "do_derivatives: true"),
        ("moment_length", "moment_lengths", "moment_mode: predicted"),
    ],
)
def test_a_prediction_the_model_does_not_give_is_a_sentence(
    term: str, missing: str, remedy: str
) -> None:
    with pytest.raises(SpinffError, match=f"gives no {missing}, got .*{remedy}"):
        SpinLoss(coeffs={term: 1.0})(batch(), batch())


# === training steps ===


def rocksalt(count: int = 2) -> list[Atoms]:
    return reference("rocksalt").generate(count, seed=1)


def without_energy() -> list[Atoms]:
    frames = rocksalt()
    for frame in frames:
        del frame.calc.results["energy"], frame.calc.results["stress"]
    return frames


def without_magnetic_forces() -> list[Atoms]:
    frames = rocksalt()
    for frame in frames:
        del frame.arrays[fields.MAGNETIC_FORCES_KEY]
    return frames


def without_any_label() -> list[Atoms]:
    return [
        make_frame("bare", frame, frame.arrays[fields.MAGNETIC_MOMENTS_KEY])
        for frame in rocksalt()
    ]


def without_magnetic_atoms() -> list[Atoms]:
    """A ligand crystal and, with no cell and so no stress, a molecule."""
    crystal = Atoms("O2", [[0, 0, 0], [1.3, 1.1, 1.2]], cell=3 * np.eye(3), pbc=True)
    molecule = Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.3]])
    return [
        make_frame(
            "oxygen",
            atoms,
            np.zeros((2, 3)),
            energy=-2.0,
            forces=np.array([[0.1, 0, 0], [-0.1, 0, 0]]),
            stress=np.zeros(6) if atoms.pbc.any() else None,
        )
        for atoms in (crystal, molecule)
    ]


def with_mixed_labels() -> list[Atoms]:
    return [
        *rocksalt(1),
        without_energy()[1],
        without_any_label()[1],
        *without_magnetic_atoms(),
    ]


def to_batch(frames: list[Atoms]) -> AtomicDataDict.Type:
    mapper = ChemicalSpeciesToAtomTypeMapper(TYPES)
    neighbours = NeighborListTransform(r_max=4.0)
    return AtomicDataDict.batched_from_list(
        [
            neighbours(mapper(frame_to_data(frame, magnetic_types=["Ni"])))
            for frame in frames
        ]
    )


def losses_of_steps(
    loss: MetricsManager, frames: list[Atoms], steps: int = 3, **changes: object
) -> list[float]:
    """Loss before each step of Adam; fails for a gradient that is not finite."""
    changes = {"magnetic_force_scale_trainable": True, "l_max": 1} | changes
    model = small_checkpoint(**changes).model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    data = to_batch(frames)
    values = []
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss(model(data.copy()), data)["weighted_sum"]
        value.backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert torch.isfinite(parameter.grad).all(), name
        optimiser.step()
        values.append(value.item())
    assert np.isfinite(values).all()
    return values


@pytest.mark.parametrize("name", SUBSETS)
def test_any_subset_of_the_terms_trains(name: str) -> None:
    values = losses_of_steps(SpinLoss(coeffs=SUBSETS[name]), rocksalt())
    assert values[-1] < values[0]


@pytest.mark.parametrize("name", ["msenn", "ring-tenn"])
def test_energy_alone_trains_a_model_without_derivatives(name: str) -> None:
    loss = SpinLoss(coeffs={"energy": 1.0})
    changes = MODELS[name] | {"do_derivatives": False}
    values = losses_of_steps(loss, rocksalt(), **changes)
    assert values[-1] < values[0]


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("predicted", {"moment_length": 1.0}),
        ("predicted", {"energy": 1.0, "torque": 1.0, "moment_length": 0.01}),
        ("input", {"magnetic_forces_longitudinal": 1.0}),
        ("input", {"magnetic_forces": 1.0, "magnetic_forces_longitudinal": 0.1}),
    ],
)
def test_lengths_of_moments_train(name: str, terms: dict[str, float]) -> None:
    values = losses_of_steps(SpinLoss(coeffs=terms), rocksalt(), **MODELS[name])
    assert values[-1] < values[0]


def test_the_length_of_a_fixed_moment_is_a_sentence() -> None:
    loss = SpinLoss(coeffs={"moment_length": 1.0})
    with pytest.raises(SpinffError, match=r"gives no moment_lengths.*predicted"):
        losses_of_steps(loss, rocksalt())


def test_forces_of_a_model_without_derivatives_are_a_sentence() -> None:
    loss = SpinLoss(coeffs={"energy": 1.0, "forces": 1.0})
    with pytest.raises(SpinffError, match=r"gives no forces.*do_derivatives: true"):
        losses_of_steps(loss, rocksalt(), do_derivatives=False)


@pytest.mark.parametrize(
    "frames",
    [
        without_energy,
        without_magnetic_forces,
        without_magnetic_atoms,
        with_mixed_labels,
    ],
)
def test_batches_without_some_label_train(frames: Callable[[], list[Atoms]]) -> None:
    values = losses_of_steps(SpinLoss(coeffs=SUBSETS["everything"]), frames())
    assert values[-1] < values[0]


def test_batches_without_any_label_change_nothing() -> None:
    loss = SpinLoss(coeffs=SUBSETS["everything"])
    assert losses_of_steps(loss, without_any_label()) == [0.0, 0.0, 0.0]


def test_the_label_scale_is_learned_from_torques_alone() -> None:
    """Labels of another scale than the energies: c alone can follow them."""
    frames = rocksalt()
    checkpoint = small_checkpoint(magnetic_force_scale_trainable=True, l_max=1)
    model, data = checkpoint.model.train(), to_batch(frames)
    table = model.get_submodule("model.func.label_scale").get_parameter("table")
    with torch.enable_grad():
        prediction = model(data.copy())[fields.MAGNETIC_FORCE_LABELS_KEY].detach()
    # the model's own field, a quarter larger, is the label
    labelled = ~torch.isnan(data[fields.MAGNETIC_FORCE_LABELS_KEY])
    target = torch.where(labelled, 1.25 * prediction, torch.nan)
    data = data | {fields.MAGNETIC_FORCE_LABELS_KEY: target}
    before = table.detach().clone()
    optimiser = torch.optim.Adam([table], lr=0.05)
    loss = SpinLoss(coeffs={"torque": 1.0})
    for _ in range(40):
        optimiser.zero_grad()
        loss(model(data.copy()), data)["weighted_sum"].backward()
        optimiser.step()
    nickel = TYPES.index("Ni")
    ratio = (table[0, nickel] / before[0, nickel]).item()
    assert ratio == pytest.approx(1.25, rel=0.02)


# === runs ===


def run(tmp_path: Path, frames: list[Atoms], *overrides: str) -> Path:
    ase.io.write(tmp_path / "frames.xyz", frames)
    output = tmp_path / "run"
    return train(CONFIG, output, [f"frames={tmp_path / 'frames.xyz'}", *overrides])


def test_a_run_on_labels_that_differ_between_frames(tmp_path: Path) -> None:
    frames = [*rocksalt(7), *without_any_label()[:1], *without_magnetic_atoms()]
    model = run(
        tmp_path,
        frames,
        "+training_module.loss.coeffs.torque=1.0",
        "+training_module.val_metrics.coeffs.torque=null",
        "data.train_dataloader.batch_size=1",
    )
    report = check_file(model, dtype="float64")
    assert report.passed, str(report)
    batch = report["other frames of a batch"]
    assert batch.errors == {"positions": 0.0, "moments": 0.0}


def test_a_run_on_energies_alone(tmp_path: Path) -> None:
    frames = rocksalt(10)
    for frame in frames:
        del frame.calc.results["forces"], frame.calc.results["stress"]
        del frame.arrays[fields.MAGNETIC_FORCES_KEY]
    model = run(
        tmp_path,
        frames,
        *(
            f"~training_module.{part}.coeffs.{term}"
            for part in ("loss", "val_metrics")
            for term in ("forces", "stress", "magnetic_forces")
        ),
        "+training_module.model.do_derivatives=false",
        # without forces there is no size of forces to set the scale by
        "training_module.model.per_type_energy_scales=0.1",
    )
    assert load_model(model).header.type_names == ("Ni", "O")
