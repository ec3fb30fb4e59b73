"""Magnetic machine-learned potentials: nequip models, spin dynamics in LAMMPS.

Importing this package loads nothing heavy: each export below is imported when it is
first used, so that ``spinff --help`` and the plugin look-up of ``lmp`` stay quick.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinff.calculator import SpinCalculator
    from spinff.errors import SpinffError

    __version__: str

__all__ = ["SpinCalculator", "SpinffError", "__version__"]

_MODULE_OF_EXPORT = {
    "SpinCalculator": "spinff.calculator",
    "SpinffError": "spinff.errors",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the export is
    """Imports an export at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("spinff")
    if name in _MODULE_OF_EXPORT:
        from importlib import import_module

        return getattr(import_module(_MODULE_OF_EXPORT[name]), name)
    raise AttributeError(f"module 'spinff' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists the exports, loaded or not."""
    return sorted({*globals(), *__all__})
