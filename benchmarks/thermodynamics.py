"""Thermal averages of fix spin/sib with pair_style spin/couplings against references.

Each row runs its systems and compares them with exact results or with Monte Carlo
(``mc_reference`` in the folder of the reference data, SPINFF_DATA). The systems are
those of the tests (tests/spin_thermodynamics.py), the runs long enough for the bar.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rows import REPOSITORY, Options, Result, Row

from spin_thermodynamics import (
    ENERGY,
    Averages,
    System,
    chain,
    iron,
    measure,
    paramagnet,
    simple_cubic,
    uniaxial,
)

DATA = Path(os.environ.get("SPINFF_DATA", REPOSITORY.parent / "shared" / "data"))


@dataclass
class Case:
    """One run and what it should give."""

    name: str
    system: System
    alpha: float
    dt: float
    """ps."""
    steps: int
    deviation: Callable[[Averages], float]
    """Of the averages, in the unit of the row's bar."""


@dataclass
class Comparison:
    """Cases that share a bar."""

    what: str
    bar: float
    """Largest deviation of a case."""
    cases: Callable[[], Iterator[Case]]


def relative_to(exact: float) -> Callable[[Averages], float]:
    """Deviation of the energy, relative to its exact value."""
    return lambda averages: averages.energy / exact - 1


# At α = 1 the average has an error linear in the time step: 0.4 % where g kT dt/(ħ|m|)
# is 0.03 (docs/fix_spin_sib.md). The steps below keep it under a third of the bar.


def langevin_cases() -> Iterator[Case]:
    """Hot and cold spins in a field, little and much damping."""
    for temperature in (5.0, 20.0):
        system, exact = paramagnet(temperature)
        system.size = (20, 20, 20)
        deviation = relative_to(exact)
        name = f"{temperature:g} K, alpha"
        yield Case(f"{name} 0.1", system, 0.1, 0.1, 6000, deviation)
        yield Case(f"{name} 1", system, 1.0, 0.005, 12000, deviation)


def uniaxial_cases() -> Iterator[Case]:
    """Weak and strong anisotropy, little and much damping."""
    for ratio in (1.0, 2.0, 5.0):
        system, exact = uniaxial(ratio)
        system.size = (16, 16, 16)
        deviation = relative_to(exact)
        yield Case(f"K/kT {ratio:g}, alpha 0.1", system, 0.1, 0.002, 20000, deviation)
        yield Case(f"K/kT {ratio:g}, alpha 1", system, 1.0, 0.0005, 12000, deviation)


def chain_cases() -> Iterator[Case]:
    """Three temperatures, little and much damping."""
    for temperature in (0.5, 1.0, 2.0):
        system, exact = chain(temperature, rings=128)
        deviation = relative_to(exact)
        name = f"kT/J {temperature:g}, alpha"
        yield Case(f"{name} 0.1", system, 0.1, 0.001, 60000, deviation)
        yield Case(f"{name} 1", system, 1.0, 0.0002, 60000, deviation)


def reference(*path: str) -> Path:
    """A file of the reference data; the script ends with a sentence without it."""
    file = DATA.joinpath(*path)
    if not file.is_file():
        sys.exit(
            f"thermodynamics.py: no reference data, got no file {file}, expected one; "
            "set SPINFF_DATA to the folder of the reference data"
        )
    return file


def monte_carlo(section: str) -> list[dict[str, float]]:
    """T, E, its error and m of one model of ``mc_reference``, by name."""
    text = reference("mc_reference", "results.txt").read_text()
    lines = text.split(f"\n# {section}")[1].split("\n#")[0].splitlines()[1:]
    row = re.compile(r"T (?P<T>\S+) E (?P<E>\S+) \+- (?P<error>\S+) m (?P<m>\S+)")
    found = [match.groupdict() for line in lines if (match := row.search(line))]
    return [{name: float(text) for name, text in row.items()} for row in found]


def simple_cubic_cases() -> Iterator[Case]:
    """The temperatures of the Monte Carlo reference."""
    for row in monte_carlo("2 simple cubic"):

        def sigmas(averages: Averages, row: dict[str, float] = row) -> float:
            error = (averages.energy_error**2 + (ENERGY * row["error"]) ** 2) ** 0.5
            return (averages.energy - ENERGY * row["E"]) / error

        temperature = row["T"]
        system = simple_cubic(temperature)
        # near the Curie point, at 1.443, blocks of a shorter run are no longer than the
        # correlation time, and their spread is no error: 400,000 steps gave 3.8 σ
        steps = 1_000_000 if 1.2 < temperature < 1.6 else 400_000
        yield Case(f"kT/J {temperature:g}", system, 0.1, 0.0005, steps, sigmas)


IRON_MAGNETISATION = {300.0: 0.880, 500.0: 0.784, 700.0: 0.657}
"""K: magnetisation of the same model by Monte Carlo, section 3 of ``mc_reference``."""


def iron_cases() -> Iterator[Case]:
    """Three temperatures below the Curie temperature."""
    jfile = reference("formats", "exchange_tables", "uppasd_bccFe", "jfile")
    for temperature, m in IRON_MAGNETISATION.items():

        def difference(averages: Averages, m: float = m) -> float:
            return averages.magnetisation - m

        system = iron(temperature, jfile)
        yield Case(f"{temperature:g} K", system, 0.1, 0.0005, 60000, difference)


COMPARISONS = {
    "langevin": Comparison(
        "free spins in 10 T: energy against Langevin", 0.01, langevin_cases
    ),
    "uniaxial": Comparison(
        "E = -K cos^2: average against quadrature", 0.01, uniaxial_cases
    ),
    "chain": Comparison("Heisenberg chain: energy against Fisher", 0.005, chain_cases),
    "simple_cubic": Comparison(
        "simple cubic 12^3: energy against Monte Carlo, in standard errors",
        3.0,
        simple_cubic_cases,
    ),
    "bcc_iron": Comparison("bcc Fe: m(T) against Monte Carlo", 0.02, iron_cases),
}


def compare(comparison: Comparison, options: Options) -> Result:
    """Runs the cases of a row."""
    cases = []
    for case in comparison.cases():
        with tempfile.TemporaryDirectory() as folder:
            averages = measure(
                case.system,
                Path(folder),
                alpha=case.alpha,
                dt=case.dt,
                steps=max(100, round(options.length * case.steps)),
                nranks=options.ranks,
                timeout=None,
            )
        deviation = case.deviation(averages)
        cases.append({"case": case.name, "deviation": deviation, **asdict(averages)})
        print(f"  {case.name}: deviation {deviation:+.4g}", flush=True)
    worst = max(abs(float(case["deviation"])) for case in cases)
    return Result(comparison.what, worst, comparison.bar, options.ranks, cases)


ROWS: dict[str, Row] = {
    name: partial(compare, comparison) for name, comparison in COMPARISONS.items()
}
