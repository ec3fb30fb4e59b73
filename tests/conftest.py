"""Settings and fixtures of every test, and the floor under their number."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FLOOR_FILE = REPOSITORY / "tests" / "FLOOR"

# Two pytest workers and the lmp ranks they start share the cores: one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def spinff_data() -> Path:
    """Folder of the shared reference data; a test that needs it is skipped without."""
    path = Path(os.environ.get("SPINFF_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no reference data in {path}; set SPINFF_DATA to their folder")
    return path


# === the floor: a suite that lost tests must not pass ===


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--floor",
        action="store_true",
        help=f"fail if fewer tests pass than {FLOOR_FILE.name} says; for whole runs",
    )


def _floor_complaint(config: pytest.Config) -> str | None:
    """Why the run is below the floor, or None; xdist's controller counts for all."""
    if not config.getoption("--floor") or hasattr(config, "workerinput"):
        return None
    floor = int(FLOOR_FILE.read_text())
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    passed = len(reporter.stats.get("passed", ())) if reporter is not None else 0
    if passed >= floor:
        return None
    return f"tests/FLOOR: too few tests passed, got {passed}, expected at least {floor}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and _floor_complaint(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if complaint := _floor_complaint(config):
        terminalreporter.write_line(complaint, red=True)
