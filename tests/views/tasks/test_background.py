"""Coroutines that outlive their caller: kept, logged, waited for."""

import asyncio
import functools
import gc

import pytest
from asgiref.sync import sync_to_async

from daf_orm import transaction
from daf_views.asgi import current_drain
from daf_views.exceptions import NoEventLoopError, ShuttingDownError
from daf_views.tasks import background, run_in_background
from daf_views.tasks.notifier import flush
from tests.project.library.models import Author
from tests.views.tasks import jobs


async def note(what, *, again=None):
    jobs.done.append(what)
    if again is not None:
        run_in_background(note, again)


async def wait():
    await jobs.go_on.wait()
    jobs.done.append("waited")


async def fail():
    raise LookupError("nothing there")


async def test_it_runs_and_what_it_begins_too():
    run_in_background(note, "first", again="second")
    assert jobs.done == []
    await background.join()
    assert jobs.done == ["first", "second"]


async def test_no_reference_to_it_is_needed():
    run_in_background(wait)
    await asyncio.sleep(0)
    gc.collect()
    jobs.go_on.set()
    await background.join()
    assert jobs.done == ["waited"]


async def test_an_error_is_logged_with_where_it_came_from(caplog):
    run_in_background(fail)
    await background.join()
    await asyncio.to_thread(flush)
    [record] = caplog.records
    assert record.getMessage() == "fail failed in the background."
    assert record.exc_info[0] is LookupError


@pytest.mark.django_db(transaction=True)
async def test_it_is_outside_of_its_callers_transaction():
    async def write():
        await Author.objects.acreate(name="outside")

    with pytest.raises(LookupError):
        async with transaction.atomic():
            await Author.objects.acreate(name="inside")
            run_in_background(write)
            raise LookupError
    await background.join()
    assert [author.name async for author in Author.objects.all()] == ["outside"]


async def test_synchronous_code_reaches_the_event_loop_that_called_it():
    await sync_to_async(run_in_background)(note, "from a hop")
    await asyncio.to_thread(run_in_background, note, "from a thread")
    await background.join()
    assert jobs.done == ["from a hop", "from a thread"]


def test_without_an_event_loop_it_says_why_not():
    with pytest.raises(
        NoEventLoopError, match=r"note was started from synchronous code, .*, and no long-lived event loop runs"
    ):
        run_in_background(note, "hello")


async def test_the_drain_waits_for_it():
    run_in_background(note, "first", again="second")
    await current_drain().settle(5)
    assert jobs.done == ["first", "second"]


async def test_a_cancelled_coroutine_is_named(caplog):
    run_in_background(wait)
    await current_drain().settle(0.01)
    await asyncio.to_thread(flush)
    assert "wait, in the background, was cancelled because the server stops." in caplog.text


async def test_when_all_is_over_it_is_refused():
    await current_drain().settle(1)
    with pytest.raises(ShuttingDownError, match="note was not started: the server has stopped"):
        run_in_background(note, "too late")


async def test_nothing_of_what_it_was_given_is_logged(caplog):
    async def fail_with(token):
        raise LookupError

    run_in_background(functools.partial(fail_with, token="secret"))
    await background.join()
    await asyncio.to_thread(flush)
    assert "fail_with failed in the background." in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_any_exception_is_logged_and_the_server_goes_on(error, caplog):
    async def fail():
        raise error

    run_in_background(fail)
    await background.join()
    await asyncio.to_thread(flush)
    assert "fail failed in the background." in caplog.text


@pytest.mark.parametrize("given", [print, None, 7])
async def test_a_value_that_is_no_coroutine_function_is_refused(given):
    with pytest.raises(TypeError, match="takes a coroutine function and its arguments"):
        run_in_background(given)


async def test_a_coroutine_is_not_a_function():
    coroutine = note("hello")
    with pytest.raises(TypeError, match="pass the function, do not call it"):
        run_in_background(coroutine)
    coroutine.close()
