"""The floor under the number of passed tests, on a small suite of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest
def test_one(): pass
def test_two(): pass
@pytest.mark.skip(reason="does not count")
def test_three(): pass
"""


@pytest.mark.parametrize(
    ("floor", "options", "status"),
    [
        ("3", ["--floor", "-n", "2"], 1),
        ("2", ["--floor"], 0),
        ("3", [], 0),
    ],
)
def test_floor(tmp_path: Path, floor: str, options: list[str], status: int) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), tests)
    (tests / "FLOOR").write_text(f"{floor}\n")
    (tests / "test_suite.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    complaint = "too few tests passed, got 2, expected at least 3"
    assert (complaint in done.stdout) == bool(status)
    last_line = done.stdout.rstrip().splitlines()[-1]
    assert re.search(r"2 passed, 1 skipped in ", last_line)
