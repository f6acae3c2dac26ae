"""Compare what the guard records while a package's suite runs with what ``daf check`` finds in its source.

``python -m tests.suites.guard_and_check --lock FILE [--checkouts FOLDER] [--django [APP ...]] [PACKAGE ...]``. The
packages are those of ``package_suites``, and those of :data:`MORE`, which need a checkout. ``--django`` takes Django's
own suite. A line that only the guard has is one that the checker has missed: docs/guides/check.md has the reasons. One
that only the checker has was not run, or is a false finding.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings
from tests.suites import django_suite
from tests.suites.environments import Environment
from tests.suites.package_suites import SUITES, Suite, outcomes, source_of
from tests.support.django_sources import django_tests

MORE = [
    Suite(
        project="django-ninja-extra",
        needs="django-ninja-extra injector contextlib2 pytest-asyncio pytest-django".split(),
        options=["--asyncio-mode=auto"],
    ),
    Suite(
        project="djangochannelsrestframework",
        needs="channels[daphne] djangochannelsrestframework pytest-asyncio pytest-django".split(),
        options=["--asyncio-mode=auto"],
    ),
]
APPLICATIONS = [*django_suite.WHOLE, *"decorators dispatch signals test_client view_tests".split()]


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A line of a suite, and what was recorded or found there."""

    file: str
    number: int
    operation: str
    expression: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.operation}: {self.expression}"


def recorded(rows: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[Line]:
    """Yield the lines below a folder at which the guard has recorded calls."""
    for row in rows:
        path = Path(row["file"]).resolve()
        if path.is_relative_to(folder):
            shown = path.relative_to(folder).as_posix()
            yield Line(shown, row["line"], row["operation"], row["expression"])


def found(folder: Path) -> Iterator[Line]:
    """Yield the lines below a folder at which ``daf check`` finds something."""
    for finding in check(modules([folder]), Settings()):
        shown = Path(finding.file).resolve().relative_to(folder).as_posix()
        yield Line(shown, finding.line, finding.operation, finding.expression)


def differences(of_guard: Sequence[Line], of_check: Sequence[Line]) -> tuple[list[Line], list[Line], list[Line]]:
    """Return what both have, by file and line, what only the guard has, and what only the checker has."""
    guarded, checked = ({(line.file, line.number) for line in lines} for lines in (of_guard, of_check))
    both = [line for line in of_guard if (line.file, line.number) in checked]
    missed = [line for line in of_guard if (line.file, line.number) not in checked]
    return both, missed, [line for line in of_check if (line.file, line.number) not in guarded]


def tell(name: str, folder: Path, rows: Sequence[Mapping[str, Any]]) -> int:
    """Print the comparison; return how many lines the checker has missed."""
    both, missed, unseen = differences(sorted(set(recorded(rows, folder))), sorted(set(found(folder))))
    print(f"{name}: {len(both)} by both, {len(missed)} by the guard only, {len(unseen)} by daf check only", flush=True)
    for title, lines in (("guard only", missed), ("daf check only", unseen)):
        for line in lines:
            print(f"  {title}: {line}", flush=True)
    return len(missed)


def run_package(suite: Suite, lock: Path, checkouts: Path | None) -> int:
    """Run the suite of a package under the guard, and compare."""
    suite = replace(suite, needs=[*suite.needs, "blockbuster"])
    environment = Environment(suite.project, suite.needs, lock)
    environment.make()
    source = source_of(suite, environment, checkouts)
    if source is None:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.json"
        way = {"DAF_IN_PLAY": "1", "DAF_SUITE_RECORD": str(file), "DJANGO_ALLOW_ASYNC_UNSAFE": "1"}
        outcomes(suite, environment.python, source, way)
        return tell(suite.project, source.resolve(), json.loads(file.read_text()))


def run_django(applications: Sequence[str]) -> int:
    """Run applications of the Django suite under the guard, and compare each with its source."""
    tests = django_tests().resolve()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.json"
        environment = {"DAF_IN_PLAY": "1", "DAF_SUITE_RECORD": str(file)}
        django_suite.failures(list(applications), environment)
        rows = json.loads(file.read_text())
    return sum(
        tell(f"django: {name}", tests / name, [row for row in rows if Path(row["file"]).is_relative_to(tests / name)])
        for name in applications
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.suites.guard_and_check")
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--checkouts", type=Path)
    parser.add_argument("--django", nargs="*", metavar="APP")
    known = {suite.project: suite for suite in (*SUITES, *MORE)}
    parser.add_argument("packages", nargs="*", choices=[[], *known])
    options = parser.parse_args()
    missed = run_django(options.django or APPLICATIONS) if options.django is not None else 0
    for name in options.packages:
        try:
            missed += run_package(known[name], options.lock, options.checkouts)
        except (RuntimeError, subprocess.SubprocessError, OSError) as error:  # the other suites still tell something
            print(f"{name}: {error}", flush=True)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
