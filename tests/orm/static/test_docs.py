"""Every code has its section in docs/guides/check.md, whose example is checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daf_orm.static.codes import CODES
from daf_orm.static.names.functions import OF_RUFF
from tests.orm.static.checking import IMPORTS, findings

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "check.md"
SECTION = re.compile(r"^### (DAF\d+): ([^\n]+)\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SECTIONS = {code: (title, text) for code, title, text in SECTION.findall(PAGE.read_text())}


def table() -> str:
    rows = [f"| [{code}](#{_anchor(code, title)}) | {title} |" for code, title in CODES.values()]
    return "\n".join(["<!-- codes -->", "| Code | Finding |", "|---|---|", *rows, "<!-- /codes -->"])


def _anchor(code: str, title: str) -> str:
    return re.sub(r"[^\w\- ]", "", f"{code}: {title}".lower()).replace(" ", "-")


def test_every_code_has_its_section() -> None:
    assert {code: title for code, (title, _) in SECTIONS.items()} == {each.code: each.title for each in CODES.values()}


def test_the_table_is_that_of_the_codes() -> None:
    assert table() in PAGE.read_text()


@pytest.mark.parametrize("code", [code for code in CODES if code != "DAF000"])
def test_an_example_is_found_where_it_says_so_and_nowhere_else(code: str, tmp_path: Path) -> None:
    source = EXAMPLE.search(SECTIONS[code][1])[1]
    lines = source.splitlines()
    marked = [(number, mark[1]) for number, line in enumerate(lines, 1) if (mark := re.search(r"# (DAF\d+)$", line))]
    assert {mark for _, mark in marked} == {code}

    found = findings(tmp_path, source)

    assert [(finding.line - IMPORTS.count("\n"), finding.code) for finding in found] == marked


@pytest.mark.parametrize("code", sorted(OF_RUFF))
def test_findings_of_ruff_are_left_to_it(code: str, tmp_path: Path) -> None:
    source = EXAMPLE.search(SECTIONS[code][1])[1]

    assert findings(tmp_path, source, has_ruffs_rules=True) == []
