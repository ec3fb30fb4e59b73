"""Results of checks: errors beside what is allowed, as a table and as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spinff.testing.results import Errors


@dataclass(frozen=True)
class Check:
    """One check and its result."""

    name: str
    """What was done."""
    errors: Errors
    """Relative error of each quantity; empty if the check was skipped or broke off."""
    tolerance: float
    """Largest error allowed."""
    note: str = ""
    """Why it was skipped, or broke off."""
    skipped: bool = False
    """Whether it does not apply."""

    @property
    def worst(self) -> tuple[str, float]:
        """Quantity with the largest error; ∞ for a check that broke off."""
        if not self.errors:
            return "", math.inf
        return max(self.errors.items(), key=lambda item: item[1])

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; a skipped check passes."""
        return self.skipped or self.worst[1] <= self.tolerance

    def as_dict(self) -> dict[str, object]:
        """Keys and values for JSON, which has no ∞: such an error is None."""
        return {
            "name": self.name,
            "passed": self.passed,
            "skipped": self.skipped,
            "tolerance": self.tolerance,
            "errors": {
                name: value if math.isfinite(value) else None
                for name, value in self.errors.items()
            },
            "note": self.note,
        }


@dataclass(frozen=True)
class Report:
    """Every check of one model on one structure."""

    checks: tuple[Check, ...]
    """In the order they were made."""
    about: dict[str, object] = field(default_factory=dict)
    """What was checked: name -> value."""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """The check of that name; KeyError if there is none."""
        return {check.name: check for check in self.checks}[name]

    def as_dict(self) -> dict[str, object]:
        """Keys and values for JSON."""
        return {
            "passed": self.passed,
            **self.about,
            "checks": [check.as_dict() for check in self.checks],
        }

    def __str__(self) -> str:
        """A table, one line for each check with its worst quantity, and a sum."""
        worst = max((len(check.worst[0]) for check in self.checks), default=0)
        name = max((len(check.name) for check in self.checks), default=0)
        lines = [f"{'check':{name}}  {'worst':{worst}}  {'error':>8}  {'allowed':>8}"]
        for check in self.checks:
            lines.append(f"{check.name:{name}}  {_verdict(check, worst)}".rstrip())
        failed = sum(not check.passed for check in self.checks)
        skipped = sum(check.skipped for check in self.checks)
        lines.append(
            f"{len(self.checks) - failed - skipped} passed, {failed} failed, "
            f"{skipped} skipped"
        )
        lines += [f"{key}: {value}" for key, value in self.about.items()]
        return "\n".join(lines)


def _verdict(check: Check, width: int) -> str:
    if check.skipped:
        return f"skipped: {check.note}"
    if not check.errors:
        return f"FAILED: {check.note}"
    quantity, error = check.worst
    verdict = "ok" if check.passed else "FAILED"
    return f"{quantity:{width}}  {error:8.1e}  {check.tolerance:8.1e}  {verdict}"
