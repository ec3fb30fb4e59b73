"""Readers, checks and nequip data sets of frames with magnetic moments."""

from spinff.data.dataset import SpinDataModule, SpinDataset, frame_to_data
from spinff.data.frames import split_magnetic_forces
from spinff.data.readers import read_frames, training_data_sha256

__all__ = [
    "SpinDataModule",
    "SpinDataset",
    "frame_to_data",
    "read_frames",
    "split_magnetic_forces",
    "training_data_sha256",
]
