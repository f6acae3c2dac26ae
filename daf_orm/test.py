"""For tests: count thread hops, record blocking calls, and guard the tests that Django's test runner runs."""

from __future__ import annotations

import functools
import unittest
from types import MethodType
from typing import TYPE_CHECKING, Any

from django.test.runner import DiscoverRunner, ParallelTestSuite

from daf_orm._execution.hop_counts import Hops, count_hops
from daf_orm.detection import guard, io, record_blocking
from daf_orm.detection.recorders import CallList, add_recorder, remove_recorder
from daf_orm.detection.report import as_text
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import MODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from unittest import TestResult

    _Case = unittest.TestCase
    _Runner = DiscoverRunner
else:
    _Case = _Runner = object

__all__ = [
    "BlockingDetectionMixin",
    "BlockingDetectionRunner",
    "BlockingDetectionRunnerMixin",
    "Hops",
    "count_hops",
    "record_blocking",
]


class BlockingDetectionMixin(_Case):
    """For ``django.test.TestCase`` and its kin: a test with a recorded blocking call fails, swallowed or not."""

    def run(self, result: TestResult | None = None) -> TestResult | None:
        """Run the test under the guard."""
        ended: TestResult | None = _run_guarded(self, super().run, result)
        return ended


def _run_guarded(case: unittest.TestCase, run: Callable[[Any], Any], result: Any) -> Any:
    if guard.current_mode() == "off":
        return run(result)
    guard.activate()
    recorder = CallList()
    case.addCleanup(_Verdict(case, recorder))  # the first cleanup to be added is the last to run
    add_recorder(recorder)
    try:
        return run(result)
    finally:
        remove_recorder(recorder)


class _Verdict:
    """Fails a test for what was recorded in it.

    Django sends a test whose subtest has failed to another process, its cleanups with it: there this one does nothing.
    Pickled with its attributes, it would lead from the test back to the test without end.
    """

    def __init__(self, case: unittest.TestCase | None, recorder: CallList) -> None:
        self._case = case
        self._recorder = recorder

    def __call__(self) -> None:
        if self._case is not None and self._recorder.calls and guard.current_mode() == "raise":
            self._case.fail(f"Blocking calls on the event loop:\n{as_text(self._recorder.calls)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _Verdict, (None, CallList())


def _guarding_each(run_unguarded: Callable[..., Any]) -> Callable[..., Any]:
    def run(case: unittest.TestCase, result: Any = None) -> Any:
        if isinstance(case, BlockingDetectionMixin):  # it guards itself
            return run_unguarded(case, result)
        return _run_guarded(case, functools.partial(run_unguarded, case), result)

    return run


EVERY_TEST = PatchTable(
    # On the class, not on each test: a parallel run sends tests to processes that were forked from this one.
    Patch(
        owner=unittest.TestCase, name="run", wrapper=_guarding_each, why="each test of a runner runs under the guard"
    ),
)


def _guard_every_test(mode: str | None) -> None:
    guard.force_mode(mode)
    EVERY_TEST.activate()


def _set_up_process(mode: str | None, process_setup: Callable[..., object], args: tuple[Any, ...]) -> None:
    process_setup(*args)
    _guard_every_test(mode)


class BlockingDetectionRunnerMixin(_Runner):
    """For a project's test runner: ``class Runner(BlockingDetectionRunnerMixin, DiscoverRunner)``.

    ``manage.py test --daf-blocking=raise|warn|log|off``; the default is ``DAF_ORM["BLOCKING"]``. The run logs its mode,
    and raises RuntimeError if the guard misses a blocking call made as a test.
    """

    def __init__(self, *args: Any, daf_blocking: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mode = daf_blocking

    @classmethod
    def add_arguments(cls, parser: Any) -> None:
        """Add ``--daf-blocking``."""
        super().add_arguments(parser)
        parser.add_argument("--daf-blocking", choices=MODES, help="effect of a call that blocks the event loop")

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        """Build the suite. Where processes are not forked but spawned, Django calls ``process_setup`` in each."""
        suite = super().build_suite(*args, **kwargs)
        if isinstance(suite, ParallelTestSuite):
            parallel: Any = suite
            parallel.process_setup_args = (self._mode, parallel.process_setup.__func__, parallel.process_setup_args)
            parallel.process_setup = MethodType(_set_up_process, suite)  # Django takes its function
        return suite

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        """Run the tests, each under the guard."""
        before = guard.force_mode(self._mode)
        try:
            self.log(_armed())
            EVERY_TEST.activate()
            return super().run_suite(suite, **kwargs)
        finally:
            EVERY_TEST.deactivate()
            guard.force_mode(before)


def _armed() -> str:
    """Activate the guard, test it with a blocking call, and return the line to log. Raise RuntimeError if it fails."""
    mode = guard.current_mode()
    if mode == "off":
        return "daf_orm: blocking calls: off"
    guard.activate()
    if not guard.is_armed():
        raise RuntimeError(
            "daf_orm's guard does not detect a blocking call: other code has replaced Django's async_unsafe. "
            "Run with --daf-blocking=off, and report it."
        )
    return f"daf_orm: blocking calls: {mode}, armed{', I/O too' if io.is_active() else ''}"


class BlockingDetectionRunner(BlockingDetectionRunnerMixin, DiscoverRunner):
    """``TEST_RUNNER = "daf_orm.test.BlockingDetectionRunner"``: Django's test runner with the guard in every test."""
