"""The architecture, read off the imports: one direction, light command line."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from spinff.cli.main import COMMANDS

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "python" / "spinff"

# A module may import from its own layer and from lower ones, never from a higher one.
LAYERS: list[set[str]] = [
    {"errors", "files", "units", "header", "lammps", "_core"},
    {"fields", "irreps"},
    {"nn"},
    {"models"},
    {"graphs", "nequip_extension"},
    {"compiled"},
    {"data", "training", "export"},
    {"calculator", "couplings", "evaluation"},
    {"spins"},
    {"testing"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Distribution that provides a module of another name.
DISTRIBUTIONS = {"allegro": "nequip-allegro", "hydra": "hydra-core", "yaml": "pyyaml"}


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported_modules(source: str) -> Iterator[str]:
    """Dotted names that a source imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "spinff":  # from spinff import units
                yield from (f"spinff.{alias.name}" for alias in node.names)


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def violations(layer: str, source: str) -> list[str]:
    """Imports of a higher layer in a source that belongs to the given layer."""
    parts = [name.split(".") for name in imported_modules(source)]
    used = {part[1] for part in parts if part[0] == "spinff" and len(part) > 1}
    return sorted(name for name in used if name in LEVEL and LEVEL[name] > LEVEL[layer])


@pytest.mark.parametrize("path", python_files(), ids=lambda p: p.stem)
def test_imports_point_one_way(path: Path) -> None:
    layer = layer_of(path)
    if layer == "__init__":  # the list of lazy exports
        return
    assert layer in LEVEL, f"add {layer} to LAYERS"
    found = violations(layer, path.read_text(encoding="utf-8"))
    assert not found, f"{layer} may not import {', '.join(found)}"


@pytest.mark.parametrize(
    "source",
    [
        "import spinff.models",
        "from spinff.models.spin_allegro import SpinAllegro",
        "from spinff import models",
        "def f():\n    from spinff.cli.main import main",
    ],
)
def test_a_wrong_import_is_seen(source: str) -> None:
    assert violations("nn", source)
    assert not violations("cli", source)


def declared_distributions() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return {re.split(r"[=<>~!]", line)[0] for line in project["dependencies"]}


def test_every_imported_package_is_a_declared_dependency() -> None:
    imported = {
        name.split(".")[0]
        for path in python_files()
        for name in imported_modules(path.read_text(encoding="utf-8"))
    }
    outside = imported - sys.stdlib_module_names - {"spinff"}
    needed = {DISTRIBUTIONS.get(name, name) for name in outside}
    assert needed <= declared_distributions()


# === heavy packages stay out of the command line's help ===

HEAVY = ("torch", "numpy", "nequip", "ase", "matplotlib", "lightning")


def heavy_modules_after(statement: str) -> set[str]:
    """Heavy packages that a fresh interpreter has loaded after a statement."""
    code = (
        f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\n"
        f"print('loaded', *(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_importing_spinff_loads_nothing_heavy() -> None:
    assert not heavy_modules_after("import spinff, spinff.lammps, spinff.header")


def test_a_heavy_module_is_seen() -> None:
    assert heavy_modules_after("import numpy") == {"numpy"}


def test_help_loads_nothing_heavy() -> None:
    statement = "from spinff.cli.main import main; main(['--help'])"
    assert not heavy_modules_after(statement)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    statement = f"from spinff.cli.main import main; main(['{command}', '--help'])"
    assert not heavy_modules_after(statement)
