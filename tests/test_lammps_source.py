"""Configuring the plugin for a LAMMPS source tree: which versions it takes."""

import subprocess
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[1] / "cmake" / "SpinffLammpsVersion.cmake"


def check(text: str | None, folder: Path) -> tuple[int, str]:
    """Exit status and messages for a tree whose version.h has this text."""
    header = folder / "version.h"
    if text is not None:
        header.write_text(text)
    script = folder / "check.cmake"
    script.write_text(f'include("{MODULE}")\nspinff_check_lammps_version("{header}")\n')
    done = subprocess.run(
        ["cmake", "-P", script], capture_output=True, text=True, check=False
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("version", ["4 Feb 2025", "22 Jul 2025", "4 Jul 2026"])
def test_versions_that_are_new_enough(version: str, tmp_path: Path) -> None:
    status, messages = check(f'#define LAMMPS_VERSION "{version}"\n', tmp_path)
    assert status == 0, messages
    assert f"spinff: plugin for LAMMPS {version}" in messages


@pytest.mark.parametrize("version", ["7 Jan 2022", "3 Feb 2025", "31 Dec 2024"])
def test_versions_that_are_too_old(version: str, tmp_path: Path) -> None:
    status, messages = check(f'#define LAMMPS_VERSION "{version}"\n', tmp_path)
    assert status != 0
    assert f"is too old, got version {version}, expected 4 Feb 2025" in messages


@pytest.mark.parametrize("text", [None, "", "#define LAMMPS_VERSION unknown\n"])
def test_no_version(text: str | None, tmp_path: Path) -> None:
    status, messages = check(text, tmp_path)
    assert status != 0
    assert "does not tell the version of LAMMPS, got '" in messages
    assert "give the root of a LAMMPS source tree" in messages
