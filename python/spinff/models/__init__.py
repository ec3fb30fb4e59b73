"""Model builders for nequip configurations, and trained models."""

from spinff.models.checkpoint import Checkpoint, load_checkpoint
from spinff.models.magnet import MagNet
from spinff.models.spin_allegro import SpinAllegro
from spinff.models.spin_nequip import SpinNequIP

__all__ = ["Checkpoint", "MagNet", "SpinAllegro", "SpinNequIP", "load_checkpoint"]
