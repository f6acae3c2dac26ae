"""Run a fixed part of Django's own suite without and with DAF in play; fail where an outcome differs.

``python -m tests.django_suite [--short] [--postgresql]``. The suite is that of the installed Django's source
distribution, which pip downloads once, into the user's cache. ``--short`` runs fewer applications, with DAF only.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.django_sources import django_tests
from tests.support.servers import PostgresServer

ROOT = Path(__file__).parents[2]
SHORT = "async asgi csrf_tests handlers middleware".split()
WHOLE = [*SHORT, *"auth_tests cache messages_tests sessions_tests transactions".split()]
MEANT = {
    "async.tests.AsyncUnsafeTest.test_async_unsafe_suppressed": (
        "DJANGO_ALLOW_ASYNC_UNSAFE has no say where the guard is up; docs/detection.md says so."
    ),
}
"""What fails with DAF and not without, each with the reason."""
OUTCOME = re.compile(r"^(?:FAIL|ERROR): \S+ \(([\w.]+)", re.MULTILINE)
TIMEOUT = 1200


def failures(labels: list[str], environment: dict[str, str]) -> set[str]:
    """Run the applications; return the tests that failed. RuntimeError if the run did not come to its end."""
    command = [sys.executable, "runtests.py", "--settings=with_daf", "--parallel=1", "--noinput", *labels]
    done = subprocess.run(
        command,
        cwd=django_tests(),
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"} | environment,
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
    print(
        f"{'with' if 'DAF_IN_PLAY' in environment else 'without'} DAF: {ran[1]} tests, {len(found)} failed", flush=True
    )
    return found


def compare(labels: list[str], environment: dict[str, str], *, is_short: bool) -> int:
    """Return 1 if DAF changes an outcome, and print which."""
    without = set() if is_short else failures(labels, environment)
    changed = (failures(labels, environment | {"DAF_IN_PLAY": "1"}) ^ without) - MEANT.keys()
    for name in sorted(changed):
        print(f"DAF changes the outcome of {name}")
    return int(bool(changed))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.django_suite")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    labels = SHORT if options.short else WHOLE
    if not options.postgresql:
        return compare(labels, {}, is_short=options.short)
    server = PostgresServer()
    server.start()
    try:
        return compare(labels, {"DAF_SUITE_URL": server.url}, is_short=options.short)
    finally:
        server.stop("immediate")


if __name__ == "__main__":
    sys.exit(main())
