"""Run the suites of other packages without and with DAF in play; fail where an outcome differs.

``python -m tests.suites.package_suites --lock FILE [--postgresql | --native] [--thread-free] [--checkouts FOLDER]
[PACKAGE ...]``. A suite is that of the package's source distribution, which pip downloads once, into the user's cache.
One that leaves its tests out is named, and run if ``FOLDER/PACKAGE`` is a checkout of its repository.

With DAF: ``daf_orm`` and ``daf_views`` in ``INSTALLED_APPS``, ``get_asgi_application()`` of ``daf_views.asgi``, and the
guard off, as these suites block event loops where it suits them; ``--thread-free`` has ``thread_free()`` around
``MIDDLEWARE`` too. ``--postgresql`` compares on PostgreSQL, ``--native`` also DAF's engine with Django's.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.suites.differences import tell
from tests.suites.environments import Environment
from tests.support.servers import PostgresServer
from tests.support.source_distributions import unpacked

IN_PLAY = Path(__file__).parent / "in_play"
TIMEOUT = 1800
TIMEOUT_OF_A_TEST = 120
OUTPUT_SHOWN = 4000
"""Characters, from the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The way to run the suite of a package, by its name in the package index."""

    project: str
    needs: Sequence[str] = ()
    """Requirements beside the package's own."""
    tests: Sequence[str] = ("tests",)
    runner: Literal["pytest", "django"] = "pytest"
    options: Sequence[str] = ()
    """Of the runner; of pytest, instead of the ``addopts`` of the suite's own configuration."""
    settings: str | None = None
    python: tuple[int, int] = (3, 11)
    needs_postgresql: bool = False
    folder: str = "."
    """Of the source, to run it in."""


SUITES = [
    Suite(
        project="django-allauth",
        needs="django-allauth[headless,headless-spec,idp-oidc,mfa,openid,socialaccount,steam] djangorestframework"
        " django-ninja pillow pytest-asyncio pytest-django".split(),
        settings="tests.projects.regular.settings",
    ),
    Suite(
        project="django-debug-toolbar",
        needs="daphne django-csp django-template-partials html5lib jinja2 pygments selenium whitenoise".split(),
        runner="django",
        settings="tests.settings",
    ),
    Suite(
        project="djangorestframework",
        needs="dj-database-url django-filter django-guardian inflection markdown pygments pytest-django"
        " pyyaml requests uritemplate".split(),
        options=["--no-migrations"],
    ),
    Suite(
        project="adrf",
        needs="faker pytest-asyncio pytest-django".split(),
        options=["--nomigrations"],  # its models have no migrations, and refer to models that have
    ),
    Suite(
        project="channels",
        needs="async-timeout daphne pytest-asyncio pytest-django selenium".split(),
        options=["--asyncio-mode=auto"],
    ),
    Suite(
        project="django-async-backend",
        needs=["psycopg[pool]"],
        tests=["."],
        runner="django",
        folder="tests",
        settings="settings",
        python=(3, 12),
        needs_postgresql=True,
    ),
    Suite(
        project="django-modern-rest",
        needs="django-allauth[headless] django-modern-rest[allauth,attrs,jwt,msgspec,openapi,pydantic] dirty-equals"
        " django-csp faker inline-snapshot nanodjango orjson phonenumbers polyfactory punq pytest-asyncio pytest-django"
        " pytest-freezer pytest-xdist redis schemathesis syrupy testcontainers[redis] xmltodict-rs".split(),
        tests=["tests/test_unit", "tests/test_integration"],
        options=["-o", "asyncio_default_fixture_loop_scope=function"],
    ),
    Suite(
        project="django-ninja",
        needs="pytest-asyncio pytest-django".split(),
        options=["--nomigrations"],
    ),
    Suite(
        project="django-tasks",
        runner="django",
        settings="tests.settings",
    ),
    Suite(
        project="strawberry-graphql-django",
        needs="channels django-choices-field django-debug-toolbar django-guardian django-model-utils django-polymorphic"
        " django-tree-queries django-types factory_boy pillow pytest-asyncio pytest-django"
        " pytest-mock pytest-snapshot setuptools".split(),
        options=["--nomigrations", "--asyncio-mode=auto"],
        settings="tests.django_settings",
    ),
]
_ALL_CHECKS = (
    "It compares all that system checks say; daf_views.W001 tells of synchronous middleware, as "
    "docs/guides/views.md says."
)
MEANT: Mapping[str, str] = {
    f"django-debug-toolbar: tests.test_checks.ChecksTestCase.test_{name}": _ALL_CHECKS
    for name in (
        "check_good_configuration",
        "check_gzip_middleware_error",
        "check_missing_middleware_error",
        "check_w006_invalid",
        "check_w006_valid",
        "check_w006_valid_nested_loaders",
        "check_w007_invalid",
        "check_w007_valid",
        "observe_request_callback_specified",
        "panels_is_empty",
    )
}
"""Tests with another outcome under DAF, as ``PACKAGE: TEST``, each with the reason."""
MEANT_ERRORS: Mapping[tuple[str, str], str] = {
    ("strawberry-graphql-django", "failed: AssertionError: 0 queries executed"): (
        "It captures queries from a separate asyncio.run(), beside that of the request; queries_log stays with its "
        "owner, as docs/guides/connections.md says."
    ),
}
"""The number of tests of a package that fail with DAF alike: the package, the start of the error, and the reason."""


def compare(suite: Suite, lock: Path, checkouts: Path | None, ways: Iterable[Mapping[str, str]]) -> int:
    """Make what a suite needs, and run it in two ways, without and with DAF; return how many outcomes differ."""
    if sys.version_info < suite.python:
        print(f"{suite.project}: left out, it needs Python {suite.python[0]}.{suite.python[1]}", flush=True)
        return 0
    environment = Environment(suite.project, suite.needs, lock)
    environment.make()
    source = source_of(suite, environment, checkouts)
    return changes(suite, environment.python, source, ways) if source is not None else 0


def changes(suite: Suite, python: Path, source: Path, ways: Iterable[Mapping[str, str]]) -> int:
    """Run a suite in two ways, without and with DAF; print and count the outcomes that differ."""
    without, with_daf = (outcomes(suite, python, source, way) for way in ways)
    changed = {}
    for test in without.keys() | with_daf.keys():
        before, after = without.get(test, "not run"), with_daf.get(test, "not run")
        is_meant = before == "passed" and _is_meant(suite, after)
        if before.partition(":")[0] != after.partition(":")[0] and not is_meant:
            changed[f"{suite.project}: {test}"] = f"    {before} -> {after}"
    return tell(changed, MEANT, "DAF changes the outcome of")


def _is_meant(suite: Suite, outcome: str) -> bool:
    return any(suite.project == project and outcome.startswith(error) for project, error in MEANT_ERRORS)


def source_of(suite: Suite, environment: Environment, checkouts: Path | None) -> Path | None:
    if checkouts is not None and (checkouts / suite.project).is_dir():
        return (checkouts / suite.project).resolve()
    version = environment.version
    source = unpacked(suite.project, version)
    if all((source / suite.folder / folder).is_dir() for folder in suite.tests):
        return source
    print(
        f"{suite.project} {version}: left out, its source distribution has no tests. "
        f"To run them: CHECKOUTS=FOLDER, with a checkout of its repository at FOLDER/{suite.project}",
        flush=True,
    )
    return None


def outcomes(suite: Suite, python: Path, source: Path, way: Mapping[str, str]) -> dict[str, str]:
    """Run a suite; return the outcome of each test by its name. RuntimeError if it did not end normally."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcomes.json"
        command = [python, *_runner(suite, way), *suite.options, *suite.tests]
        settings = {"DJANGO_SETTINGS_MODULE": suite.settings} if suite.settings else {}
        done = subprocess.run(
            command,
            cwd=source / suite.folder,
            env=_inherited() | {"PYTHONPATH": f"{source}:{IN_PLAY}", "DAF_SUITE_OUTCOMES": str(file)} | settings | way,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if not file.exists():
            raise RuntimeError(f"The suite of {suite.project} did not run to its end:\n{done.stdout[-OUTPUT_SHOWN:]}")
        found: dict[str, str] = json.loads(file.read_text())
    if "passed" not in found.values():
        raise RuntimeError(f"No test of {suite.project} passed:\n{done.stdout[-OUTPUT_SHOWN:]}")
    failed = sum(outcome.startswith("failed") for outcome in found.values())
    print(f"{suite.project}, {_name(way)}: {len(found)} tests, {failed} failed", flush=True)
    return found


def _runner(suite: Suite, way: Mapping[str, str]) -> list[str]:
    if suite.runner == "django":
        return ["-m", "outcomes_of_django", "test", "--noinput"]
    options = ["-p", "outcomes_of_pytest", "-p", "no:cacheprovider", "-o", "addopts="]
    options += [f"--timeout={TIMEOUT_OF_A_TEST}", "--continue-on-collection-errors"]
    return ["-m", "pytest", *options, *([] if "DAF_IN_PLAY" in way else ["-p", "no:daf_orm"])]


def _inherited() -> dict[str, str]:
    # Without bytecode, which some containers switch off, each process would compile all modules anew.
    left_out = ("DAF_", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def _name(way: Mapping[str, str]) -> str:
    if "DAF_IN_PLAY" not in way:
        return "without DAF"
    parts = ["with DAF"]
    if "DAF_SUITE_ENGINE" in way:
        parts.append("native engine")
    if "DAF_SUITE_THREAD_FREE" in way:
        parts.append("thread-free middleware")
    return ", ".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.suites.package_suites")
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--thread-free", action="store_true")
    parser.add_argument("--checkouts", type=Path)
    parser.add_argument("packages", nargs="*", choices=[[], *(suite.project for suite in SUITES)])
    options = parser.parse_args()
    chosen = [suite for suite in SUITES if not options.packages or suite.project in options.packages]
    in_play = {"DAF_IN_PLAY": "1"} | ({"DAF_SUITE_THREAD_FREE": "1"} if options.thread_free else {})
    if options.native:
        in_play["DAF_SUITE_ENGINE"] = "daf_orm.backends.postgresql"
    found = 0
    for suite in chosen:
        on_postgresql = options.postgresql or options.native or suite.needs_postgresql
        with contextlib.ExitStack() as servers:
            # A server each: some suites write to the database that their settings name, and not to a test database.
            ways = [
                way | ({"DAF_SUITE_URL": servers.enter_context(PostgresServer()).url} if on_postgresql else {})
                for way in ({}, in_play)
            ]
            try:
                found += compare(suite, options.lock, options.checkouts, ways)
            except (RuntimeError, subprocess.SubprocessError) as error:  # the other suites still tell something
                print(error, flush=True)
                found += 1
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
