"""The I/O tier: calls that block without a database are found, trivia and plumbing are left alone."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.redis import RedisCache

from daf_orm import BlockingCall, BlockingCallError, allow_blocking
from daf_orm.detection import allowances, guard, record_blocking, recorders
from daf_orm.detection.allowances import Allowance
from daf_orm.detection.io import functions as io_functions
from daf_orm.detection.io import guard as io_guard
from daf_orm.detection.io.remedies import remedy
from daf_orm.detection.recorders import CallList
from tests.orm.detection.io.shapes import Blocking, Harmless
from tests.orm.detection.loops import LOOPS

pytestmark = pytest.mark.no_database
each_loop = pytest.mark.parametrize("new_event_loop", LOOPS)


def each(shapes: type) -> Any:
    return pytest.mark.parametrize("name", [name for name in vars(shapes) if not name.startswith("_")])


@pytest.fixture(autouse=True)
def active() -> Iterator[None]:
    was_active = io_guard.is_active()
    io_guard.activate()
    yield
    if not was_active:
        io_guard.deactivate()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> CallList:
    """Every call that is recorded, instead of the other recorders."""
    seen = CallList()
    monkeypatch.setattr(recorders, "_recorders", [seen])
    monkeypatch.setattr(guard, "_forced_mode", "raise")
    return seen


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "file").write_text("text")
    (tmp_path / "page.html").write_text("{{ x }}")
    (tmp_path / "reads_when_imported.py").write_text("from pathlib import Path\n\nTEXT = Path(__file__).read_text()")
    monkeypatch.syspath_prepend(tmp_path)
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger("tests.io").addHandler(handler)
    yield tmp_path
    sys.modules.pop("reads_when_imported", None)
    logging.getLogger("tests.io").removeHandler(handler)
    handler.close()


def run(new_event_loop: Callable[[], Any], body: Any, *args: Any) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(body(*args))


def place(function: Any) -> tuple[int, str]:
    """Return the line that blocks, and its operation, which is its comment."""
    lines, first = inspect.getsourcelines(function)
    ((offset, operation),) = [(i, line.rpartition("  # ")[2]) for i, line in enumerate(lines) if "  # " in line]
    return first + offset, operation.strip()


# Found


@each_loop
@each(Blocking)
def test_a_blocking_call_is_recorded_with_its_line_and_operation(
    new_event_loop: Any, name: str, directory: Path
) -> None:
    body = getattr(Blocking, name)

    with record_blocking() as calls:
        run(new_event_loop, body, directory)

    call = calls[0]
    assert (call.lineno, call.operation) == place(body), calls
    assert call.filename == inspect.getsourcefile(body)
    assert call.expression
    assert call.suggestion.startswith(("Use ", "Do it "))
    assert "…)" not in call.suggestion.partition(", or")[2]


@each_loop
@each(Blocking)
def test_a_blocking_call_is_refused(new_event_loop: Any, name: str, directory: Path, seen: CallList) -> None:
    with pytest.raises(BlockingCallError) as raised:
        run(new_event_loop, getattr(Blocking, name), directory)

    assert raised.value.call == seen.calls[0]


@each_loop
@each(Harmless)
def test_a_harmless_call_is_left_alone(new_event_loop: Any, name: str, directory: Path, seen: CallList) -> None:
    run(new_event_loop, getattr(Harmless, name), directory)

    assert [str(call) for call in seen.calls] == []


def test_a_call_is_one_call_however_often_it_reads() -> None:
    async def copy() -> None:
        import_module("shutil").copyfile(__file__, os.devnull)
        time.sleep(0)  # noqa: ASYNC251
        time.sleep(0)  # noqa: ASYNC251

    with record_blocking() as calls:
        asyncio.run(copy())

    assert [call.operation for call in calls] == ["open", "time.sleep", "time.sleep"]


@each_loop
def test_the_code_that_runs_the_loop_may_block(new_event_loop: Any, seen: CallList) -> None:
    loop = new_event_loop()
    try:
        loop.run_until_complete(asyncio.sleep(0))
        time.sleep(0)
    finally:
        loop.close()

    assert seen.calls == []


@each_loop
def test_a_coroutine_run_without_a_runner_is_seen(new_event_loop: Any, seen: CallList, directory: Path) -> None:
    loop = new_event_loop()
    try:
        with pytest.raises(BlockingCallError):
            loop.run_until_complete(Blocking.sleep(directory))
    finally:
        loop.close()


def test_a_library_that_blocks_on_its_own_account_is_left_alone(seen: CallList, tmp_path: Path) -> None:
    module = tmp_path / "site-packages" / "library.py"
    namespace: dict[str, Any] = {"time": time}
    exec(compile("async def own_task(): time.sleep(0)", str(module), "exec"), namespace)

    asyncio.run(namespace["own_task"]())
    assert seen.calls == []

    async def caller() -> None:
        await namespace["own_task"]()

    with pytest.raises(BlockingCallError) as raised:
        asyncio.run(caller())
    assert raised.value.call.function.endswith("caller")
    assert "The awaited code blocks inside" in raised.value.call.suggestion


def test_a_redis_cache_is_seen_before_it_connects(seen: CallList) -> None:
    async def get() -> None:
        RedisCache("redis://127.0.0.1:1", {}).get("key")

    with pytest.raises(BlockingCallError, match=r"await RedisCache\(.*\)\.aget\(\"key\"\)"):
        asyncio.run(get())


def test_a_users_log_handler_is_left_alone(seen: CallList, directory: Path) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            traceback.format_exc()
            (directory / "own").write_text("x")

    async def log() -> None:
        logger.error("x")

    logger = logging.getLogger("tests.io.own")
    logger.addHandler(Handler())
    asyncio.run(log())

    assert (directory / "own").read_text() == "x"
    assert seen.calls == []


# The suggestion


@pytest.mark.parametrize(
    ("operation", "source", "suggestion"),
    [
        ("time.sleep", "time.sleep(delay * 2)", "Use await asyncio.sleep(delay * 2)."),
        ("cache.get", 'cache.get("a", 1)', 'Use await cache.aget("a", 1).'),
        ("cache.get", 'request.session["a"]', "Use await cache.aget(…)."),
        ("check_password", "check_password(a, b)", "Use await acheck_password(a, b)."),
        ("make_password", "user.set_password(p)", "Do it in a thread: await asyncio.to_thread(user.set_password, p)."),
        ("open", "path.read_text()", "Do it in a thread: await asyncio.to_thread(path.read_text)."),
        ("os.listdir", "a.b", "Do it in a thread: await asyncio.to_thread(lambda: a.b)."),
        ("os.listdir", "(await a()).b", "Do it in a thread: await asyncio.to_thread(func, …)."),
        ("os.listdir", "", "Do it in a thread: await asyncio.to_thread(func, …)."),
        ("open", "f(*a, b=1, **c)", "Do it in a thread: await asyncio.to_thread(f, *a, b=1, **c)."),
        ("Future.result", "task.result()", "Use await asyncio.wrap_future(task)."),
        ("Future.result", "task.result(3)", "Use await asyncio.wait_for(asyncio.wrap_future(task), 3)."),
        ("Future.result", "int(task.result())", "Use await asyncio.wrap_future(task)."),
        (
            "Executor.__exit__",
            "P(2)",
            "Use executor = P(2), and in a finally block await asyncio.to_thread(executor.shutdown), in place of with.",
        ),
        ("Event.wait", "e.wait()", "Use asyncio.Event, or do it in a thread: await asyncio.to_thread(e.wait)."),
        ("call_command", 'call_command("x")', 'Do it in one hop: await database_sync_to_async(call_command)("x").'),
        ("socket.getaddrinfo", "socket.getaddrinfo(h, 1)", "Use await asyncio.get_running_loop().getaddrinfo(…)."),
    ],
)
def test_the_suggestion(operation: str, source: str, suggestion: str) -> None:
    assert remedy(operation, source) == suggestion


# Allowances and modes


async def sleep() -> None:
    time.sleep(0)  # noqa: ASYNC251


def test_a_scope_allows_it(seen: CallList) -> None:
    async def allowed() -> None:
        with allow_blocking(reason="a test"):
            await sleep()

    asyncio.run(allowed())
    assert seen.calls == []


def test_the_settings_list_allows_it(seen: CallList, settings: Any) -> None:
    settings.DAF_ORM = {"ALLOW_BLOCKING": [f"{__name__}:sleep"]}

    asyncio.run(sleep())
    assert seen.calls == []


def test_a_tests_marker_allows_it(seen: CallList) -> None:
    allowance = Allowance("a test", "here")
    allowances.allow_everywhere(allowance)
    try:
        asyncio.run(sleep())
    finally:
        allowances.disallow_everywhere(allowance)

    assert (seen.calls, allowance.uses) == ([], 1)


def test_mode_log_lets_it_through_and_logs_it(seen: CallList, caplog: Any) -> None:
    guard.force_mode("log")

    asyncio.run(sleep())

    (call,) = seen.calls
    assert isinstance(call, BlockingCall)
    assert str(call).endswith(
        "in sleep: time.sleep(0) → runs time.sleep on the event loop. Use await asyncio.sleep(0)."
    )


def test_mode_warn_warns(seen: CallList) -> None:
    guard.force_mode("warn")

    with pytest.warns(guard.BlockingCallWarning, match=r"time\.sleep"):
        asyncio.run(sleep())


def test_mode_off_is_silent(seen: CallList) -> None:
    guard.force_mode("off")

    asyncio.run(sleep())
    assert seen.calls == []


# Activation


def test_every_function_is_restored() -> None:
    io_guard.deactivate()
    rows = tuple(io_functions.rows())
    before = [vars(row.owner).get(row.name) for row in rows]

    io_guard.activate()
    during = [vars(row.owner).get(row.name) for row in rows]
    io_guard.deactivate()
    after = [vars(row.owner).get(row.name) for row in rows]
    io_guard.activate()

    assert all(one is other for one, other in zip(before, after, strict=True))
    assert not any(one is other for one, other in zip(before, during, strict=True))


def test_blockbusters_table_is_as_expected() -> None:
    names = {row.operation for row in io_functions.rows()}

    assert {
        "time.sleep",
        "os.listdir",
        "os.read",
        "socket.send",
        "ssl.read",
        "input",
        "io.BufferedReader.read",
    } <= names
    assert {"sqlite3.Connection.execute", "threading.Lock.acquire"} <= names
    functions = import_module("blockbuster").BlockBuster().functions
    assert functions.keys() >= io_functions.TRIVIA


def test_another_thread_is_left_alone(seen: CallList) -> None:
    async def wait() -> None:
        thread = threading.Thread(target=time.sleep, args=[0])
        thread.start()
        await asyncio.to_thread(thread.join)

    asyncio.run(wait())
    assert seen.calls == []
