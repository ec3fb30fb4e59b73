"""The constants: CODATA 2018, the same in Python and in C++."""

import re
from pathlib import Path

import pytest

from spinff import units

HEADER = Path(__file__).parents[1] / "cpp" / "include" / "spinff" / "units.hpp"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hbar", units.HBAR),
        ("k_B", units.K_B),
        ("mu_B", units.MU_B),
        ("g_e", units.G_ELECTRON),
    ],
)
def test_python_and_cpp_hold_the_same_constants(name: str, value: float) -> None:
    match = re.search(rf"double {name} = ([0-9.e-]+);", HEADER.read_text())
    assert match is not None
    assert float(match[1]) == pytest.approx(value, rel=1e-10)


def test_published_values() -> None:
    # CODATA 2018, eV·s, eV/K, eV/T.
    assert pytest.approx(6.582119569e-16 * 1e12, rel=1e-9) == units.HBAR
    assert pytest.approx(8.617333262e-5, rel=1e-9) == units.K_B
    assert pytest.approx(5.7883818060e-5, rel=1e-10) == units.MU_B
