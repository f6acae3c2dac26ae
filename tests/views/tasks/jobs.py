"""Tasks that the tests enqueue: a task is a function of a module. They record their runs in ``done``."""

import asyncio
import builtins
import contextvars
import threading

from django.db import connection

from daf_orm import transaction
from daf_views.tasks import async_task
from daf_views.tasks.compat import Task
from tests.project.library.models import Author

colour = contextvars.ContextVar("colour", default="none")
done: list = []
go_on: asyncio.Event
started: asyncio.Queue


def reset() -> None:
    """Forget what was done, for the running event loop."""
    global go_on, started
    done.clear()
    started_in_thread.clear()
    release_thread.clear()
    go_on, started = asyncio.Event(), asyncio.Queue()


def djangos_own(what):
    return what


djangos_own = Task(
    func=djangos_own, priority=0, queue_name="default", backend="default", takes_context=False, run_after=None
)


@async_task
async def note(what):
    done.append(what)
    return what


@async_task
def note_in_thread(what):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    done.append(what)


@async_task
async def wait(what="waited"):
    started.put_nowait(what)
    await go_on.wait()
    done.append(what)


@async_task(retries=1, backoff=0)
async def wait_repeatably(what="waited"):
    started.put_nowait(what)
    await go_on.wait()
    done.append(what)


@async_task
async def fail(what):
    raise LookupError(what)


@async_task(retries=2, backoff=0.001, timeout=0.1)
async def times_out_then_raises_then_succeeds(key):
    attempt = done.count(key)
    done.append(key)
    if attempt == 0:
        await _write_and_wait(key)
    if attempt == 1:
        raise LookupError("the second attempt")
    return attempt


async def _write_and_wait(name):
    """Be cut off when the row is there, however long that takes."""
    writing = asyncio.ensure_future(Author.objects.acreate(name=name))
    try:
        await asyncio.shield(writing)
        await asyncio.sleep(60)
    finally:
        await writing


@async_task(retries=3, backoff=0.001)
async def fail_always():
    done.append("tried")
    raise LookupError


@async_task(retries=3, backoff=0.001, retry_on=(ConnectionError, TimeoutError))
async def fail_in_order(*kinds):
    """Raise the exceptions of these names, one an attempt."""
    kind = kinds[len(done)]
    done.append(kind)
    raise getattr(builtins, kind)


@async_task(retries=1, backoff=0)
async def fail_once_at_once():
    done.append("tried")
    if len(done) == 1:
        raise LookupError


@async_task(timeout=0.01)
async def too_slow():
    await asyncio.sleep(60)


@async_task(timeout=0.05)
def too_slow_in_thread():
    started_in_thread.set()
    release_thread.wait(20)


@async_task(takes_context=True)
async def with_context(context, what):
    done.append((context.attempt, what))


@async_task
async def see_colour():
    return colour.get()


@async_task(priority=50)
async def urgent(what):
    done.append(what)


@async_task(delay=0.05)
async def later(what):
    done.append(what)


@async_task
async def not_json():
    return object()


@async_task
async def add_author(name):
    async with transaction.atomic():
        await Author.objects.acreate(name=name)


@async_task
async def enqueue_another():
    await note.aenqueue("another")


@async_task(durable=True, backend="database")
async def durable(what):
    await Author.objects.acreate(name=what)


async def no_backend_for_that():
    """A durable task in memory, see the fixture."""


@async_task
async def cancel_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(60)


@async_task
async def leave():
    raise SystemExit(3)


@async_task
async def interrupt():
    raise KeyboardInterrupt


@async_task
async def have_a_child_leave():
    await asyncio.create_task(raise_system_exit())


async def raise_system_exit():
    raise SystemExit(3)


@async_task
async def raise_oddly():
    raise BaseException("odd")  # noqa: TRY002 - any exception


@async_task
async def await_what_is_cancelled():
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


@async_task
async def stubborn():
    started.put_nowait("stubborn")
    while not go_on.is_set():
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            continue


@async_task
async def enqueue_to_second():
    await note.using(backend="second").aenqueue("second")


@async_task
async def return_a_nul():
    return "\0"


@async_task
async def raise_a_nul():
    raise LookupError("\0")


@async_task
async def raise_a_surrogate():
    raise LookupError("\udcff")


@async_task
async def return_a_huge_number():
    return 10**5000


@async_task
async def return_nan():
    return float("nan")


@async_task
async def raise_generator_exit():
    raise GeneratorExit


@async_task
async def cancel_at_its_end():
    asyncio.current_task().cancel()


@async_task
async def raise_when_cancelled():
    started.put_nowait("started")
    try:
        await asyncio.Event().wait()
    finally:
        raise ConnectionError


@async_task(retries=1, backoff=1000)
async def fail_with_a_long_pause():
    raise LookupError


@async_task(retries=1, backoff=0)
async def fail_when_told():
    await go_on.wait()
    done.append("tried")
    raise LookupError


attempts: dict = {}
under_way: dict = {}


async def follow_script(key):
    attempts[key] = attempts.get(key, 0) + 1
    under_way[key] = asyncio.get_running_loop().create_future()
    try:
        return await under_way[key]
    finally:
        del under_way[key]


@async_task(retries=0, backoff=0)
async def scripted_once(key):
    return await follow_script(key)


@async_task(retries=1, backoff=0)
async def scripted_twice(key):
    return await follow_script(key)


@async_task(retries=2, backoff=0, priority=5)
async def scripted_thrice(key):
    return await follow_script(key)


@async_task(unique=True, backend="database")
async def unique(what, *, times=1):
    started.put_nowait(what)
    await go_on.wait()
    done.append(what)


def what_of(what, number):
    return what


@async_task(unique=what_of, backend="database")
async def unique_by_what(what, number):
    done.append(number)


@async_task(unique=True, backend="database", takes_context=True, retries=1, backoff=1000)
async def unique_with_context(context, what="nothing"):
    raise LookupError


@async_task
async def tick():
    done.append("tick")


@async_task
def hold_a_thread():
    started_in_thread.set()
    release_thread.wait(20)
    done.append("released")


started_in_thread, release_thread = threading.Event(), threading.Event()


@async_task(retries=3, backoff=0)
async def ignore_cancelling(value):
    started.put_nowait(value)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if value == "raise":
            raise LookupError from None
    return value


result_id = ""


@async_task(retries=3, backoff=0)
def cancelled_when_it_fails():
    done.append("tried")
    assert cancelled_when_it_fails.cancel(result_id)
    raise LookupError


@async_task
def cancelled_when_it_succeeds():
    assert cancelled_when_it_succeeds.cancel(result_id)
    return "value"
