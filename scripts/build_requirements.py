"""Prints the build requirements of pyproject.toml, for pip's command line."""

import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

if __name__ == "__main__":
    print(*tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"])
