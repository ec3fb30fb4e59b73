"""``make setup`` names every tool that is missing or too old, in a sentence each."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_tools.sh"
BASIC_TOOLS = ("awk", "sed")
GOOD = {
    "python3.11": 'case "$2" in *version_info*) echo 3.11 ;; esac',
    "g++": "echo 12.2.0",
    "cmake": 'echo "cmake version 3.25.1"',
}


def check(folder: Path, tools: dict[str, str], **names: str) -> tuple[int, str]:
    """Exit status and messages of the script on a machine with just these tools."""
    for name in BASIC_TOOLS:
        (folder / name).symlink_to(f"/usr/bin/{name}")
    for name, body in tools.items():
        tool = folder / name
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", SCRIPT],
        env={"PATH": str(folder), **names},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_all_there(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == (0, "")


def test_nothing_there(tmp_path: Path) -> None:
    status, messages = check(tmp_path, {})
    assert status == 1
    assert len(messages.splitlines()) == 3
    for line in messages.splitlines():
        assert line.startswith("make setup: ")
        for fragment in ("missing, got no", "expected", "install it"):
            assert fragment in line


@pytest.mark.parametrize(
    ("tool", "body", "fragment"),
    [
        ("python3.11", "echo 3.9", "not the right Python, got 3.9, expected 3.11"),
        ("python3.11", "exit 127", "not the right Python, got no version"),
        (
            "python3.11",
            'case "$2" in *version_info*) echo 3.11 ;; *ensurepip*) exit 1 ;; esac',
            "cannot make virtual environments",
        ),
        (
            "python3.11",
            'case "$2" in *version_info*) echo 3.11 ;; *Python.h*) exit 1 ;; esac',
            "got no Python.h",
        ),
        ("g++", "echo 10.2.1", "too old, got 10.2.1, expected 11 or newer"),
        ("g++", "exit 1", "too old, got no version, expected 11 or newer"),
        ("cmake", "echo cmake version 3.18.4", "got 3.18.4, expected 3.25 or newer"),
        ("cmake", "echo cmake version 2.30.0", "got 2.30.0, expected 3.25 or newer"),
    ],
)
def test_wrong_version(tmp_path: Path, tool: str, body: str, fragment: str) -> None:
    status, messages = check(tmp_path, GOOD | {tool: body})
    assert status == 1
    assert fragment in messages
    assert len(messages.splitlines()) == 1


def test_newer_versions_are_fine(tmp_path: Path) -> None:
    newer = GOOD | {"g++": "echo 15.1.0", "cmake": "echo cmake version 4.0.0"}
    assert check(tmp_path, newer) == (0, "")


def test_named_tools(tmp_path: Path) -> None:
    tools = {"py": GOOD["python3.11"], "clang++": "echo 16.0.6", "cmake": GOOD["cmake"]}
    assert check(tmp_path, tools, PYTHON="py", CXX="clang++") == (0, "")
