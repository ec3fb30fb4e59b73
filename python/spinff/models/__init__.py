"""Model builders for nequip configurations, and trained models."""

from spinff.models.checkpoint import Checkpoint, load_checkpoint
from spinff.models.msenn import MSENN

__all__ = ["MSENN", "Checkpoint", "load_checkpoint"]
