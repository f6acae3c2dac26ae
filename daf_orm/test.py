"""For tests: count thread hops, record blocking calls, and guard the tests that Django's test runner runs."""

from __future__ import annotations

import functools
import inspect
import threading
import unittest
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from types import MethodType
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync
from django.test.runner import DiscoverRunner, ParallelTestSuite

from daf_orm._execution.routes.thread import HopOfCall
from daf_orm.detection import guard, io, record_blocking
from daf_orm.detection.recorders import CallList, add_recorder, remove_recorder
from daf_orm.detection.report import as_text
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


class Hops:
    """The thread hops of a :func:`count_hops` block."""

    def __init__(self) -> None:
        self.by_name: Counter[str] = Counter()
        """Number of hops by what was called, ``QuerySet.get``."""

    @property
    def total(self) -> int:
        """Number of hops."""
        return self.by_name.total()

    def __repr__(self) -> str:
        return f"<Hops: {self.total}: {', '.join(f'{count} x {name}' for name, count in self.by_name.most_common())}>"


@contextmanager
def count_hops(*, at_most: int | None = None) -> Iterator[Hops]:
    """Count every ``sync_to_async`` hop of the block, and of the tasks started in it, by what was called.

    ``with count_hops() as hops: ...; assert hops.total == 1``. ``at_most`` is a budget: AssertionError, with the hops
    listed, if the block ends normally and has made more.
    """
    hops = Hops()
    with _hops_patched():
        token = _counting.set((*_counting.get(), hops))
        try:
            yield hops
        finally:
            _counting.reset(token)
    if at_most is not None and hops.total > at_most:
        raise AssertionError(f"{hops.total} thread hops, at most {at_most} were allowed: {hops!r}")


_counting: ContextVar[tuple[Hops, ...]] = ContextVar("daf_orm.hops", default=())


def _counted(call: Any) -> Any:
    """Wrap ``SyncToAsync.__call__``: asgiref has no signal for a hop."""

    @functools.wraps(call)
    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        if counting := _counting.get():
            called = self.func.subject if isinstance(self.func, HopOfCall) else _unwrapped(self.func)
            # A call that an executor passes on to another thread was counted when the executor got it.
            for hops in () if getattr(called, "continues_hop", False) else counting:
                hops.by_name[_name(called)] += 1
        return await call(self, *args, **kwargs)

    return counted


HOPS = PatchTable(Patch(owner=SyncToAsync, name="__call__", wrapper=_counted, why="count_hops() counts here"))
"""Active while anything counts; longer only where a tracer has wrapped the same method meanwhile."""
_users = 0
_users_lock = threading.Lock()


@contextmanager
def _hops_patched() -> Iterator[None]:
    global _users  # noqa: PLW0603 - one table per process
    with _users_lock:
        HOPS.forget_lost()
        HOPS.activate()
        _users += 1
    try:
        yield
    finally:
        with _users_lock:
            _users -= 1
            if not _users and HOPS.is_outermost():
                HOPS.deactivate()


def _unwrapped(func: Any) -> Any:
    while isinstance(func, functools.partial):
        func = func.func
    return func


def _name(func: Any) -> str:
    if inspect.ismethod(func) and "." not in func.__qualname__:
        return f"{type(func.__self__).__name__}.{func.__name__}"
    return getattr(func, "__qualname__", None) or type(func).__qualname__


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
