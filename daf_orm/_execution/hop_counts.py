"""Count thread hops by what was called: for tests, and for the panel of django-debug-toolbar."""

from __future__ import annotations

import functools
import inspect
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync

from daf_orm._execution.routes.thread import HopOfCall
from daf_orm.patches import Patch, PatchTable

if TYPE_CHECKING:
    from collections.abc import Iterator


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
            with suppress(ValueError):  # in another context: the task of the block was dropped
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
