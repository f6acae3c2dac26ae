"""``AsyncConcurrencyThrottle``: a limit of concurrent requests."""

from __future__ import annotations

import asyncio
import functools
import secrets
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync

from daf_views._core.drain import current_drain
from daf_views.exceptions import ServiceUnavailableError, ThrottledError
from daf_views.http.request import call_when_closed, call_with_response
from daf_views.throttling.headers import PROBLEM_TYPE, is_answered, note, quoted, with_limits
from daf_views.throttling.operations import Enter, Entry, Leave
from daf_views.throttling.rates import MICROSECONDS
from daf_views.throttling.throttle import AsyncThrottle, requests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest

MAX_LIMIT = 1000
_TOKEN_BITS = 52  # as many as a number of Lua's holds
HOLD = 60
"""Seconds after which the slot of a dead process is free again. A live process renews its slots in time."""


class AsyncConcurrencyThrottle(AsyncThrottle):
    """Lets through ``limit`` requests of each key at the same time: ``AsyncConcurrencyThrottle(5, key=keys.user)``.

    A request holds its slot until its response has been sent, and a stream as long as it lasts. One that finds none is
    answered 429 at once. Other options: see :class:`~daf_views.throttling.throttle.AsyncThrottle`.
    """

    limit: int | None = None

    def __init__(self, limit: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        given = self.limit if limit is None else limit
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MAX_LIMIT:
            raise ValueError(f"{type(self).__qualname__}.limit must be a number from 1 to {MAX_LIMIT}, not {given!r}.")
        self.limit = given
        self._places = given
        self._name = self.scope or f"{given} at a time"

    async def check(self, request: HttpRequest, view: Any = None) -> None:
        """Take a slot for the request. Raise ThrottledError if there is none, a 503 if the backend cannot be asked."""
        key, where = await self._storage_key(request, view, ["concurrent", self._places])
        if key is None:
            return
        enter = Enter(secrets.randbits(_TOKEN_BITS), self._places, round(HOLD * MICROSECONDS))
        place = _HeldSlot(request, enter, functools.partial(self._run, key))
        entry = await place.taken()
        if entry is None:
            return
        requests.add(where, "allowed" if entry.allowed else "refused")
        name = quoted(self._name)
        free = self._places - entry.taken
        note(request, f'{name};q={self._places};qu="concurrent-requests"', f"{name};r={free}")
        if not entry.allowed:
            raise ThrottledError(
                f"Too many concurrent requests: the limit is {self._places}.",
                type=PROBLEM_TYPE,
                retry_after=1,
                **{"violated-policies": [self._name]},
            )


class _HeldSlot:
    """The slot of one request, from its entry until the request is closed.

    Django's handler does not close a request that was cut off before there was a response. Then the slot is released
    when the task ends that the request was let through in, or else when the request is garbage-collected.

    The entry runs in a separate task, which the cancellation of a request does not affect. Otherwise one thread might
    release the slot before another has taken it, and the slot would then stay taken.
    """

    __slots__ = ("_enter", "_entering", "_is_held", "_loop", "_request", "_run", "_task", "_timer")

    def __init__(self, request: HttpRequest, enter: Enter, run: Callable[[Any], Awaitable[Any]]) -> None:
        self._request = weakref.ref(request)
        self._enter = enter
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._entering = self._start(run(enter))
        self._is_held = True
        call_when_closed(request, self.leave)
        call_with_response(request, with_limits)  # after which the request is answered
        weakref.finalize(request, self.leave).atexit = False
        self._task = asyncio.current_task()
        if self._task is not None:
            self._task.add_done_callback(self._leave_if_cut_off)

    async def taken(self) -> Entry | None:
        """Return the entry, or None if the count failed. The slot may be taken: it is released in either case."""
        try:
            entry: Entry | None = await asyncio.shield(self._entering)
        except asyncio.CancelledError:
            if self._entering.cancelled() and not (self._task and self._task.cancelling()):
                raise ServiceUnavailableError(code="throttle_unavailable") from None  # the drain is over
            raise
        if entry is not None and not entry.allowed:
            self._is_held = False
        self._hold_on()
        return entry

    def leave(self) -> None:
        """Release the slot soon, from any thread. Idempotent."""
        if not self._is_held:
            return
        self._is_held = False
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leave_soon)
        elif asyncio._get_running_loop() is None:  # noqa: SLF001 - the cheap way to ask; under WSGI, whose loop has ended
            async_to_sync(self._give_back)()

    def _leave_if_cut_off(self, task: asyncio.Task[Any]) -> None:
        request = self._request()
        if task.cancelled() or task.exception() is not None or request is None or not is_answered(request):
            self.leave()

    def _leave_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.remove_done_callback(self._leave_if_cut_off)
        self._start(self._give_back())

    def _hold_on(self) -> None:
        if self._is_held:
            self._timer = self._loop.call_later(HOLD / 3, lambda: self._start(self._hold_longer()))

    async def _hold_longer(self) -> None:
        if self._task is not None and self._task.done():
            return  # at most a response is still being sent, and the request might never be closed
        self._entering = asyncio.ensure_future(self._run(self._enter))
        with suppress(ServiceUnavailableError):  # it has been logged; the next time comes soon enough
            await self._entering
        self._hold_on()

    async def _give_back(self) -> None:
        if not self._loop.is_closed():
            await asyncio.gather(self._entering, return_exceptions=True)  # also of one that failed, perhaps too late
        with suppress(ServiceUnavailableError):  # it has been logged; the slot is free after HOLD
            await self._run(Leave(self._enter.token))

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        current_drain().keep(task)
        return task
