"""Reset state of the process before each test, so that one test does not leave it to the next.

A module that has such state registers a function when it is imported; the pytest plugin calls all of them. Nothing is
called outside tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_functions: list[Callable[[], object]] = []


def call_before_each_test(func: Callable[[], object]) -> None:
    """Call ``func()`` before each test of a pytest run. Idempotent."""
    if func not in _functions:
        _functions.append(func)


def put_back() -> None:
    """Call all functions that were registered."""
    for func in _functions:
        func()
