"""What a benchmark row is, and where its result goes."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"


@dataclass
class Result:
    """One row: a number beside its bar."""

    what: str
    value: float
    """The worst of the cases."""
    bar: float | None
    """Value that is just good enough; None for a row that is reported only."""
    cores: int
    cases: list[dict[str, Any]] = field(default_factory=list)
    """The single measurements."""
    at_least: bool = False
    """Whether larger values are better: the bar is the smallest that is good enough."""

    @property
    def holds(self) -> bool | None:
        """Whether the value is on the good side of the bar; a NaN is on neither."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def write(self, name: str, command: str) -> None:
        """Writes ``benchmarks/results/NAME.json``."""
        RESULTS.mkdir(exist_ok=True)
        content = asdict(self)
        cases = content.pop("cases")
        content |= {"holds": self.holds, "command": command, "cases": cases}
        (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


@dataclass(frozen=True)
class Options:
    """How rows are run."""

    ranks: int
    """MPI ranks of each run of lmp."""
    length: float
    """Factor on the length of all runs; other than 1 it is for trying a row."""


@contextmanager
def cores_for_all_ranks() -> Iterator[None]:
    """Ranks that wait keep their cores, which is faster where each has one.

    The tests' runs of lmp give them away, because they share the machine. A value of
    MPIR_CVAR_ENABLE_HEAVY_YIELD that is set from outside stays as it is.
    """
    name = "MPIR_CVAR_ENABLE_HEAVY_YIELD"
    given = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if given is None:
            del os.environ[name]


Row = Callable[[Options], Result]
