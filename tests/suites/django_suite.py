"""Run a fixed part of the Django suite without and with DAF in play; fail where an outcome differs.

``python -m tests.suites.django_suite [--short] [--postgresql | --native --bridged] [--plans] [--server URL] [APP …]``.
The suite is that of the installed Django's source distribution, which pip downloads once, into the user's cache.
``--short`` runs fewer applications; without ``--native`` and ``--bridged``, with DAF only.

``--native`` compares ``daf_orm.backends.postgresql`` with Django's backend, as synchronous code. ``--bridged`` does so
with each test's body on a running event loop and the guard in mode ``raise``: then no call may block.
``--plans`` compares without DAF and with kept query plans, each use of which is compared with Django's SQL. It prints
how many queries used a plan, and why the others did not.
``postgres_tests`` needs PostgreSQL's contributed extensions, and is left out where the server has none.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.suites.differences import tell
from tests.support.django_sources import django_tests
from tests.support.servers import PostgresServer

ROOT = Path(__file__).parents[2]
IN_PLAY = Path(__file__).parent / "in_play"
SHORT = "async asgi csrf_tests handlers middleware".split()
WHOLE = [*SHORT, *"auth_tests cache messages_tests sessions_tests transactions".split()]
NATIVE_SHORT = "basic transaction_hooks transactions".split()
NATIVE = [
    *NATIVE_SHORT,
    *"aggregation annotations backends bulk_create many_to_many migrations postgres_tests".split(),
    *"prefetch_related queries select_for_update select_related".split(),
]
PLANS = [
    *"queries lookup expressions aggregation annotations ordering select_related prefetch_related".split(),
    *"null_queries filtered_relation".split(),
    *"basic custom_pk update_only_fields force_insert_update select_on_save".split(),
    *"model_inheritance save_delete_hooks".split(),
]
MEANT = {
    "async.tests.AsyncUnsafeTest.test_async_unsafe_suppressed": (
        "DJANGO_ALLOW_ASYNC_UNSAFE has no say where the guard is up; docs/guides/detection.md says so."
    ),
    "backends.postgresql.tests.Tests.test_connect_server_side_binding": (
        "It asks for Django's class of cursors itself; the engine's is a subclass."
    ),
}
"""Tests that fail with DAF and not without, each with the reason."""
OUTCOME = re.compile(r"^(?:FAIL|ERROR): \S+ \(([\w.]+)", re.MULTILINE)
TIMEOUT = 1200


def failures(labels: list[str], environment: dict[str, str]) -> set[str]:
    """Run the applications; return the tests that failed. RuntimeError if the run did not end normally."""
    command = [sys.executable, "runtests.py", "--settings=with_daf", "--parallel=1", "--noinput", *labels]
    done = subprocess.run(
        command,
        cwd=django_tests(),
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{IN_PLAY}"} | environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    ran = re.search(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)
    if ran is None:
        raise RuntimeError(f"Django's suite did not run to its end:\n{done.stderr}")
    found = set(OUTCOME.findall(done.stderr))
    # Without their names these would go unseen.
    found |= {f"{ran[1]} tests", *re.findall(r"(?:skipped|expected failures|unexpected successes)=\d+", done.stderr)}
    if (blocked := re.search(r"^Blocking calls: ([1-9]\d*)", done.stderr, re.MULTILINE)) is not None:
        found.add(f"{blocked[1]} blocking calls:{done.stderr[blocked.end() :]}")
    if (plans := re.search(r"^Kept plans: (.+)", done.stderr, re.MULTILINE)) is not None:
        found |= _plans_told(json.loads(plans[1]))
    failed = len(set(OUTCOME.findall(done.stderr)))
    print(f"{' '.join(labels)}, {_name(environment)}: {ran[1]} tests, {failed} failed", flush=True)
    return found


def _plans_told(counts: Any) -> set[str]:
    """Print the counts of kept plans; return what must not be."""
    if not counts or not counts["hits"]:
        return {"no plan used"}
    reasons = counts.pop("reasons")
    print(", ".join(f"{name} {number}" for name, number in counts.items()), flush=True)
    for reason, number in reasons.items():
        print(f"    {number:>5}  {reason}", flush=True)
    return {f"{counts['differed']} plans that differed"} if counts["differed"] else set()


def _name(environment: dict[str, str]) -> str:
    if "DAF_SUITE_BRIDGED" in environment:
        return "on an event loop"
    if "DAF_SUITE_ENGINE" in environment:
        return "native engine"
    if "DAF_SUITE_PLANS" in environment:
        return f"plans {environment['DAF_SUITE_PLANS']}"
    return "with DAF" if "DAF_IN_PLAY" in environment else "without DAF"


NATIVE_ENVIRONMENT = {"DAF_SUITE_ENGINE": "daf_orm.backends.postgresql"}
BRIDGED_ENVIRONMENT = {**NATIVE_ENVIRONMENT, "DAF_IN_PLAY": "1", "DAF_SUITE_BRIDGED": "1"}


def compare_engines(labels: list[str], environment: dict[str, str], engines: list[dict[str, str]]) -> int:
    """Do the same for Django's engine and the native one, application by application."""
    changes = 0
    for label in labels:
        of_django = failures([label], environment)
        for engine in engines:
            changed = of_django ^ failures([label], environment | engine)
            changes += tell(changed, MEANT, f"The engine changes the outcome of {label}:")
    return int(bool(changes))


def compare_plans(labels: list[str], environment: dict[str, str]) -> int:
    """Return 1 if kept plans change an outcome, or one differs from what Django compiles."""
    of_django = failures(labels, environment)
    changes = 0
    for use in ("used", "compared"):
        found = failures(labels, environment | {"DAF_IN_PLAY": "1", "DAF_SUITE_PLANS": use})
        changes += tell(found ^ of_django, MEANT, f"Kept plans, {use}, change the outcome of")
    return int(bool(changes))


def _has_extensions(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'bloom'").fetchone()
        return row == (1,)


def compare(labels: list[str], environment: dict[str, str], *, is_short: bool) -> int:
    """Return 1 if DAF changes an outcome, and print which."""
    found = failures(labels, environment | {"DAF_IN_PLAY": "1"})
    # A short run does not know Django's own outcome: none fails there.
    changed = {name for name in found if "." in name} if is_short else found ^ failures(labels, environment)
    return int(bool(tell(changed, MEANT, "DAF changes the outcome of")))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.suites.django_suite")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--bridged", action="store_true")
    parser.add_argument("--plans", action="store_true")
    parser.add_argument("--server", metavar="URL", help="of a PostgreSQL server; by default one is started")
    parser.add_argument("labels", nargs="*")
    options = parser.parse_args()
    labels = options.labels or (PLANS if options.plans else SHORT if options.short else WHOLE)
    if not (options.postgresql or options.native or options.bridged):
        return compare_plans(labels, {}) if options.plans else compare(labels, {}, is_short=options.short)
    with contextlib.nullcontext() if options.server else PostgresServer() as server:
        url = options.server or server.url
        environment = {"DAF_SUITE_URL": url}
        if options.plans:
            return compare_plans(labels, environment | (NATIVE_ENVIRONMENT if options.native else {}))
        if options.postgresql:
            return compare(labels, environment, is_short=options.short)
        labels = options.labels or (NATIVE_SHORT if options.short else NATIVE)
        if not _has_extensions(url) and "postgres_tests" in labels:
            print("postgres_tests: left out, the server has no contributed extensions", flush=True)
            labels = [label for label in labels if label != "postgres_tests"]
        engines = [NATIVE_ENVIRONMENT] * options.native + [BRIDGED_ENVIRONMENT] * options.bridged
        return compare_engines(labels, environment, engines)


if __name__ == "__main__":
    sys.exit(main())
