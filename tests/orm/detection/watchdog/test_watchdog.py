"""The watchdog: stalls of an event loop are noticed, placed, counted and logged; nothing else is."""

import asyncio
import functools
import gc
import json
import logging
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from daf_orm import allow_blocking
from daf_orm._core.call_site import CallSite
from daf_orm.detection.watchdog import stalls, watchdog
from daf_orm.detection.watchdog.stalls import Sample, Stalls
from tests.orm.detection.loops import LOOPS
from tests.project.library.models import Author
from tests.support.processes import run_program

pytestmark = pytest.mark.no_database

THRESHOLD = 0.05
LONG = 0.5
"""A threshold that a busy machine alone does not reach, for tests without a stall."""
WAIT = 20.0
LINES = Path(__file__).read_text().splitlines()
STALLS = {
    "block()",
    "json.loads(body)",
    "seen.get(timeout=WAIT)",
    "self._new.acquire(timeout=WAIT)",
    "sum(range(20_000_000))",
    "thread.join()",
}
"""The ways in which the tests block their loops."""
ON_PURPOSE = "the stall that the watchdog is to notice"


class Log(logging.Handler):
    """Collects records of the tests' own stalls. ``next()`` waits for one that no earlier call has returned."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._new = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if stall_of(record)["expression"] in STALLS:  # the others are those of a busy machine
            self.records.append(record)
            self._new.release()

    def wait(self) -> logging.LogRecord:
        assert self._new.acquire(timeout=WAIT)
        return self.records[-1]

    async def next(self) -> logging.LogRecord:
        return await asyncio.to_thread(self.wait)


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    logger = logging.getLogger("daf_orm.blocking")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def watchdog_on(settings: Any) -> None:
    settings.DAF_ORM = {"WATCHDOG": {"THRESHOLD": THRESHOLD}}


@pytest.fixture
def long_threshold(settings: Any) -> None:
    settings.DAF_ORM = {"WATCHDOG": {"THRESHOLD": LONG}}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[Sample]:
    """The samples of stalled loops, soon after they are taken: on a busy machine the watchdog's delays do not count."""
    samples: SimpleQueue[Sample] = SimpleQueue()

    def take_sample(thread: int) -> Sample:
        sample = stalls.take_sample(thread)
        threading.Timer(2 * THRESHOLD, samples.put, [sample]).start()
        return sample

    monkeypatch.setattr(watchdog, "take_sample", take_sample)
    return samples


@pytest.fixture
def block(seen: SimpleQueue[Sample]) -> Callable[[], object]:
    """Block until the watchdog has seen it, without a line of Python."""
    return functools.partial(seen.get, timeout=WAIT)


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Let the loop run until the watchdog has got a few answers."""
    answers = threading.Semaphore(0)
    answer = watchdog.WatchedLoop.answer

    def count(self: watchdog.WatchedLoop, beat: watchdog.Beat) -> None:
        answer(self, beat)
        answers.release()

    monkeypatch.setattr(watchdog.WatchedLoop, "answer", count)

    async def wait() -> None:
        for _ in range(3):
            assert await asyncio.to_thread(answers.acquire, timeout=WAIT)

    return wait


def line_of(text: str) -> int:
    """Return the number of the first line of this file that ends with the text."""
    return next(number for number, line in enumerate(LINES, 1) if line.endswith(text))


def stall_of(record: logging.LogRecord) -> dict[str, Any]:
    return record.stall  # type: ignore[attr-defined]


async def test_a_stall_is_logged_with_its_line_when_it_is_over(log: Log, block: Callable[[], object]) -> None:
    watchdog.watch_running_loop()
    block()  # the stall
    record = await log.next()

    place = f"{__file__}:{line_of('# the stall')} in {sys._getframe().f_code.co_qualname}"
    assert (record.name, record.levelname) == ("daf_orm.blocking", "WARNING")
    seconds = stall_of(record)["seconds"]
    assert seconds >= THRESHOLD
    assert f"The event loop was blocked for {seconds:.2f} s at {place}: block(). Do that in a thread: " in (
        record.getMessage()
    )
    assert place in watchdog.get_stats()["sites"]


async def test_the_record_has_fields_for_machines(log: Log, seen: SimpleQueue[Sample]) -> None:
    watchdog.watch_running_loop()

    def wait(value: str) -> int:
        seen.get(timeout=WAIT)
        return int(value)

    json.loads("[1]", parse_int=wait)  # through a library
    stall = stall_of(await log.next())

    assert stall["filename"] == __file__
    assert (stall["lineno"], stall["expression"]) == (line_of("seen.get(timeout=WAIT)"), "seen.get(timeout=WAIT)")
    assert stall["function"].endswith("<locals>.wait")
    assert (stall["count"], stall["lasts"]) == (1, False)
    assert any("json/decoder.py" in entry for entry in stall["stack"])
    assert stall["stack"][-1].endswith("in Handle._run")


async def test_the_line_is_the_users_where_a_library_blocks(log: Log, seen: SimpleQueue[Sample]) -> None:
    watchdog.watch_running_loop()
    thread = threading.Thread(target=seen.get, daemon=True)
    thread.start()
    with allow_blocking(reason=ON_PURPOSE):
        thread.join()  # in the library
    stall = stall_of(await log.next())

    assert (stall["expression"], stall["lineno"]) == ("thread.join()", line_of("# in the library"))


async def test_one_that_lasts_is_logged_while_it_lasts_and_counted_once(
    log: Log, beats: Callable[[], Awaitable[None]]
) -> None:
    started = time.monotonic()
    watchdog.watch_running_loop()
    with allow_blocking(reason=ON_PURPOSE):
        record = log.wait()  # the loop is blocked until it has been logged
    logged = time.monotonic()
    await beats()
    ended = time.monotonic()

    seconds = stall_of(record)["seconds"]
    assert f"The event loop has been blocked for {seconds:.2f} s" in record.getMessage()
    assert stall_of(record)["lasts"]
    assert watchdog.PATIENCE * THRESHOLD <= seconds <= logged - started
    (site,) = [site for place, site in watchdog.get_stats()["sites"].items() if place.endswith("Log.wait")]
    assert (len(log.records), site["stalls"]) == (1, 1)
    assert round(seconds * 1000) <= site["longest_ms"] <= round((ended - started) * 1000)


async def test_a_line_is_logged_once_in_the_interval_and_counted_always(
    log: Log, block: Callable[[], object], beats: Callable[[], Awaitable[None]]
) -> None:
    watchdog.watch_running_loop()
    place = f"{__file__}:{line_of('# again')} in {sys._getframe().f_code.co_qualname}"
    while watchdog.get_stats()["sites"].get(place, {"stalls": 0})["stalls"] < 3:
        block()  # again
        await beats()

    assert len(log.records) == 1


async def test_different_lines_are_logged_each(log: Log, block: Callable[[], object]) -> None:
    watchdog.watch_running_loop()
    block()
    first = await log.next()
    block()
    second = await log.next()

    assert stall_of(second)["lineno"] == stall_of(first)["lineno"] + 2


def test_stalls_that_were_not_logged_are_counted_later(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Stalls(interval=60, max_sites=10)
    sample = Sample(CallSite("shop/views.py", 41, "detail"), "json.loads(body)")
    for now in (0.0, 59.0, 60.0):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        counted.add(sample, 0.311, lasts=False)

    message = "The event loop was blocked for 0.31 s at shop/views.py:41 in detail: json.loads(body)."
    assert [record.getMessage().partition(" Do that")[0] for record in log.records] == [
        message,
        message + " (2 times since this was logged)",
    ]


def test_memory_is_bounded() -> None:
    counted = Stalls(interval=60, max_sites=3)
    for line in (1, 2, 3, 1, 4, 5):
        counted.add(Sample(CallSite("views.py", line, "view")), line / 10, lasts=False)

    stats = counted.get_stats()
    assert list(stats["sites"]) == [f"views.py:{line} in view" for line in (1, 4, 5)]
    assert stats["sites"]["views.py:1 in view"] == {"stalls": 2, "longest_ms": 100}
    assert (stats["stalls"], stats["longest_ms"]) == (6, 500)


async def test_code_in_c_that_keeps_the_interpreter_is_seen(
    log: Log, beats: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DAF_ORM = {"WATCHDOG": {"THRESHOLD": THRESHOLD, "INTERVAL": 0.01}}
    monkeypatch.setattr(watchdog, "BUSY", 1000)  # other processes may need the processor for as long
    watchdog.watch_running_loop()
    while not log.records:  # on a busy machine it may take more than one
        await beats()
        for _ in range(3):  # between two of them the watchdog has the interpreter, and asks the loop for a beat
            sum(range(20_000_000))  # in C
        await beats()
    stall = stall_of(log.records[0])

    assert (stall["expression"], stall["lineno"]) == ("sum(range(20_000_000))", line_of("# in C"))


# No stall


async def test_a_loop_that_waits_is_not_stalled(beats: Callable[[], Awaitable[None]], long_threshold: None) -> None:
    watchdog.watch_running_loop()
    await beats()
    await asyncio.sleep(2 * LONG)
    await beats()

    assert watchdog.get_stats() == {"stalls": 0, "longest_ms": 0, "sites": {}}


def test_a_loop_that_is_not_running_is_not_stalled(beats: Callable[[], Awaitable[None]], long_threshold: None) -> None:
    async def use() -> None:
        watchdog.watch_running_loop()
        await beats()

    with asyncio.Runner() as runner:
        for _ in range(2):
            runner.run(use())
            time.sleep(2 * LONG)  # the loop stands still, as it may
        runner.run(use())

    assert watchdog.get_stats()["stalls"] == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("many_connections")
def test_a_suspended_process_is_not_stalled() -> None:
    """Its watchdog was suspended too."""
    output = run_program("""
import logging, time
from daf_orm.detection import watchdog
from django.test import override_settings
override_settings(DAF_ORM={"WATCHDOG": {"THRESHOLD": 0.5}}).enable()

async def main():
    await Author.objects.acount()
    for _ in range(2):
        pid = os.getpid()
        command = f"kill -STOP {pid}; sleep 1.5; kill -CONT {pid}"
        await (await asyncio.create_subprocess_exec("sh", "-c", command)).wait()
        await asyncio.sleep(0.6)
    assert watchdog.get_stats() == {"stalls": 0, "longest_ms": 0, "sites": {}}, watchdog.get_stats()
    logging.disable()
    time.sleep(1.2)
    await asyncio.sleep(0.6)
    print(watchdog.get_stats()["stalls"])

asyncio.run(main())
""")
    assert output == "1\n"


# Loops


def run_in_thread(main: Coroutine[Any, Any, None]) -> threading.Thread:
    thread = threading.Thread(target=asyncio.run, args=(main,))
    thread.start()
    return thread


def test_loops_in_several_threads_are_watched_each_for_itself(log: Log, block: Callable[[], object]) -> None:
    leave = threading.Event()

    async def behave() -> None:
        watchdog.watch_running_loop()
        while not leave.is_set():
            await asyncio.sleep(0)

    async def stall() -> None:
        watchdog.watch_running_loop()
        block()  # one of several
        await log.next()
        leave.set()

    threads = [run_in_thread(behave()), run_in_thread(stall())]
    for thread in threads:
        thread.join(WAIT)

    assert [stall_of(record)["lineno"] for record in log.records] == [line_of("# one of several")]


async def stall_in_coroutine(block: Callable[[], object]) -> None:
    block()  # in a coroutine


async def stall_in_callback(block: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_soon(lambda: block())  # in a callback


@pytest.mark.parametrize("stall", [stall_in_coroutine, stall_in_callback])
@pytest.mark.parametrize("new_loop", LOOPS)
def test_every_event_loop_is_understood(
    log: Log, block: Callable[[], object], stall: Callable[..., Any], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def main() -> None:
        watchdog.watch_running_loop()
        await stall(block)
        await log.next()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())

    (record,) = log.records
    marker = "# in a coroutine" if stall is stall_in_coroutine else "# in a callback"
    assert (stall_of(record)["lineno"], stall_of(record)["expression"]) == (line_of(marker), "block()")


def resting(active: watchdog.Watchdog) -> bool:
    deadline = time.monotonic() + WAIT
    while not (active._rests and not active._loops) and time.monotonic() < deadline:
        time.sleep(0.001)
    return active._rests


def test_closed_loops_are_forgotten_and_cost_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> asyncio.AbstractEventLoop:
        watchdog.watch_running_loop()
        return asyncio.get_running_loop()

    loops = [asyncio.run(use()) for _ in range(3)]
    active = watchdog._watchdog
    assert active is not None
    assert resting(active)
    assert active._loops == {}
    assert all(loop.is_closed() for loop in loops)

    waits: list[float] = []
    monkeypatch.setattr(active, "_attend", lambda *_: waits.append(1.0))
    time.sleep(5 * THRESHOLD)
    assert resting(active)
    assert waits == []


def test_a_resting_watchdog_wakes_for_the_next_loop(log: Log, block: Callable[[], object]) -> None:
    async def use() -> None:
        watchdog.watch_running_loop()

    async def stall() -> None:
        watchdog.watch_running_loop()
        block()
        await log.next()

    asyncio.run(use())
    assert watchdog._watchdog is not None
    assert resting(watchdog._watchdog)
    asyncio.run(stall())


def test_no_loop_lives_longer_for_being_watched(
    beats: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        watchdog.watch_running_loop()
        await beats()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    assert watchdog._watchdog is not None
    monkeypatch.setattr(
        watchdog._watchdog, "_attend", lambda *_: True
    )  # it does not even notice that the loop is closed
    time.sleep(2 * THRESHOLD)
    loop.close()
    reference = weakref.ref(loop)
    del loop
    gc.collect()

    assert reference() is None


# Switching it on and off


@pytest.mark.django_db(transaction=True)
async def test_a_loop_is_watched_from_its_first_use_of_the_database(log: Log, block: Callable[[], object]) -> None:
    await Author.objects.acount()
    block()
    await log.next()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("off", [{}, {"WATCHDOG": None}])
async def test_it_is_off_unless_configured(settings: Any, off: dict[str, Any]) -> None:
    settings.DAF_ORM = off
    assert watchdog.wanted
    await Author.objects.acount()

    assert not watchdog.wanted
    assert watchdog._watchdog is None
    assert watchdog.get_stats() == {"stalls": 0, "longest_ms": 0, "sites": {}}


async def test_a_change_of_the_settings_starts_it_anew(settings: Any) -> None:
    watchdog.watch_running_loop()
    old = watchdog._watchdog
    assert old is not None
    settings.DAF_ORM = {"WATCHDOG": {"THRESHOLD": 3, "MAX_SITES": 7, "INTERVAL": 1.5}}
    await asyncio.to_thread(old._thread.join, WAIT)
    assert not old._thread.is_alive()
    assert watchdog._watchdog is None
    watchdog.watch_running_loop()

    new = watchdog._watchdog
    assert new is not None
    assert (new._threshold, new.stalls._max_sites, new.stalls._interval) == (3, 7, 1.5)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("many_connections")
def test_a_forked_child_has_a_new_watchdog() -> None:
    output = run_program("""
import logging
from daf_orm.detection import watchdog
from django.test import override_settings
override_settings(DAF_ORM={"WATCHDOG": {"THRESHOLD": 0.1}}).enable()

class Log(logging.Handler):
    def emit(self, record):
        if record.stall["function"] == "stall":
            print(record.levelname, flush=True)
            logged.set()

async def stall():
    await Author.objects.acount()
    logged.wait(20)

logged = threading.Event()
logging.getLogger("daf_orm.blocking").addHandler(Log())
asyncio.run(stall())
if (child := os.fork()) == 0:
    logged.clear()
    assert watchdog.get_stats()["stalls"] == 0
    asyncio.run(stall())
    assert watchdog.get_stats()["stalls"] >= 1
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
""")
    assert output == 2 * "WARNING\n"
