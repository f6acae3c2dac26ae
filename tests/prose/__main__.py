"""Check that the project's prose is plain English: ``python -m tests.prose [PATH ...]``, a part of ``make lint``.

It prints ``file:line: phrase (rule: advice)`` for each finding, and returns 1 if there is any.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.prose.passages import passages
from tests.prose.rules import check

ROOT = Path(__file__).parents[2]
COVERED = [
    "daf_views",
    "daf_orm",
    "docs",
    "examples",
    "benchmarks",
    "tests",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
# These are written by a program, or consist of phrases that the rules find.
LEFT_OUT = ["docs/reference/logs.md", "docs/reference/shapes.md", "tests/prose/rules.py", "tests/prose/test_prose.py"]


def files(names: Iterable[str]) -> Iterator[Path]:
    """Yield the Python modules and Markdown pages under these paths, which are relative to the repository."""
    for name in names:
        path = ROOT / name
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in found if file.suffix in {".py", ".md"} and ".build" not in file.parts)


def is_covered(file: Path) -> bool:
    """Return False for files in ``LEFT_OUT``."""
    name = file.relative_to(ROOT).as_posix()
    return name not in LEFT_OUT


def main(arguments: list[str]) -> int:
    """Check the given paths, also those that are left out; without arguments, all that are covered."""
    chosen = list(files(arguments) if arguments else filter(is_covered, files(COVERED)))
    # Most of the time is the parser's, which makes many objects and no cycles.
    with ProcessPoolExecutor(initializer=gc.disable) as pool:
        lines = [line for found in pool.map(findings, chosen, chunksize=40) for line in found]
    print("\n".join([*lines, f"{len(lines)} findings" if lines else "The prose is plain."]))
    return 1 if lines else 0


def findings(file: Path) -> list[str]:
    """Return a line for each finding in a file."""
    name = file.relative_to(ROOT).as_posix()
    return [
        f"{name}:{finding.line}: {finding.phrase!r} ({finding.rule}: {finding.advice})"
        for passage in passages(file)
        for finding in check(passage, name)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
