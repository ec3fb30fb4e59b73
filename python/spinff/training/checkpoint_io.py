"""Checkpoints of a run that are whole or not there."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from spinff.files import whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Replaces the old file by a whole one, so that ``--resume`` always finds one.

    Lightning writes to the system's temporary folder and moves the file. On clusters
    that is another disk: the move is a copy over the last good checkpoint, and a full
    disk or a kill meets it halfway.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: object = None,
    ) -> None:
        """See Lightning's ``CheckpointIO``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()  # torch's own writer has no clear error for a full disk
        torch.save(checkpoint, content)
        with whole_file(path) as temporary:
            temporary.write_bytes(content.getbuffer())
