"""What a benchmark row says of its bar."""

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import rows


@pytest.mark.parametrize(
    ("value", "bar", "at_least", "holds"),
    [
        (1.0, 1.1, False, True),
        (1.2, 1.1, False, False),
        (1.0, 1.1, True, False),
        (1.2, 1.1, True, True),
        (1.1, 1.1, False, True),
        (1.1, 1.1, True, True),
        (math.nan, 1.1, False, False),
        (math.nan, 1.1, True, False),
        (1.0, None, True, None),
    ],
)
def test_a_bar_holds_on_its_good_side(
    value: float,
    bar: float | None,
    at_least: bool,
    holds: bool | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    rows.Result("what", value, bar, 1, at_least=at_least).write("row", "command")
    content = json.loads((tmp_path / "row.json").read_text())
    assert content["holds"] is holds
    assert content["at_least"] is at_least
