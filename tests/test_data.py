"""Readers, checks, nequip data sets and the data command."""

import json
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hydra.utils import instantiate
from nequip.data import AtomicDataDict
from nequip.utils.dtype import torch_default_dtype
from numpy.typing import NDArray
from omegaconf import OmegaConf

from spinff import fields
from spinff.cli.main import main
from spinff.data import (
    SpinDataModule,
    SpinDataset,
    frame_to_data,
    read_frames,
    split_magnetic_forces,
    training_data_sha256,
)
from spinff.data.extxyz import write_extxyz
from spinff.data.frames import label, make_frame
from spinff.data.keys import EXTXYZ_ALIASES
from spinff.data.references import reference
from spinff.errors import SpinffError

DOCS_PAGE = Path(__file__).parents[1] / "docs" / "data.md"
N_ATOMS = 3
NI, O = 28, 8


def _arrays(n_frames: int = 2) -> dict[str, Any]:
    """Numbers of a small deepmd system of Ni, Ni, O; the O has no moment."""
    rng = np.random.default_rng(4)
    spin = rng.normal(size=(n_frames, N_ATOMS, 3))
    spin[:, 2] = 0.0
    return {
        "coord": rng.uniform(0, 4, size=(n_frames, 3 * N_ATOMS)),
        "box": np.tile(4.0 * np.eye(3).reshape(-1), (n_frames, 1)),
        "spin": spin.reshape(n_frames, -1),
        "energy": rng.normal(size=n_frames),
        "force": rng.normal(size=(n_frames, 3 * N_ATOMS)),
        "force_mag": rng.normal(size=(n_frames, 3 * N_ATOMS)),
        "virial": rng.normal(size=(n_frames, 9)),
    }


def _write_deepmd(folder: Path, raw: bool = False, **changes: Any) -> Path:  # noqa: ANN401
    """Write the small system; a change of None leaves the file out."""
    arrays = {k: v for k, v in (_arrays() | changes).items() if v is not None}
    target = folder if raw else folder / "set.000"
    target.mkdir(parents=True)
    (folder / "type.raw").write_text("0\n0\n1\n")
    (folder / "type_map.raw").write_text("Ni\nO\n")
    for name, values in arrays.items():
        if raw:
            np.savetxt(target / f"{name}.raw", values, fmt="%.17g")
        else:
            np.save(target / f"{name}.npy", values)
    return folder


def _write_xyz(path: Path, columns: dict[str, Any], **info: Any) -> Path:  # noqa: ANN401
    """Write one frame of NiO with the given per-atom columns and entries."""
    widths = {k: np.asarray(v).reshape(2, -1) for k, v in columns.items()}
    properties = "species:S:1:pos:R:3" + "".join(
        f":{k}:R:{v.shape[1]}" for k, v in widths.items()
    )
    entries = "".join(f" {k}={v}" for k, v in info.items())
    lines = [
        "2",
        f'Lattice="4 0 0 0 4 0 0 0 4" Properties={properties}{entries} pbc="T T T"',
    ]
    for k, (symbol, x) in enumerate((("Ni", 0.0), ("O", 2.0))):
        numbers = " ".join(str(n) for v in widths.values() for n in v[k])
        lines.append(f"{symbol} {x} 0 0 {numbers}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _label(frame: Atoms, name: str) -> NDArray[np.float64]:
    """A label that has to be there."""
    values = label(frame, name)
    assert values is not None
    return values


SPINS = [[0.0, 0.6, 0.8], [0.0, 0.0, 0.0]]
VECTORS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


# === real data ===


@pytest.mark.data
def test_nio_folders_equal_the_extended_xyz(spinff_data: Path) -> None:
    folder = spinff_data / "nio_deltaspin"
    from_npy = [frame for k in (0, 1, 2) for frame in read_frames(folder / f"data_{k}")]
    from_xyz = read_frames(folder / "nio_all.xyz", type_names=["Ni", "O"])
    assert len(from_npy) == len(from_xyz) == 151
    for a, b in zip(from_npy, from_xyz, strict=True):
        np.testing.assert_array_equal(a.numbers, b.numbers)
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-8)
        np.testing.assert_allclose(np.asarray(a.cell), np.asarray(b.cell), atol=1e-9)
        for name in ("magnetic_moments", "magnetic_forces"):
            np.testing.assert_allclose(a.arrays[name], b.arrays[name], atol=1e-8)
        for name in ("energy", "forces"):
            np.testing.assert_allclose(_label(a, name), _label(b, name), atol=1e-8)
        assert label(a, "stress") is None


@pytest.mark.data
def test_nio_labels_have_the_measured_size(spinff_data: Path) -> None:
    dataset = SpinDataset(str(spinff_data / "nio_deltaspin" / "nio_all.xyz"))
    batch = AtomicDataDict.batched_from_list(dataset[:])
    labels = batch["magnetic_force_labels"]
    is_nickel = batch["atomic_numbers"] == NI
    assert labels[is_nickel].isfinite().all()
    assert labels[~is_nickel].isnan().all()
    assert batch["magnetic_forces"][~is_nickel].isnan().all()
    # SOURCES.md: mean absolute component 3.5 to 4.5, rms 7.2 to 8.1 meV/µB.
    assert 3.5e-3 < labels[is_nickel].abs().mean() < 4.5e-3
    assert 7.2e-3 < labels[is_nickel].square().mean().sqrt() < 8.2e-3


@pytest.mark.data
def test_deepmd_npy_and_raw_say_the_same(spinff_data: Path) -> None:
    folder = spinff_data / "formats" / "deepmd_spin"
    npy, raw = read_frames(folder / "Fe16-npy"), read_frames(folder / "Fe16-raw")
    assert len(npy) == len(raw) == 2
    for a, b in zip(npy, raw, strict=True):
        assert set(a.symbols) == {"Fe"}
        np.testing.assert_allclose(a.positions, b.positions, rtol=1e-12)
        for name in ("magnetic_moments", "magnetic_forces"):
            np.testing.assert_allclose(a.arrays[name], b.arrays[name], rtol=1e-12)
        np.testing.assert_allclose(_label(a, "stress"), _label(b, "stress"), rtol=1e-12)
    virial = np.load(folder / "Fe16-npy" / "set.000" / "virial.npy")[1].reshape(3, 3)
    np.testing.assert_allclose(
        _label(npy[1], "stress"), -virial / npy[1].get_volume(), rtol=1e-5
    )


@pytest.mark.data
def test_virtual_atom_layout_is_named_and_refused(spinff_data: Path) -> None:
    with pytest.raises(SpinffError, match=r"older deepmd layout .* virtual atoms, got"):
        read_frames(spinff_data / "formats" / "deepmd_tf_virtual_atoms" / "data_0")


@pytest.mark.data
def test_frames_without_forces_and_packed_files(spinff_data: Path) -> None:
    fe16 = read_frames(spinff_data / "fe16_paramagnetic" / "febcc_2x2x2_pm.xyz")
    assert len(fe16) == 90
    assert label(fe16[0], "forces") is None
    assert _label(fe16[0], "energy") == pytest.approx(-128.88539)


# === deepmd ===


@pytest.mark.parametrize("raw", [False, True], ids=["npy", "raw"])
def test_deepmd_numbers_arrive(tmp_path: Path, raw: bool) -> None:
    frames = read_frames(_write_deepmd(tmp_path / "system", raw=raw))
    arrays = _arrays()
    assert [frame.get_chemical_formula("reduce") for frame in frames] == ["Ni2O"] * 2
    assert frames[1].pbc.all()
    np.testing.assert_array_equal(frames[1].positions.ravel(), arrays["coord"][1])
    np.testing.assert_array_equal(
        frames[1].arrays["magnetic_moments"].ravel(), arrays["spin"][1]
    )
    np.testing.assert_array_equal(
        _label(frames[1], "forces").ravel(), arrays["force"][1]
    )
    virial = arrays["virial"][1].reshape(3, 3)
    np.testing.assert_allclose(
        _label(frames[1], "stress"), -(virial + virial.T) / 2 / 64.0, rtol=1e-12
    )


def test_deepmd_absent_files_are_absent_labels(tmp_path: Path) -> None:
    system = _write_deepmd(
        tmp_path / "s", energy=None, force=None, force_mag=None, virial=None
    )
    frame = read_frames(system)[0]
    for name in ("energy", "forces", "stress"):
        assert label(frame, name) is None
    assert "magnetic_forces" not in frame.arrays
    data = frame_to_data(frame)
    for key in ("total_energy", "forces", "stress", "magnetic_forces"):
        assert data[key].isnan().all(), key


def test_deepmd_energy_of_shape_n_and_n_by_1(tmp_path: Path) -> None:
    energy = _arrays()["energy"]
    column = read_frames(_write_deepmd(tmp_path / "a", energy=energy[:, None]))
    row = read_frames(_write_deepmd(tmp_path / "b", energy=energy))
    assert [_label(f, "energy") for f in column] == [_label(f, "energy") for f in row]


def test_deepmd_sets_are_read_in_order(tmp_path: Path) -> None:
    system = _write_deepmd(tmp_path / "s")
    later = _write_deepmd(tmp_path / "other", energy=np.array([7.0, 8.0]))
    (later / "set.000").rename(system / "set.001")
    assert [_label(f, "energy") for f in read_frames(system)][2:] == [7.0, 8.0]


def test_deepmd_nopbc(tmp_path: Path) -> None:
    system = _write_deepmd(tmp_path / "s", box=None, virial=None)
    with pytest.raises(SpinffError, match=r"without a cell, got no box\.npy.*'nopbc'"):
        read_frames(system)
    (system / "nopbc").touch()
    assert not read_frames(system)[0].pbc.any()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"spin": None},
            r"s: the data set has no spins, got box, .*expected spin or spins .*keys",
            id="no spins",
        ),
        pytest.param(
            {"spin": np.ones((2, 3))},
            r"collinear, one number per atom, got shape \(2, 3\), expected \(2, 9\)",
            id="collinear",
        ),
        pytest.param(
            {"spin": np.ones((2, 6))},
            r"spin\.npy: wrong shape, got \(2, 6\), expected \(2, 9\)",
            id="shape of spins",
        ),
        pytest.param(
            {"force": np.ones((1, 9))},
            r"force\.npy: wrong shape, got \(1, 9\), expected \(2, 9\)",
            id="number of frames",
        ),
        pytest.param(
            {"spins": np.ones((2, 9))},
            r"moments stands under more than one name, got 'spin' and 'spins'",
            id="two aliases",
        ),
        pytest.param(
            {"energy": np.array([1.0, np.nan])},
            r"set\.000, frame 1: energy is not a finite number, got nan",
            id="nan energy",
        ),
        pytest.param(
            {"real_atom_types": np.zeros((2, 3))},
            r"mixed-type layout is not read.*dpdata",
            id="mixed type",
        ),
        pytest.param({"coord": None}, r"no positions, got box, ", id="no coord"),
        pytest.param(
            {"box": np.zeros((2, 9)), "virial": None},
            r"periodic cell has no volume",
            id="no volume",
        ),
        pytest.param(
            {"box": np.zeros((2, 9))},
            r"a virial stands beside a cell without volume",
            id="virial without volume",
        ),
    ],
)
def test_deepmd_refusals(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpinffError, match=sentence):
        read_frames(_write_deepmd(tmp_path / "s", **changes))


def test_deepmd_non_finite_number_names_frame_and_atom(tmp_path: Path) -> None:
    force = _arrays()["force"]
    force[1, 7] = np.inf
    with pytest.raises(SpinffError, match=r"frame 1, atom 2 \(O\): forces .* got inf"):
        read_frames(_write_deepmd(tmp_path / "s", force=force))


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("type_map.raw", None, r"the species are not named, got no type_map\.raw"),
        (
            "type_map.raw",
            "Ni\n",
            r"a type index has no name, got 0 to 1, expected 0 to",
        ),
        ("type_map.raw", "Ni\nXx\n", r"not an element symbol, got 'Xx'"),
        ("type.raw", "0\n0\nNi\n", r"type\.raw: cannot be read"),
        ("set.000/spin.npy", "text", r"spin\.npy: cannot be read"),
    ],
)
def test_deepmd_broken_files(
    tmp_path: Path, file: str, text: str | None, sentence: str
) -> None:
    system = _write_deepmd(tmp_path / "s")
    if text is None:
        (system / file).unlink()
    else:
        (system / file).write_text(text)
    with pytest.raises(SpinffError, match=sentence):
        read_frames(system)


def test_folder_of_systems_names_them(tmp_path: Path) -> None:
    _write_deepmd(tmp_path / "data_0")
    _write_deepmd(tmp_path / "data_1")
    with pytest.raises(SpinffError, match=r"without type\.raw.* it: data_0, data_1"):
        read_frames(tmp_path)


# === extended XYZ ===


@pytest.mark.parametrize("name", EXTXYZ_ALIASES["moments"])
def test_every_alias_of_moments(tmp_path: Path, name: str) -> None:
    frame = read_frames(_write_xyz(tmp_path / "a.xyz", {name: SPINS}))[0]
    np.testing.assert_array_equal(frame.arrays["magnetic_moments"], SPINS)


@pytest.mark.parametrize("name", EXTXYZ_ALIASES["magnetic_forces"])
def test_every_alias_of_magnetic_forces(tmp_path: Path, name: str) -> None:
    path = _write_xyz(tmp_path / "a.xyz", {"spin": SPINS, name: VECTORS})
    frame = read_frames(path)[0]
    np.testing.assert_array_equal(frame.arrays["magnetic_forces"], VECTORS)


@pytest.mark.parametrize("name", EXTXYZ_ALIASES["forces"])
def test_every_alias_of_forces(tmp_path: Path, name: str) -> None:
    path = _write_xyz(tmp_path / "a.xyz", {"spin": SPINS, name: VECTORS}, energy=-1.5)
    frame = read_frames(path)[0]
    np.testing.assert_array_equal(_label(frame, "forces"), VECTORS)
    assert _label(frame, "energy") == -1.5


@pytest.mark.parametrize(
    ("columns", "quantity"),
    [
        ({"spin": SPINS, "magmoms": SPINS}, "moments"),
        ({"initial_magmoms": SPINS, "magmoms": SPINS}, "moments"),
        ({"magmom_smoothed": SPINS, "magmom_raw": SPINS}, "moments"),
        ({"spin": SPINS, "mforce": VECTORS, "force_mag": VECTORS}, "magnetic_forces"),
        ({"spin": SPINS, "force": VECTORS, "forces": VECTORS}, "forces"),
    ],
)
def test_two_aliases_are_refused_and_a_choice_settles_it(
    tmp_path: Path, columns: dict[str, Any], quantity: str
) -> None:
    path = _write_xyz(tmp_path / "a.xyz", columns)
    first, second = [name for name in EXTXYZ_ALIASES[quantity] if name in columns]
    with pytest.raises(SpinffError, match=rf"{quantity} .*'{first}' and '{second}'"):
        read_frames(path)
    assert len(read_frames(path, keys={quantity: second})) == 1


def test_stress_and_virial_are_two_names_of_one_quantity(tmp_path: Path) -> None:
    nine = '"64 0 0 0 64 0 0 0 128"'
    only_virial = _write_xyz(tmp_path / "v.xyz", {"spin": SPINS}, virial=nine)
    np.testing.assert_allclose(
        _label(read_frames(only_virial)[0], "stress"), -np.diag([1.0, 1.0, 2.0])
    )
    both = _write_xyz(tmp_path / "b.xyz", {"spin": SPINS}, virial=nine, stress=nine)
    with pytest.raises(SpinffError, match=r"stress stands .* 'stress' and 'virial'"):
        read_frames(both)
    chosen = read_frames(both, keys={"stress": "stress"})[0]
    np.testing.assert_allclose(_label(chosen, "stress"), np.diag([64.0, 64.0, 128.0]))
    chosen = read_frames(both, keys={"virial": "virial"})[0]
    np.testing.assert_allclose(_label(chosen, "stress"), -np.diag([1.0, 1.0, 2.0]))


def test_names_of_ones_own(tmp_path: Path) -> None:
    path = _write_xyz(tmp_path / "a.xyz", {"dft_m": SPINS, "dft_b": VECTORS})
    keys = {"moments": "dft_m", "magnetic_forces": "dft_b"}
    frame = read_frames(path, keys=keys)[0]
    np.testing.assert_array_equal(frame.arrays["magnetic_forces"], VECTORS)
    with pytest.raises(SpinffError, match=r"chosen for forces is in no frame, got 'f'"):
        read_frames(path, keys=keys | {"forces": "f"})
    with pytest.raises(SpinffError, match=r"unknown quantity, got 'spin', .*moments"):
        read_frames(path, keys={"spin": "dft_m"})


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        pytest.param({}, r"frame 0: the data set has no spins", id="no spins"),
        pytest.param(
            {"spin": [1.0, 0.0]},
            r"collinear, one number per atom, got shape \(2,\), .*vector \(0, 0, m\)",
            id="collinear",
        ),
        pytest.param(
            {"spin": [[1.0, 0.0], [0.0, 0.0]]},
            r"moments have the wrong shape, got \(2, 2\), expected \(2, 3\)",
            id="shape",
        ),
        pytest.param(
            {"spin": [[1.0, np.nan, 0.0], [0.0, 0.0, 0.0]]},
            r"frame 0, atom 0 \(Ni\): moments is not a finite number, got nan.*µB",
            id="nan moment",
        ),
        pytest.param(
            {"spin": SPINS, "forces": [[0, 0, 0], [0, np.inf, 0]]},
            r"frame 0, atom 1 \(O\): forces is not a finite number, got inf",
            id="infinite force",
        ),
        pytest.param(
            {"spin": SPINS, "mforce": [[0, 0, 0], [0, np.nan, 0]]},
            r"atom 1 \(O\): magnetic_forces is not a finite number, got nan",
            id="partly nan magnetic force",
        ),
    ],
)
def test_extxyz_refusals(
    tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpinffError, match=sentence):
        read_frames(_write_xyz(tmp_path / "a.xyz", columns))


def test_a_row_of_nan_is_an_atom_without__label(tmp_path: Path) -> None:
    magnetic = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    path = _write_xyz(
        tmp_path / "a.xyz", {"spin": magnetic, "mforce": [[1, 2, 3], [np.nan] * 3]}
    )
    data = frame_to_data(read_frames(path)[0])
    np.testing.assert_allclose(data["magnetic_force_labels"][0], [1.0, 2.0, 0.0])
    assert data["magnetic_force_labels"][1].isnan().all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"the file is empty, got 0 frames|cannot be read as extended XYZ"),
        ("two\n\nNi 0 0\n", r"cannot be read as extended XYZ, got"),
        ("2\nProperties=species:S:1:pos:R:3\nNi 0 0 0\n", r"cannot be read as ext"),
    ],
)
def test_broken_extended_xyz(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text)
    with pytest.raises(SpinffError, match=sentence):
        read_frames(path)


# === paths, formats, species ===


def test_missing_path_and_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(
        SpinffError, match=r"no such file or folder, got a path seen fr"
    ):
        read_frames(tmp_path / "nowhere.xyz")
    path = _write_xyz(tmp_path / "data.txt", {"spin": SPINS})
    with pytest.raises(SpinffError, match=r"format does not show from the name"):
        read_frames(path)
    assert len(read_frames(path, format="extxyz")) == 1
    with pytest.raises(SpinffError, match=r"unknown format, got 'xyz', expected auto"):
        read_frames(path, format="xyz")
    with pytest.raises(SpinffError, match=r"got a file, expected a folder for deepmd"):
        read_frames(path, format="deepmd")


def test_foreign_species_lists_the_known(tmp_path: Path) -> None:
    path = _write_xyz(tmp_path / "a.xyz", {"spin": SPINS})
    with pytest.raises(
        SpinffError, match=r"frame 0, atom 1: .*type_names, got 'O', expected .*Ni, Fe"
    ):
        read_frames(path, type_names=["Ni", "Fe"])


def test_moments_that_are_all_zero_are_no_spins(tmp_path: Path) -> None:
    path = _write_xyz(tmp_path / "a.xyz", {"magmoms": np.zeros((2, 3))})
    with pytest.raises(
        SpinffError, match=r"has no spins, got moments that are all zer"
    ):
        SpinDataset(str(path))


# === what the network sees ===


def test_split_of_the_magnetic_force() -> None:
    moments = np.array([[0.0, 0.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    forces = np.array([[1.0, 2.0, 3.0], [2.0, 0.0, 5.0], [1.0, 1.0, 1.0]])
    along, across = split_magnetic_forces(moments, forces)
    np.testing.assert_allclose(along[:2], [3.0, np.sqrt(2)])
    np.testing.assert_allclose(across[:2], [[1, 2, 0], [1, -1, 5]], atol=1e-15)
    assert np.isnan(along[2])
    assert np.isnan(across[2]).all()


def test_item_has_every_field_as_float64(tmp_path: Path) -> None:
    with torch_default_dtype(torch.float32):  # what nequip's builders may have set
        dataset = SpinDataset(str(_write_deepmd(tmp_path / "s")), label_set=2)
        data = dataset[1]
        assert torch.get_default_dtype() is torch.float32
    shapes = {key: tuple(value.shape) for key, value in data.items()}
    assert shapes == {
        "pos": (3, 3),
        "cell": (1, 3, 3),
        "pbc": (1, 3),
        "atomic_numbers": (3,),
        "total_energy": (1, 1),
        "forces": (3, 3),
        "stress": (1, 3, 3),
        "magnetic_moments": (3, 3),
        "magnetic_forces": (3, 3),
        "magnetic_force_labels": (3, 3),
        "moment_lengths": (3, 1),
        "dataset": (1, 1),
    }
    assert data["total_energy"].dtype is data["pos"].dtype is torch.float64
    assert data["total_energy"].item() == _arrays()["energy"][1]
    assert data["dataset"].item() == 2
    assert dataset.num_atoms([0, 1]) == [3, 3]
    labels, moments = data["magnetic_force_labels"], data["magnetic_moments"]
    assert (labels * moments).sum(dim=1)[:2].abs().max() < 1e-15
    assert labels[2].isnan().all()
    lengths = data["moment_lengths"].view(-1)
    torch.testing.assert_close(lengths[:2], moments[:2].norm(dim=1))
    assert lengths[2].isnan()  # no moment there


def test_frames_with_different_labels_go_into_one_batch(tmp_path: Path) -> None:
    full = _write_deepmd(tmp_path / "full")
    bare = _write_xyz(tmp_path / "bare.xyz", {"spin": SPINS})
    dataset = SpinDataset([str(full), {"path": str(bare), "label_set": 1}])
    batch = AtomicDataDict.batched_from_list(dataset[:])
    assert batch["dataset"].flatten().tolist() == [0, 0, 1]
    assert batch["total_energy"].isnan().flatten().tolist() == [False, False, True]
    assert batch["forces"].isnan().any(dim=1).tolist() == [False] * 6 + [True] * 2
    assert batch["magnetic_moments"].isfinite().all()


def _transforms(r_max: float = 3.0) -> list[dict[str, Any]]:
    prefix = "nequip.data.transforms"
    return [
        {
            "_target_": f"{prefix}.ChemicalSpeciesToAtomTypeMapper",
            "model_type_names": ["Ni", "O"],
        },
        {"_target_": f"{prefix}.NeighborListTransform", "r_max": r_max},
    ]


def test_data_module_from_a_configuration(tmp_path: Path) -> None:
    config = OmegaConf.create(
        {
            "_target_": "spinff.data.SpinDataModule",
            "seed": 1,
            "train_paths": [
                str(_write_deepmd(tmp_path / "a")),
                {"path": str(_write_deepmd(tmp_path / "b")), "label_set": 1},
            ],
            "val_paths": [str(_write_deepmd(tmp_path / "c"))],
            "split_dataset": {
                "path": str(_write_deepmd(tmp_path / "d")),
                "train": 1,
                "val": 1,
            },
            "transforms": _transforms(),
            "type_names": ["Ni", "O"],
            "train_dataloader": {"batch_size": 5},
        }
    )
    module = instantiate(config, _recursive_=False)
    assert module.num_datasets == {"train": 1, "val": 2, "test": 0, "predict": 0}
    module.prepare_data()
    module.setup("fit")
    assert len(module.train_dataset[0]) == 5
    batch = next(iter(module.train_dataloader()))
    assert batch["dataset"].flatten().tolist() == [0, 0, 1, 1, 0]
    assert batch["edge_index"].shape[1] > 0
    assert batch["atom_types"].tolist() == [0, 0, 1] * 5
    assert [len(loader.dataset) for loader in module.val_dataloader()] == [2, 1]
    assert len(module.training_data_sha256()) == 64


def test_data_module_hash_is_that_of_its_paths(tmp_path: Path) -> None:
    paths = [str(_write_deepmd(tmp_path / name)) for name in ("a", "b")]
    module = SpinDataModule(seed=0, train_paths=paths)
    assert module.training_data_sha256() == training_data_sha256(paths)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"train_path": "x"}, r"data module: unknown argument, got 'train_path'"),
        ({"split_dataset": {"file": "x"}}, r"split_dataset: unknown key, got 'file'"),
        ({"split_dataset": {"train": 1}}, r"split_dataset: an entry has no path"),
    ],
)
def test_unknown_configuration_keys(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpinffError, match=sentence):
        SpinDataModule(seed=0, **arguments)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ([], r"data set: no path is given"),
        ([{"file": "x"}], r"data set: unknown key, got 'file', expected one of path"),
        ([{"label_set": 1}], r"data set: an entry has no path"),
    ],
)
def test_unusable_sources(path: list[Any], sentence: str) -> None:
    with pytest.raises(SpinffError, match=sentence):
        SpinDataset(path)


# === hash ===


def test_hash_ignores_order_and_format_and_sees_labels(tmp_path: Path) -> None:
    a = str(_write_deepmd(tmp_path / "a"))
    raw = str(_write_deepmd(tmp_path / "raw", raw=True))
    b = str(_write_deepmd(tmp_path / "b", energy=np.array([1.0, 2.0])))
    unlabelled = str(_write_deepmd(tmp_path / "u", energy=None))
    assert training_data_sha256([a]) == training_data_sha256([raw])
    assert training_data_sha256([a, b]) == training_data_sha256([b, a])
    hashes = {training_data_sha256([path]) for path in (a, b, unlabelled)}
    assert len(hashes) == 3


# === reference data and the command ===


def test_written_frames_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "rocksalt.xyz"
    written = reference("rocksalt").generate(2, seed=3, repeat=(1, 1, 2))
    write_extxyz(path, written)
    for a, b in zip(written, read_frames(path), strict=True):
        for name in ("magnetic_moments", "magnetic_forces"):
            np.testing.assert_allclose(a.arrays[name], b.arrays[name], atol=1e-8)
        for name in ("energy", "forces", "stress"):
            np.testing.assert_allclose(_label(a, name), _label(b, name), atol=1e-8)


def test_ase_file_with_both_its_moments_asks_for_a_choice(tmp_path: Path) -> None:
    atoms = Atoms("NiO", positions=[[0, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True)
    atoms.set_initial_magnetic_moments(SPINS)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, magmoms=np.array(SPINS))
    ase.io.write(tmp_path / "ase.xyz", atoms, format="extxyz")
    with pytest.raises(SpinffError, match=r"'magmoms' and 'initial_magmoms'"):
        read_frames(tmp_path / "ase.xyz")


def test_generate_and_check_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "r.xyz")
    generate = ["data", "generate", "rocksalt", "-n", "3", "--seed", "7", "-o", path]
    assert main([*generate, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_atoms"] == 48
    assert main(["data", "check", path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)[path]
    assert report["problem"] is None
    assert (report["n_frames"], report["species"]) == (3, {"Ni": 24, "O": 24})
    assert report["moments"]["Ni"]["mean"] == pytest.approx(1.5)
    assert report["missing_magnetic_forces"] == 0
    assert report["magnetic_forces_transverse_rms_mev_per_mub"] > 1
    assert report["magnetic_forces_longitudinal_rms_mev_per_mub"] < 1e-4
    assert main(["data", "check", path]) == 0
    text = capsys.readouterr().out
    assert "moments of Ni    1.5000 µB in the mean" in text


def test_check_command_goes_on_after_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(_write_deepmd(tmp_path / "good", force=None))
    bad = str(_write_deepmd(tmp_path / "bad", spin=None))
    assert main(["data", "check", bad, good]) == 2
    text = capsys.readouterr().out
    assert "problem          " in text
    assert "the data set has no spins" in text
    assert "forces           no label" in text


def test_check_command_with_chosen_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(_write_xyz(tmp_path / "a.xyz", {"a": SPINS, "b": VECTORS}))
    keys = ["--key", "moments=a", "--key", "magnetic_forces=b"]
    assert main(["data", "check", path, *keys, "--json"]) == 0
    assert main(["data", "check", path, "--key", "moments"]) == 2
    assert "--key: not a pair, got 'moments'" in capsys.readouterr().err


def test_generate_command_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "no" / "r.xyz")
    assert main(["data", "generate", "bcc", "-n", "1", "-o", path]) == 2
    assert "unknown name, got 'bcc'" in capsys.readouterr().err
    assert main(["data", "generate", "rocksalt", "-n", "1", "-o", path]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_documentation_names_every_alias() -> None:
    page = DOCS_PAGE.read_text(encoding="utf-8")
    for names in EXTXYZ_ALIASES.values():
        assert ", ".join(f"`{name}`" for name in names) in page


def test_a_ligands_small_moment_carries_no_label_where_it_is_no_magnetic_type() -> None:
    frame = make_frame(
        "frame",
        Atoms("NiO", positions=[[0, 0, 0], [0, 0, 2]]),
        moments=np.array([[0, 0, 1.5], [0, 0, 0.02]]),
        magnetic_forces=np.full((2, 3), 0.01),
    )
    everywhere = frame_to_data(frame)[fields.MAGNETIC_FORCE_LABELS_KEY]
    on_nickel = frame_to_data(frame, magnetic_types=["Ni"])
    labels = on_nickel[fields.MAGNETIC_FORCE_LABELS_KEY]
    assert torch.isfinite(everywhere).all()
    assert torch.isfinite(labels[0]).all() and torch.isnan(labels[1]).all()
    lengths = on_nickel[fields.MOMENT_LENGTHS_KEY].view(-1)
    assert lengths[0] == 1.5 and torch.isnan(lengths[1])


def test_vasps_stress_is_read_where_it_is_named(tmp_path: Path) -> None:
    """VASP's sign is positive for a cell that pushes outwards; 1 kB is 0.1 GPa."""
    atoms = Atoms("Fe", cell=np.eye(3) * 2.6, pbc=True)
    atoms.arrays["magnetic_moments"] = np.array([[0.0, 0.0, 2.0]])
    atoms.info["stress_kB"] = np.diag([100.0, 200.0, 300.0])
    path = tmp_path / "vasp.xyz"
    ase.io.write(path, atoms, format="extxyz")
    frame = read_frames(path, keys={"stress_kB": "stress_kB"})[0]
    gigapascal = -_label(frame, "stress") / ase.units.GPa
    np.testing.assert_allclose(gigapascal, np.diag([10.0, 20.0, 30.0]), rtol=1e-6)
    assert "stress" not in read_frames(path)[0].calc.results
