"""Links of the pages of the repository lead to files, and to headings that exist."""

import re
from pathlib import Path

import pytest

from tests.docs.reference import DOCS, ROOT

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # no database is used
PAGES = [
    *(
        ROOT / name
        for name in (
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "CHANGELOG.md",
            "benchmarks/README.md",
            "changes/README.md",
        )
    ),
    *sorted(DOCS.rglob("*.md")),
]
FENCE = re.compile(r"^( *)(```+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\]\(([^)\s:]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose(page))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    dead = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_in_the_table_of_contents():
    listed = set(
        re.findall(r"^(?:start|guides|why|reference|project)/[\w-]+$", (DOCS / "index.md").read_text(), re.MULTILINE)
    )
    assert listed == {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")} - {"index"}
