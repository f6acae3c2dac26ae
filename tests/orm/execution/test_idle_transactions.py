"""``TRANSACTION_IDLE_WARNING``: atomic blocks that hold their connection across a long foreign ``await``."""

import asyncio
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from daf_orm._core.call_site import CallSite
from daf_orm._execution import idle_transactions
from daf_orm._execution.idle_transactions import IdleWatch
from tests.orm.detection.loops import LOOPS
from tests.project.library.models import Author

LIMIT = 0.05


class Log(logging.Handler):
    """Collects records, and sets an event of the running test's loop for each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.event.set()


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    logger = logging.getLogger("daf_orm")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def short_limit(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DAF_ORM = {"TRANSACTION_IDLE_WARNING": LIMIT}
    monkeypatch.setattr(idle_transactions, "_logged", {})


@pytest.fixture
def every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_transactions, "INTERVAL", 0.0)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released whenever a block has been checked."""
    semaphore = asyncio.Semaphore(0)
    look = IdleWatch._look

    def count(self: IdleWatch) -> None:
        look(self)
        semaphore.release()

    monkeypatch.setattr(IdleWatch, "_look", count)
    return semaphore


async def acquire(semaphore: asyncio.Semaphore, times: int) -> None:
    for _ in range(times):
        await semaphore.acquire()


LINES = Path(__file__).read_text().splitlines()


def line_of(text: str) -> int:
    """Return the number of the first line of this file that ends with the text."""
    return next(number for number, line in enumerate(LINES, 1) if line.endswith(text))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    return record.idle_transaction  # type: ignore[attr-defined]


def timers() -> list[asyncio.TimerHandle]:
    """Return the timers of idle watches on the running loop."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled() and "IdleWatch" in repr(timer._callback)]


# Logged


async def test_the_line_of_the_block_and_of_the_await_are_logged(log: Log) -> None:
    async with transaction.atomic():  # the block
        await log.event.wait()  # the await

    (record,) = log.records
    function = sys._getframe().f_code.co_qualname
    block = f"{__file__}:{line_of('# the block')} in {function}"
    place = f"{__file__}:{line_of('# the await')} in {function}"
    assert (record.name, record.levelname) == ("daf_orm", "WARNING")
    assert record.getMessage() == (
        f"The atomic block at {block} has held its connection for {fields_of(record)['seconds']:.1f} s while awaiting "
        f"at {place} (await log.event.wait()). Move the wait before or after the block."
    )


async def test_the_record_has_fields_for_machines(log: Log) -> None:
    async with transaction.atomic():
        await log.event.wait()

    fields = fields_of(log.records[0])
    assert fields["block"]["filename"] == fields["awaiting"]["filename"] == __file__
    assert fields["block"]["lineno"] + 1 == fields["awaiting"]["lineno"]
    assert (fields["expression"], fields["count"]) == ("await log.event.wait()", 1)
    assert LIMIT <= fields["seconds"] < 20


async def charge(event: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        await event.wait()  # in a function


async def stream(event: asyncio.Event) -> AsyncIterator[int]:
    yield 1
    await event.wait()  # in a generator


async def consume(event: asyncio.Event) -> None:
    async for _ in stream(event):
        pass


@asynccontextmanager
async def client(event: asyncio.Event) -> AsyncIterator[None]:
    await event.wait()  # in a context manager
    yield


async def connect(event: asyncio.Event) -> None:
    async with client(event):
        pass


class Request:
    def __init__(self, event: asyncio.Event) -> None:
        self.event = event

    def __await__(self) -> Generator[Any, None, None]:
        return self.send().__await__()

    async def send(self) -> None:
        await self.event.wait()  # in an awaitable


async def post(event: asyncio.Event) -> None:
    await Request(event)


async def several(event: asyncio.Event) -> None:
    await asyncio.gather(charge(event), charge(event))  # in a gather


@pytest.mark.parametrize(
    ("wait", "marker"),
    [
        (charge, "# in a function"),
        (consume, "# in a generator"),
        (connect, "# in a context manager"),
        (post, "# in an awaitable"),
        (several, "# in a gather"),
    ],
)
async def test_the_await_is_the_innermost_one_of_the_user(log: Log, wait: Callable[..., Any], marker: str) -> None:
    async with transaction.atomic():
        await wait(log.event)

    (record,) = log.records
    assert fields_of(record)["awaiting"]["lineno"] == line_of(marker)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_every_event_loop_is_supported(log: Log, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        log.event = asyncio.Event()
        async with transaction.atomic():
            await log.event.wait()
        await get_pool().aclose()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())

    assert fields_of(log.records[0])["expression"] == "await log.event.wait()"


async def test_a_block_held_by_a_task_that_has_ended_is_logged_too(log: Log) -> None:
    """Such as a fixture's, which was entered in a separate task."""
    block = transaction.atomic()
    await asyncio.create_task(block.__aenter__())
    await log.event.wait()
    await block.__aexit__(None, None, None)

    assert " s without using it. Move the wait" in log.records[0].getMessage()
    assert fields_of(log.records[0])["awaiting"] is None


# The frequency


async def test_one_wait_is_logged_once(log: Log, looks: asyncio.Semaphore, every_time: None) -> None:
    async with transaction.atomic():
        await log.event.wait()
        await acquire(looks, 4)

    assert len(log.records) == 1


async def test_a_second_wait_after_a_query_is_logged_again(log: Log, every_time: None) -> None:
    async with transaction.atomic():
        await log.event.wait()
        await Author.objects.acount()
        log.event.clear()
        await log.event.wait()

    assert [fields_of(record)["count"] for record in log.records] == [1, 1]


async def test_blocks_of_one_line_are_logged_once_in_the_interval(log: Log, looks: asyncio.Semaphore) -> None:
    for unlogged in (0, 1, 2):
        async with transaction.atomic():
            while [entry[1] for entry in idle_transactions._logged.values()] != [unlogged]:
                await looks.acquire()

    assert len(log.records) == 1


def test_blocks_that_were_not_logged_are_counted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def times_at(now: float, line: int = 40) -> int:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        return idle_transactions._times_to_log(CallSite("shop/views.py", line, "detail"))

    assert [times_at(now) for now in (1000, 1010, 1059, 1060, 1061, 1120)] == [1, 0, 0, 3, 0, 2]
    assert times_at(1121, line=50) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_transactions, "MAX_ORIGINS", 3)
    for line in range(10):
        idle_transactions._times_to_log(CallSite("shop/views.py", line, "detail"))

    assert len(idle_transactions._logged) <= 3


# Not logged


async def test_a_long_query_is_no_idle_time(log: Log, looks: asyncio.Semaphore) -> None:
    leave = threading.Event()
    async with transaction.atomic():
        query = asyncio.create_task(database_sync_to_async(leave.wait)(20))
        await acquire(looks, 3)
        leave.set()
        await query

    assert log.records == []


async def test_a_block_that_keeps_querying_is_not_idle(log: Log, looks: asyncio.Semaphore) -> None:
    enough = asyncio.Event()

    async def query() -> None:
        while not enough.is_set():
            await Author.objects.acount()

    async with transaction.atomic():
        task = asyncio.create_task(query())
        await acquire(looks, 3)
        enough.set()
        await task

    assert log.records == []


@pytest.mark.allow_blocking(reason="it stalls the loop to see what that is taken for")
async def test_a_stalled_loop_does_not_count_as_an_await(log: Log, looks: asyncio.Semaphore) -> None:
    async with transaction.atomic():
        time.sleep(3 * LIMIT)  # noqa: ASYNC251 - it blocks the loop
        await looks.acquire()

    assert log.records == []


@pytest.mark.usefixtures("many_connections")
async def test_a_cursor_outside_a_transaction_may_wait(log: Log) -> None:
    async with cursor() as cur:
        await cur.execute("SELECT 1")
        assert timers() == []


async def test_none_switches_it_off(settings: Any) -> None:
    settings.DAF_ORM = {"TRANSACTION_IDLE_WARNING": None}
    async with transaction.atomic():
        assert timers() == []


def test_the_transaction_of_a_sync_parent_is_left_alone(log: Log) -> None:
    async def main() -> list[asyncio.TimerHandle]:
        async with transaction.atomic():
            await Author.objects.acreate(name="kept")
            return timers()

    assert async_to_sync(main)() == []
    assert Author.objects.get().name == "kept"


# Timers left on the loop


async def test_there_is_one_timer_for_a_lease_and_none_afterwards() -> None:
    async with transaction.atomic():
        async with transaction.atomic():
            assert len(timers()) == 1
        async with transaction.atomic(using="other"):
            assert len(timers()) == 1
        assert len(timers()) == 1

    assert timers() == []


async def test_a_block_inside_a_cursor_is_watched() -> None:
    async with cursor(), transaction.atomic():
        assert len(timers()) == 1

    assert timers() == []


async def test_a_block_that_raises_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            raise ZeroDivisionError

    assert timers() == []


async def test_a_block_that_cannot_begin_leaves_nothing() -> None:
    async with transaction.atomic():
        with pytest.raises(RuntimeError, match="durable"):
            async with transaction.atomic(durable=True):
                pass
        assert len(timers()) == 1

    assert timers() == []


async def test_a_block_that_is_cancelled_while_it_waits_is_rolled_back_and_leaves_nothing(log: Log) -> None:
    async def pay() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            await asyncio.Event().wait()

    task = asyncio.create_task(pay())
    await log.event.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert timers() == []
    assert await Author.objects.acount() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_dropped_task_is_not_kept_alive(log: Log, looks: asyncio.Semaphore) -> None:
    entered = asyncio.Event()

    async def drop() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            entered.set()
            await asyncio.get_running_loop().create_future()

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
    task = weakref.ref(asyncio.create_task(drop()))
    await entered.wait()
    await acquire(looks, 2)
    gc.collect()

    assert task() is None
    assert await Author.objects.acount() == 0
    while timers():
        await asyncio.sleep(LIMIT)
