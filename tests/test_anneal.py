"""examples/nio/in.anneal, shortened: it finds the order that the data file had."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lammps_tools import run_lmp

pytestmark = pytest.mark.lammps

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = REPOSITORY / "examples" / "nio"
MODEL = REPOSITORY / "potentials" / "NiO" / "NiO.pth"


def python(script: str, *arguments: object) -> str:
    """Output of a script of the example."""
    return subprocess.run(
        [sys.executable, EXAMPLE / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def order(dump: Path) -> float:
    """Σ_k |M_k|² as the example prints it."""
    return float(python("order.py", dump).rsplit("=", 1)[1])


def test_anneal_finds_the_antiferromagnet(tmp_path: Path) -> None:
    """32 Ni, 200 steps up and 400 down; the heat is seen in between."""
    python("build_supercell.py", "--model", MODEL, "-o", tmp_path / "nio.data")
    text = (EXAMPLE / "in.anneal").read_text()
    text = f"variable model index {MODEL}\nvariable heat index 200\n{text}"
    text = f"variable cool index 400\n{text}"
    before = "write_dump nickel custom random.dump id x y z c_s[*] modify sort id"
    text = text.replace("min_style       spin/cg", f"{before}\nmin_style spin/cg")
    run = run_lmp(text, 1, tmp_path)
    assert order(tmp_path / "random.dump") < 0.5
    assert order(tmp_path / "anneal.dump") > 0.999
    above = re.findall(r"^energy above the known order: (\S+)", run.log, re.M)
    assert abs(float(above[0])) < 0.02
    _, _, heated, _, _ = run.thermo
    assert heated["v_above"][-1] > 1.0
