"""The recall of detectors of blocking calls: the conformance corpus under stock Django, blockbuster and DAF.

Each detector has a separate process for each database. A shape counts as seen if its caller is told: by an exception
that comes out of it, or, with DAF, by a record.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.tables import print_table

ROOT = Path(__file__).resolve().parent.parent
DATABASES = ("sqlite-file", "postgresql")
DETECTORS = ("stock", "blockbuster", "daf")

Seen = dict[str, tuple[int, int]]
"""For each group of shapes, how many were seen, and of how many."""


def run(*, quick: bool) -> None:
    """Print a table for each database: shapes seen in each group, and harmless ones that were flagged."""
    print(
        "The corpus is `tests/orm/detection/corpus`. *stock*: `SynchronousOnlyOperation` comes out of the shape. "
        "*blockbuster*: `BlockingError` comes out of it, with Django's own check off. *daf*: it is recorded. "
        "`never` are shapes that do not block: a detection there is a false alarm."
    )
    for database in DATABASES[:1] if quick else DATABASES:
        seen = {detector: _measure(detector, database) for detector in DETECTORS}
        groups = list(seen["daf"])
        blocking = [group for group in groups if group != "never"]
        print(f"\n### {database}\n")
        rows = [[group, *(_of(seen[detector], [group]) for detector in DETECTORS)] for group in blocking]
        rows.append(["all that block", *(_of(seen[detector], blocking) for detector in DETECTORS)])
        rows.append(["never (false alarms)", *(_of(seen[detector], ["never"]) for detector in DETECTORS)])
        print_table(["shapes", *DETECTORS], rows)


def _of(seen: Seen, groups: list[str]) -> str:
    found, total = (sum(numbers) for numbers in zip(*(seen[group] for group in groups), strict=True))
    return f"{found} of {total}"


def _measure(detector: str, database: str) -> Seen:
    environment = {**os.environ, "DAF_TEST_DATABASE": database, "DJANGO_SETTINGS_MODULE": "tests.project.settings"}
    command = [sys.executable, "-m", "benchmarks.detection_worker", detector]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    found, totals = Counter(answer["found"]), Counter(answer["totals"])
    return {group: (found[group], totals[group]) for group in totals}
