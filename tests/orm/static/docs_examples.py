"""Check the examples of the documentation: ``python -m tests.orm.static.docs_examples``.

Each block of Python is a module. One that shows what blocks says so in its lines: ``# DAF010``, or ``# blocks``.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"# (DAF\d+|blocks)\b")


def main() -> int:
    """Print what is found and not marked; returns 1 if there is any."""
    unmarked = list(_unmarked())
    for place in unmarked:
        print(place)
    return 1 if unmarked else 0


def _unmarked() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
            _extract(page, folder)
        for finding in check(modules([folder]), Settings()):
            line = Path(finding.file).read_text().splitlines()[finding.line - 1]
            if finding.code != "DAF000" and not MARK.search(line):  # an example may leave something out: ``…``
                page = Path(finding.file).stem.rpartition("_")[0]
                yield f"{page}.md:{finding.line}: {finding.code} {finding.message}"


def _extract(page: Path, folder: Path) -> None:
    """Write each block to a module in which its lines have the numbers that they have in the page."""
    text = page.read_text()
    for number, block in enumerate(BLOCK.finditer(text)):
        before = text.count("\n", 0, block.start(1))
        (folder / f"{page.stem}_{number}.py").write_text("\n" * before + block[1])


if __name__ == "__main__":
    sys.exit(main())
