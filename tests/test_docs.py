"""Documentation: no dead link, every page listed, every command in the README."""

import re
from pathlib import Path

import pytest

from spinff.cli.main import COMMANDS
from spinff.training.config import check_config

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("docs", "potentials", "examples")
PAGES = sorted(REPOSITORY.glob("*.md")) + [
    page for folder in FOLDERS for page in sorted((REPOSITORY / folder).rglob("*.md"))
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), f"{target} in {page.name}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{target}#{anchor} in {page.name}"


def test_index_lists_every_page() -> None:
    listed = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in listed


def test_readme_starts_with_the_two_commands_and_names_the_others() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    first, second = text.splitlines()[:2]
    assert first.split()[:2] == ["make", "demo"]
    assert second.split()[:2] == ["make", "test"]
    for command in COMMANDS:
        assert f"spinff {command}" in text


def python_examples(page: str) -> list[str]:
    """The blocks of Python on a page."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_examples_of_spins(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """They run as they stand and print what their comments say."""
    examples = python_examples("spins.md")
    assert len(examples) == 2
    exec(compile(examples[number], f"spins.md, block {number}", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    expected = re.findall(
        r"^print\(.*\)  # (-?[0-9.]+)", examples[number], re.MULTILINE
    )
    assert expected
    for line, value in zip(lines[-len(expected) :], expected, strict=True):
        assert float(line) == pytest.approx(float(value), abs=1e-4)


@pytest.mark.parametrize(
    "path",
    sorted((REPOSITORY / "examples").rglob("*.yaml")),
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)
def test_every_example_is_a_configuration(path: Path) -> None:
    check_config(path)
