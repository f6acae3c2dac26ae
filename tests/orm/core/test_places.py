"""Calls begin in few places, and a waiting call keeps no other waiting."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from daf_orm._core import places
from daf_orm._core.call_thread import CallThread
from daf_orm._core.places import AT_ONCE, Places, begin_waiting, end_waiting

pytestmark = pytest.mark.no_database
PATIENCE = 30


class Threads:
    """A thread for each call."""

    def __init__(self) -> None:
        self.places = Places()
        self.all: list[CallThread] = []

    def run_call(self, call: "Crowd", loop: asyncio.AbstractEventLoop) -> None:
        self.all.append(CallThread(self.places))
        self.places.run_call(call, self.all[-1], loop)


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    for thread in threads.all:
        thread.shutdown()


class Crowd:
    """Calls that each begin, wait until they may go on, and end."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.began = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.ended = threading.Semaphore(0)
        self.refused: list[BaseException] = []
        self._before = before

    def refuse(self, error: BaseException) -> None:
        self.refused.append(error)

    def __call__(self) -> None:
        place = self._before()
        self.began.release()
        assert self.go_on.wait(PATIENCE)
        if place is not None:
            end_waiting(place)  # type: ignore[arg-type]
        self.ended.release()

    async def has(self, number: int, semaphore: threading.Semaphore) -> None:
        for _ in range(number):
            assert await asyncio.to_thread(semaphore.acquire, timeout=PATIENCE)


async def test_few_calls_run_at_once(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LONG", float(PATIENCE))
    crowd = Crowd()
    for _ in range(AT_ONCE + 3):
        threads.run_call(crowd, asyncio.get_running_loop())

    await crowd.has(AT_ONCE, crowd.began)
    await asyncio.sleep(5 * places.MOMENT)  # the queue is checked meanwhile
    assert not crowd.began.acquire(blocking=False)

    crowd.go_on.set()
    await crowd.has(AT_ONCE + 3, crowd.ended)


@pytest.mark.parametrize(("before", "long"), [(begin_waiting, PATIENCE), (lambda: None, places.LONG)])
async def test_a_call_that_waits_keeps_none_waiting(
    threads: Threads, monkeypatch: pytest.MonkeyPatch, before: Callable[[], object], long: float
) -> None:
    """It waits for its database, or for something unreported."""
    monkeypatch.setattr(places, "LONG", float(long))
    waiting = Crowd(before)
    for _ in range(AT_ONCE + 3):
        threads.run_call(waiting, asyncio.get_running_loop())

    await waiting.has(AT_ONCE + 3, waiting.began)
    waiting.go_on.set()
    await waiting.has(AT_ONCE + 3, waiting.ended)


async def test_places_are_neither_lost_nor_made(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    for before, long in ((begin_waiting, PATIENCE), (lambda: None, places.LONG), (lambda: None, PATIENCE)):
        monkeypatch.setattr(places, "LONG", float(long))
        crowd = Crowd(before)
        for _ in range(2 * AT_ONCE):
            threads.run_call(crowd, asyncio.get_running_loop())
        await crowd.has(AT_ONCE, crowd.began)
        crowd.go_on.set()
        await crowd.has(2 * AT_ONCE, crowd.ended)

    await test_few_calls_run_at_once(threads, monkeypatch)


async def test_other_submitted_functions_run_beside_them(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LONG", float(PATIENCE))
    crowd = Crowd()
    for _ in range(AT_ONCE):
        threads.run_call(crowd, asyncio.get_running_loop())
    await crowd.has(AT_ONCE, crowd.began)

    assert await asyncio.wrap_future(CallThread(threads.places).submit(lambda: "beside")) == "beside"
    crowd.go_on.set()


async def test_a_call_whose_thread_has_ended_is_refused_and_the_next_begins(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LONG", float(PATIENCE))
    crowd, refused, last = Crowd(), Crowd(), Crowd()
    for _ in range(AT_ONCE):
        threads.run_call(crowd, asyncio.get_running_loop())
    await crowd.has(AT_ONCE, crowd.began)
    threads.run_call(refused, asyncio.get_running_loop())
    threads.all[-1].shutdown()
    threads.run_call(last, asyncio.get_running_loop())
    crowd.go_on.set()

    await last.has(1, last.began)
    assert [str(error) for error in refused.refused] == ["The thread of this lease takes no calls after shutdown()."]
    last.go_on.set()


def test_calls_of_a_loop_that_is_gone_keep_no_other_loop_waiting(threads: Threads) -> None:
    crowd = Crowd()

    async def call() -> None:
        for _ in range(AT_ONCE + 1):
            threads.run_call(crowd, asyncio.get_running_loop())
        await crowd.has(AT_ONCE, crowd.began)

    asyncio.run(call())
    asyncio.run(call())
    crowd.go_on.set()
