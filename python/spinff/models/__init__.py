"""Model builders for nequip configurations, and trained models."""

from spinff.models.checkpoint import Checkpoint, load_checkpoint
from spinff.models.spin_allegro import SpinAllegro

__all__ = ["Checkpoint", "SpinAllegro", "load_checkpoint"]
