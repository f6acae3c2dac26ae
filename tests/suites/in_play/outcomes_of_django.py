"""A ``manage.py``, ``-m outcomes_of_django test``: writes each test's outcome to the file ``DAF_SUITE_OUTCOMES``."""

import sys
import unittest
from collections.abc import Callable
from typing import Any

import daf_in_play
from django.core.management import execute_from_command_line

OUTCOMES: dict[str, str] = {}
"""By the test's id; with the error of a test that failed, and that of its last subtest."""
NAMES = {
    "addSuccess": "passed",
    "addSkip": "skipped",
    "addExpectedFailure": "failed as expected",
    "addUnexpectedSuccess": "passed unexpectedly",
}


def _noting(add: str, outcome: str | None) -> None:
    original: Callable[..., None] = getattr(unittest.TestResult, add)

    def noting(result: Any, test: Any, *args: Any) -> None:
        if outcome is not None:
            OUTCOMES.setdefault(test.id(), outcome)
        elif args[-1] is not None:  # else a subtest has passed
            OUTCOMES[test.id()] = f"failed: {args[-1][1]!r}"
        original(result, test, *args)

    setattr(unittest.TestResult, add, noting)


if __name__ == "__main__":
    daf_in_play.put_in_play()
    for add, outcome in NAMES.items():
        _noting(add, outcome)
    for add in ("addFailure", "addError", "addSubTest"):
        _noting(add, None)
    try:
        execute_from_command_line(sys.argv)
    finally:
        if OUTCOMES:
            daf_in_play.write(OUTCOMES)
