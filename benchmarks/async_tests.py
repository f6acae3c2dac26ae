"""The cost of sharing a test's transaction: pytest-django ``db`` tests written async beside the same written sync.

Empty tests show the share of pytest-asyncio, and that of DAF. Each run is a separate pytest process, on a small
project in a temporary folder. They take turns, and a ratio compares two runs of the same round. *wall* and *CPU* leave
out the time until the first test has ended, with imports and the creation of the test database. *run* includes it, and
is the time that a developer waits.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any, NamedTuple

from benchmarks.processes import postgresql
from benchmarks.tables import print_table, ratio, spread

TESTS = 200
EMPTY = """
import pytest

pytestmark = pytest.mark.django_db

@pytest.mark.parametrize("number", range({number}))
{define} test_does_nothing(number):
    pass
"""
PROJECT = {
    "project_settings.py": """
        import json, os

        SECRET_KEY = "x"
        DATABASES = {"default": json.loads(os.environ["DATABASE"])}
        INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", *json.loads(os.environ["APPS"])]
        USE_TZ = True
        """,
    "pytest.ini": """
        [pytest]
        DJANGO_SETTINGS_MODULE = project_settings
        pythonpath = .
        asyncio_mode = auto
        asyncio_default_fixture_loop_scope = function
        """,
    "conftest.py": """
        import json, pathlib, time

        marks = []

        def pytest_runtest_logfinish():
            marks.append((time.perf_counter(), time.process_time()))

        def pytest_sessionfinish():
            elapsed = [last - first for first, last in zip(marks[0], marks[-1])]
            pathlib.Path("elapsed.json").write_text(json.dumps(elapsed))
        """,
    "test_sync.py": f"""
        import pytest
        from django.contrib.auth.models import Group

        pytestmark = pytest.mark.django_db

        @pytest.mark.parametrize("number", range({TESTS} + 1))
        def test_writes_and_reads(number):
            group = Group.objects.create(name=str(number))
            assert Group.objects.get(pk=group.pk).name == str(number)
            assert Group.objects.count() == 1
        """,
    "test_async.py": f"""
        import pytest
        from django.contrib.auth.models import Group

        pytestmark = pytest.mark.django_db

        @pytest.mark.parametrize("number", range({TESTS} + 1))
        async def test_writes_and_reads(number):
            group = await Group.objects.acreate(name=str(number))
            assert (await Group.objects.aget(pk=group.pk)).name == str(number)
            assert await Group.objects.acount() == 1
        """,
    "test_empty_sync.py": EMPTY.format(define="def", number=TESTS + 1),
    "test_empty_async.py": EMPTY.format(define="async def", number=TESTS + 1),
}
ONE_LOOP = (
    *("-o", "asyncio_default_test_loop_scope=session"),
    *("-o", "asyncio_default_fixture_loop_scope=session"),
)


class Kind(NamedTuple):
    """A way to write and run the tests."""

    meaning: str
    file: str
    options: tuple[str, ...] = ()
    has_daf: bool = True


KINDS = {
    "sync": Kind("`create`, `get` and `count`, in a test with pytest-django's `db`", "test_sync.py"),
    "async": Kind("`acreate`, `aget` and `acount`; pytest-asyncio makes an event loop for each test", "test_async.py"),
    "async, one loop": Kind("the same on one event loop for the whole run", "test_async.py", ONE_LOOP),
    "empty sync, no DAF": Kind("nothing, with `db`, without DAF", "test_empty_sync.py", has_daf=False),
    "empty async, no DAF": Kind("nothing, in an async test, without DAF", "test_empty_async.py", has_daf=False),
    "empty async": Kind("nothing, in an async test, with DAF", "test_empty_async.py"),
    "empty async, one loop": Kind("the same on one event loop for the whole run", "test_empty_async.py", ONE_LOOP),
}
ENGINES = {"sqlite": "django.db.backends.sqlite3", "postgresql": "django.db.backends.postgresql"}

Samples = dict[str, dict[str, list[float]]]


def run(*, quick: bool) -> None:
    """Measure on SQLite in memory and on PostgreSQL, and print a table for each."""
    rounds = 2 if quick else 6
    for name, kind in KINDS.items():
        print(f"- *{name}*: {TESTS} times {kind.meaning}.")
    print(f"\n{rounds} rounds. `x sync`: this time divided by that of *sync* in the same round.")
    for title, database in {"SQLite in memory": _memory, "PostgreSQL": postgresql}.items():
        print(f"\n### {title}\n")
        with database() as address, TemporaryDirectory(prefix="daf-benchmarks-") as folder:
            _write_project(Path(folder))
            _print(_rounds(Path(folder), address, rounds))


def _memory() -> AbstractContextManager[dict[str, Any]]:
    return nullcontext({"vendor": "sqlite", "NAME": ":memory:"})


def _write_project(folder: Path) -> None:
    for name, source in PROJECT.items():
        (folder / name).write_text(dedent(source).lstrip())


def _rounds(folder: Path, database: Mapping[str, Any], rounds: int) -> Samples:
    samples: Samples = {kind: {"wall": [], "cpu": [], "run": []} for kind in KINDS}
    chance = random.Random(1)
    for _ in range(rounds):
        for kind in chance.sample(list(KINDS), len(KINDS)):
            for clock, seconds in _run_tests(folder, KINDS[kind], database).items():
                samples[kind][clock].append(seconds)
    return samples


def _run_tests(folder: Path, kind: Kind, database: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds that the tests but the first took, by either clock, and the whole process."""
    address = {"ENGINE": ENGINES[database["vendor"]], **database}
    del address["vendor"]
    apps = ["daf_orm"] if kind.has_daf else []
    environment = {**os.environ, "DATABASE": json.dumps(address), "APPS": json.dumps(apps)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *kind.options, kind.file]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stdout)
    wall, cpu = json.loads((folder / "elapsed.json").read_text())
    return {"wall": wall, "cpu": cpu, "run": whole}


def _print(samples: Samples) -> None:
    reference = samples["sync"]
    rows = [
        (
            kind,
            *(
                cell
                for clock in ("wall", "cpu")
                for cell in (_milliseconds(samples[kind][clock]), ratio(samples[kind][clock], reference[clock]))
            ),
            f"{spread(samples[kind]['run'])[1]:.2f}",
            ratio(samples[kind]["run"], reference["run"]),
        )
        for kind in KINDS
    ]
    print_table(("", "wall: ms a test", "x sync", "CPU: ms a test", "x sync", "run: s", "x sync"), rows)


def _milliseconds(seconds: list[float]) -> str:
    first, median, third = (value * 1000 / TESTS for value in spread(seconds))
    return f"{median:.2f} ({first:.2f}-{third:.2f})"
