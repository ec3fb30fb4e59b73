"""nequip data set and data module of frames with moments and magnetic forces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from ase import Atoms
from hydra.utils import instantiate
from nequip.data import AtomicDataDict
from nequip.data.ase import from_ase
from nequip.data.datamodule import NequIPDataModule
from nequip.data.dataset import AtomicDataset
from nequip.utils import torch_default_dtype
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import ConcatDataset, Dataset, Subset

from spinff import fields
from spinff.data.frames import (
    combine_sha256,
    frame_sha256,
    has_moment,
    label,
    split_magnetic_forces,
)
from spinff.data.lmdb import LmdbFrames
from spinff.data.readers import open_frames
from spinff.errors import SpinffError

# A data-loading worker may import this module alone and must be able to batch.
fields.register()

Transform: TypeAlias = Callable[[AtomicDataDict.Type], AtomicDataDict.Type]
Source: TypeAlias = str | Path | Mapping[str, Any]

_PURPOSES = ("train", "val", "test")
_DATALOADERS = (
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
    "stats_manager",
)
_INCLUDE = [
    fields.MAGNETIC_MOMENTS_KEY,
    fields.MAGNETIC_FORCES_KEY,
    fields.MAGNETIC_FORCE_LABELS_KEY,
    fields.MOMENT_LENGTHS_KEY,
    fields.LABEL_SET_KEY,
]


def frame_to_data(
    frame: Atoms, label_set: int = 0, magnetic_types: Sequence[str] | None = None
) -> AtomicDataDict.Type:
    """One canonical frame as nequip data, with every label there.

    A label the frame lacks is NaN, so that frames with different labels go into one
    batch; losses and metrics skip NaN (nequip: ``ignore_nan``).

    Args:
        frame: canonical frame (see ``spinff.data.frames``).
        label_set: index of the label scales that hold for this frame.
        magnetic_types: species whose magnetic forces and moment lengths are labels;
            None takes every atom with a moment. A ligand's small moment is no degree of
            freedom of a model.
    """
    n_atoms = len(frame)
    moments = frame.arrays[fields.MAGNETIC_MOMENTS_KEY]
    raw = frame.arrays.get(fields.MAGNETIC_FORCES_KEY, np.full((n_atoms, 3), np.nan))
    # An atom without a moment has no magnetic label, whatever the file says.
    labelled = has_moment(moments)
    if magnetic_types is not None:
        labelled &= np.isin(frame.get_chemical_symbols(), list(magnetic_types))
    raw = np.where(labelled[:, None], raw, np.nan)
    _, transverse = split_magnetic_forces(moments, raw)
    lengths = np.where(labelled, np.linalg.norm(moments, axis=1), np.nan)
    results = {
        "energy": np.array(np.nan),
        "forces": np.full((n_atoms, 3), np.nan),
        "stress": np.full((3, 3), np.nan),
    }
    results |= {
        name: value for name in results if (value := label(frame, name)) is not None
    }
    bare = Atoms(
        numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc
    )
    bare.info |= {
        "energy": results["energy"].reshape(1),
        "stress": results["stress"],
        fields.LABEL_SET_KEY: label_set,
    }
    bare.arrays |= {
        "forces": results["forces"],
        fields.MAGNETIC_MOMENTS_KEY: moments,
        fields.MAGNETIC_FORCES_KEY: raw,
        fields.MAGNETIC_FORCE_LABELS_KEY: transverse,
        fields.MOMENT_LENGTHS_KEY: lengths[:, None],
    }
    # from_ase takes the default dtype, and energies need more than float32 holds.
    with torch_default_dtype(torch.float64):
        return from_ase(bare, include_keys=_INCLUDE)


class SpinDataset(AtomicDataset):
    """Frames with moments, energies, forces, stress and magnetic forces.

    Each item holds ``pos``, ``cell``, ``pbc``, ``atomic_numbers``, ``total_energy``,
    ``forces``, ``stress``, ``magnetic_moments``, ``magnetic_forces``,
    ``magnetic_force_labels``, ``moment_lengths`` and ``dataset`` (the label set), then
    what the transforms add. A label that a frame lacks is NaN.

    Args:
        path: a file or deepmd folder; or a mapping with ``path`` and any of
            ``label_set``, ``format`` and ``keys``; or a list of these, read in order
            into one data set.
        format: ``auto``, ``extxyz``, ``deepmd`` or ``lmdb``.
        type_names: species the model knows; None allows every one.
        transforms: nequip data transforms, applied in order when an item is taken.
        keys: name in the file per quantity, where it is not one of the aliases.
        label_set: index of the magnetic-force label scales that hold for these frames.
        magnetic_types: species whose magnetic forces are labels; None takes every atom
            with a moment.
    """

    def __init__(
        self,
        path: Source | Sequence[Source],
        format: str = "auto",
        type_names: Sequence[str] | None = None,
        transforms: Sequence[Transform] = (),
        keys: Mapping[str, str] | None = None,
        label_set: int = 0,
        magnetic_types: Sequence[str] | None = None,
    ) -> None:
        super().__init__(transforms=list(transforms))
        defaults = {
            "format": format,
            "keys": _plain(keys) or {},
            "label_set": label_set,
        }
        parts = []
        for source in _sources(path, defaults):
            own = open_frames(
                source["path"],
                format=source["format"],
                keys=source["keys"],
                type_names=type_names,
            )
            parts.append(_Part(own, int(source["label_set"]), magnetic_types))
        self._data: ConcatDataset[AtomicDataDict.Type] = ConcatDataset(parts)
        # torch joins whatever has a length and an index
        frames = cast(list[Dataset[Atoms]], [part.frames for part in parts])
        self.frames: ConcatDataset[Atoms] = ConcatDataset(frames)
        check_some_moment(str(_plain(path)), self.frames)

    def __len__(self) -> int:
        return len(self._data)

    def _get_data_list(
        self, indices: Sequence[int] | torch.Tensor | slice
    ) -> list[AtomicDataDict.Type]:
        if isinstance(indices, slice):
            indices = range(*indices.indices(len(self)))
        return [self._data[int(index)] for index in indices]


class _Part(Dataset[AtomicDataDict.Type]):
    """The data of one source: made once, or for LMDB each time they are taken."""

    def __init__(
        self,
        frames: Sequence[Atoms],
        label_set: int,
        magnetic_types: Sequence[str] | None,
    ) -> None:
        self.frames = frames
        self.label_set = label_set
        self.magnetic_types = magnetic_types
        in_memory = not isinstance(frames, LmdbFrames)
        self._kept = [self._make(frame) for frame in frames] if in_memory else None

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> AtomicDataDict.Type:
        if self._kept is None:
            return self._make(self.frames[index])
        return self._kept[index]

    def _make(self, frame: Atoms) -> AtomicDataDict.Type:
        return frame_to_data(frame, self.label_set, self.magnetic_types)


class SpinDataModule(NequIPDataModule):
    """nequip's data module, from paths of files and deepmd folders.

    Wherever a path stands, a mapping with ``path`` and any of ``label_set``,
    ``format`` and ``keys`` may stand instead.

    Args:
        seed: seed of the shuffling and of the splits.
        train_paths: path or list of paths, read into the one training set.
        val_paths: path or list of paths, each a validation set of its own; a list
            within the list is read into one set.
        test_paths: the same for test sets.
        split_dataset: mapping (or list of them) with ``path`` (one or a list) and the
            numbers or fractions of frames ``train``, ``val``, ``test``, drawn at random
            from the seed; the training parts join ``train_paths`` in one set.
        transforms: nequip data transforms.
        format: format of the paths that do not say their own.
        type_names: species the model knows.
        keys: names per quantity for the paths that do not say their own.
        magnetic_types: species whose magnetic forces are labels.
        **dataloaders: ``train_dataloader``, ``val_dataloader``, ``test_dataloader``,
            ``predict_dataloader`` and ``stats_manager``, as in nequip.
    """

    def __init__(
        self,
        seed: int,
        train_paths: Source | Sequence[Source] = (),
        val_paths: Source | Sequence[Source] = (),
        test_paths: Source | Sequence[Source] = (),
        split_dataset: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
        transforms: Sequence[Any] = (),
        format: str = "auto",
        type_names: Sequence[str] | None = None,
        keys: Mapping[str, str] | None = None,
        magnetic_types: Sequence[str] | None = None,
        **dataloaders: Any,  # noqa: ANN401 - nequip's own configurations
    ) -> None:
        _check_names("data module", dataloaders, _DATALOADERS, "argument")
        template = {
            "_target_": "spinff.data.SpinDataset",
            "format": format,
            "type_names": _plain(type_names),
            "transforms": _plain(transforms),
            "keys": _plain(keys),
            "magnetic_types": _plain(magnetic_types),
        }

        def dataset(path: object) -> dict[str, Any]:
            return {**template, "path": path}

        train = _as_list(train_paths)
        super().__init__(
            seed=seed,
            train_dataset=[dataset(train)] if train else [],
            val_dataset=[dataset(path) for path in _as_list(val_paths)],
            test_dataset=[dataset(path) for path in _as_list(test_paths)],
            split_dataset=[_split(entry, dataset) for entry in _as_list(split_dataset)],
            **dataloaders,
        )
        # nequip trains on the first training set and ignores the others.
        self.train_dataset_config: list[dict[str, Any]] = _join(
            self.train_dataset_config
        )
        self.num_datasets["train"] = len(self.train_dataset_config)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the generators: a resumed run draws the batches it would have drawn.

        Lightning restores the state after ``setup``, when nequip has made generators
        from the seed already and looks at the restored state no more.
        """
        super().load_state_dict(state_dict)
        self.train_generator.set_state(self.train_generator_state)
        self.generator.set_state(self.generator_state)

    def training_data_sha256(self) -> str:
        """SHA-256 of the frames trained on, whatever their order; reads them again."""
        (dataset,) = instantiate(self.train_dataset_config)
        return combine_sha256(frame_sha256(frame) for frame in _frames_of(dataset))


def check_some_moment(who: str, frames: Sequence[Atoms] | ConcatDataset[Atoms]) -> None:
    """Refuse frames of which no atom has a moment.

    Raises:
        SpinffError: if every moment is zero.
    """
    if not any(
        has_moment(frames[k].arrays[fields.MAGNETIC_MOMENTS_KEY]).any()
        for k in range(len(frames))
    ):
        raise SpinffError(
            f"{who}: the data set has no spins, got moments that are all zero in "
            f"{len(frames)} frames, expected moments in µB; check which column holds "
            "them and name it with keys: {moments: NAME}"
        )


def _frames_of(dataset: object) -> Iterator[Atoms]:
    """The frames under a data set, or under nequip's splits and joins of them."""
    if isinstance(dataset, SpinDataset):
        yield from (dataset.frames[index] for index in range(len(dataset)))
    elif isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            yield from _frames_of(part)
    elif isinstance(dataset, Subset) and isinstance(dataset.dataset, SpinDataset):
        yield from (dataset.dataset.frames[int(index)] for index in dataset.indices)
    else:
        raise SpinffError(
            f"data module: the frames cannot be listed, got {type(dataset).__name__}, "
            "expected SpinDataset, a Subset of it or ConcatDataset; use these"
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of a configuration
    if isinstance(value, (ListConfig, DictConfig)):
        return OmegaConf.to_container(value, resolve=True)
    return list(value) if isinstance(value, tuple) else value


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - any part of a configuration
    value = _plain(value)
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _sources(path: object, defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every path with its format, keys and label set."""
    entries = _as_list(path)
    if not entries:
        raise SpinffError(
            "data set: no path is given, got an empty list, expected at least one; "
            "name the data"
        )
    sources = []
    for entry in entries:
        own = dict(entry) if isinstance(entry, Mapping) else {"path": str(entry)}
        _check_names("data set", own, ("path", *defaults), "key")
        if "path" not in own:
            raise SpinffError(
                f"data set: an entry has no path, got {own}, expected path and any of "
                f"{', '.join(defaults)}; name the data"
            )
        sources.append({**defaults, **own})
    return sources


def _split(
    entry: Mapping[str, Any], dataset: Callable[[object], dict[str, Any]]
) -> dict[str, Any]:
    parts = dict(entry)
    _check_names("split_dataset", parts, ("path", *_PURPOSES), "key")
    if "path" not in parts:
        raise SpinffError(
            f"split_dataset: an entry has no path, got {parts}, expected path and the "
            f"sizes of at least two of {', '.join(_PURPOSES)}; name the data"
        )
    return {"dataset": dataset(parts.pop("path")), **parts}


def _join(datasets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One data set that holds several."""
    if len(datasets) < 2:
        return datasets
    return [{"_target_": "torch.utils.data.ConcatDataset", "datasets": datasets}]


def _check_names(
    who: str, given: Mapping[str, Any], known: Sequence[str], kind: str
) -> None:
    for name in given:
        if name not in known:
            raise SpinffError(
                f"{who}: unknown {kind}, got '{name}', expected one of "
                f"{', '.join(known)}; correct the configuration"
            )
