"""Check that the project's prose is plain English: ``python -m tests.prose [PATH ...]``, a part of ``make lint``.

It prints ``file:line: phrase (rule: advice)`` for each finding, and returns 1 if there is any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
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
# Not yet rewritten: a folder goes from here when it is.
NOT_YET = ["daf_orm", "tests/orm"]
# These are written by a program, or consist of phrases that the rules find.
LEFT_OUT = ["docs/shapes.md", "tests/prose/rules.py", "tests/prose/test_prose.py"]


def files(names: Iterable[str]) -> Iterator[Path]:
    """Yield the Python modules and Markdown pages under these paths, which are relative to the repository."""
    for name in names:
        path = ROOT / name
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in found if file.suffix in {".py", ".md"} and ".build" not in file.parts)


def is_covered(file: Path) -> bool:
    """Return False for files in ``NOT_YET`` and ``LEFT_OUT``."""
    name = file.relative_to(ROOT).as_posix()
    return not any(name == left or name.startswith(f"{left}/") for left in [*NOT_YET, *LEFT_OUT])


def main(arguments: list[str]) -> int:
    """Check the given paths, also those that are not yet covered; without arguments, all that are covered."""
    chosen = files(arguments) if arguments else filter(is_covered, files(COVERED))
    count = 0
    for file in chosen:
        name = file.relative_to(ROOT).as_posix()
        for passage in passages(file):
            for finding in check(passage, name):
                count += 1
                print(f"{name}:{finding.line}: {finding.phrase!r} ({finding.rule}: {finding.advice})")
    print(f"{count} findings" if count else "The prose is plain.")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
