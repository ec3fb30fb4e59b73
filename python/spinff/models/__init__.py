"""Model builders for nequip configurations."""

from spinff.models.msenn import MSENN

__all__ = ["MSENN"]
