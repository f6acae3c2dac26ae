"""A line in a function that is not async: the report names the coroutine, and its suggestion works there."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.contrib.sessions.backends.cache import SessionStore as CacheSession
from django.contrib.sessions.backends.file import SessionStore
from django.core.cache.backends.filebased import FileBasedCache

from daf_orm import BlockingCall, database_sync_to_async
from daf_orm.detection import record_blocking
from daf_orm.detection.io import guard as io_guard
from tests.orm.detection.corpus.shelf import close_here
from tests.project.library.models import Author, Book, Counter


def author_of(book: Any) -> str:
    return book.author.name


def titles() -> Iterator[str]:
    for book in Book.objects.order_by("pk"):
        yield book.title


class Label:
    def __init__(self, book: Any) -> None:
        self.book = book

    @property
    def text(self) -> str:
        return author_of(self.book)

    def __str__(self) -> str:
        return self.text


class NameForm(forms.Form):
    name = forms.CharField()

    def clean_name(self) -> str:
        assert Counter.objects.filter(name="none").count() == 0
        return "clean"


class Calls:
    """Coroutines whose last line calls blocking code; each gets a book whose author is not loaded."""

    async def a_function(self, book: Any) -> Any:
        return author_of(book)

    async def a_function_of_what_is_awaited(self, book: Any) -> Any:
        return author_of(await Book.objects.afirst())

    async def a_property(self, book: Any) -> Any:
        return Label(book).text

    async def a_special_method(self, book: Any) -> Any:
        return str(Label(book))

    async def an_f_string(self, book: Any) -> Any:
        return f"{Label(book)}"

    async def a_generator(self, book: Any) -> Any:
        return list(titles())

    async def a_lambda(self, book: Any) -> Any:
        return sorted([book], key=lambda each: each.author.name)

    async def a_generator_expression(self, book: Any) -> Any:
        return all(each.author for each in [book])

    async def a_method_that_a_form_calls(self, book: Any) -> Any:
        return NameForm({"name": "x"}).is_valid()


NAMES = [name for name in vars(Calls) if not name.startswith("_")]


@pytest.fixture
def books(transactional_db: None) -> None:
    Author.objects.create(name="a0").books.create(title="b0")


async def recorded(body: Any, *args: Any) -> tuple[Any, BlockingCall]:
    with record_blocking() as calls:
        result = await body(*args)
        close_here()
    return result, calls[0]


def pasted(call: BlockingCall) -> str:
    """Return the code suggested for the coroutine."""
    found = re.search(r" is not async\. Write in \S+ in \S+: (await .*?\))\.( Or there, before: |$)", call.suggestion)
    assert found, call.suggestion
    return found[1]


@pytest.mark.parametrize("name", NAMES)
async def test_the_code_suggested_for_the_coroutine_does_the_same_without_blocking(books: None, name: str) -> None:
    book = await Book.objects.aget()
    expected, call = await recorded(getattr(Calls(), name), book)
    names: dict[str, Any] = {**globals(), "database_sync_to_async": database_sync_to_async}
    exec(f"async def instead(book): return {pasted(call)}", names)

    with record_blocking() as calls:
        result = await names["instead"](await Book.objects.aget())

    assert calls == []
    assert result == expected


@pytest.mark.parametrize("name", NAMES)
async def test_the_coroutine_is_named(books: None, name: str) -> None:
    _, call = await recorded(getattr(Calls(), name), await Book.objects.aget())

    code = getattr(Calls, name).__code__
    assert re.search(rf"test_elsewhere\.py:{code.co_firstlineno + 1} in Calls\.{name}$", call.coroutine)
    assert call.coroutine in str(call)
    assert call.as_dict()["coroutine"] == call.coroutine


async def test_a_line_in_a_coroutine_needs_no_other_place(books: None) -> None:
    async def count() -> Any:
        return [book.author for book in [await Book.objects.aget()]]

    _, call = await recorded(count)

    assert call.coroutine == ""
    assert call.suggestion.startswith('Add select_related("author"), or await ')


async def test_a_for_loop_over_a_generator_fetches_all_in_a_thread(books: None) -> None:
    async def read() -> list[str]:
        found = []
        for title in titles():
            found.append(title)  # noqa: PERF402
        return found

    _, call = await recorded(read)

    assert pasted(call) == "await database_sync_to_async(list)(titles())"


async def test_a_callback_of_the_loop_has_no_coroutine(books: None) -> None:
    done = asyncio.Event()

    def callback() -> None:
        Book.objects.count()
        close_here()
        done.set()

    with record_blocking() as calls:
        asyncio.get_running_loop().call_soon(callback)
        await done.wait()

    assert calls[0].coroutine == ""
    assert calls[0].suggestion.endswith("That needs a task: callback() is called by the event loop and is not async.")


async def test_a_library_that_awaits_has_no_line_of_the_users(books: None) -> None:
    namespace: dict[str, Any] = {}
    source = "async def resolve(resolver): return resolver()"
    exec(compile(source, "/site-packages/library.py", "exec"), namespace)

    def resolver() -> int:
        count = Book.objects.count()
        close_here()
        return count

    with record_blocking() as calls:
        await asyncio.create_task(namespace["resolve"](resolver))

    assert calls[0].suggestion == (
        "Use await Book.objects.acount(). That needs a coroutine function, and resolver() is not async."
    )


# Input and output


@pytest.fixture
def io_too() -> Iterator[None]:
    was_active = io_guard.is_active()
    io_guard.activate()
    yield
    if not was_active:
        io_guard.deactivate()


def nap() -> None:
    time.sleep(0)


@pytest.mark.no_database
async def test_io_of_a_function_is_done_in_a_thread(io_too: None) -> None:
    async def work() -> None:
        nap()

    with record_blocking() as calls:
        await work()

    assert pasted(calls[0]) == "await asyncio.to_thread(nap)"


TWIN = "Call its synchronous twin in a thread:"


@pytest.mark.no_database
async def test_a_file_session_is_used_in_a_thread_because_its_coroutines_block(
    io_too: None, settings: Any, tmp_path: Path
) -> None:
    settings.SESSION_FILE_PATH = str(tmp_path)
    session = SessionStore()
    session["basket"] = 1
    await asyncio.to_thread(session.save)

    def fresh() -> SessionStore:
        return SessionStore(session.session_key)

    with record_blocking() as calls:
        assert fresh()["basket"] == 1
        assert fresh().get("basket") == 1
        session.save()
        await session.asave()

    assert list(dict.fromkeys(call.suggestion for call in calls)) == [
        'Do it in a thread: await asyncio.to_thread(lambda: fresh()["basket"]).',
        'Do it in a thread: await asyncio.to_thread(fresh().get, "basket").',
        "Do it in a thread: await asyncio.to_thread(session.save).",
        f"The awaited code blocks inside. {TWIN} await asyncio.to_thread(session.save).",
    ]


@pytest.mark.no_database
async def test_other_sessions_have_their_own_twins(io_too: None, settings: Any, tmp_path: Path) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)}
    }

    def fresh() -> CacheSession:
        return CacheSession("a" * 32)

    with record_blocking() as calls:
        assert fresh().get("basket") is None
        assert "basket" not in fresh()

    assert list(dict.fromkeys(call.suggestion for call in calls)) == [
        'Use await fresh().aget("basket").',
        'Use await fresh().ahas_key("basket").',
    ]


@pytest.mark.no_database
async def test_a_cache_in_a_function_names_the_twin_too(io_too: None, tmp_path: Path) -> None:
    cache = FileBasedCache(str(tmp_path), {})

    def cached() -> Any:
        return cache.get_or_set("key", 1)

    async def work() -> None:
        cached()

    with record_blocking() as calls:
        await work()

    assert pasted(calls[0]) == "await asyncio.to_thread(cached)"
    assert calls[0].suggestion.endswith('Use await cache.aget_or_set("key", 1).')


@pytest.mark.no_database
async def test_leaving_an_executor_is_named_and_explained(io_too: None) -> None:
    async def work() -> None:
        go = threading.Event()
        with ThreadPoolExecutor(1) as executor:
            executor.submit(go.wait)
            threading.Timer(0.01, go.set).start()

    with record_blocking() as calls:
        await work()

    assert calls[-1].operation == "Executor.__exit__"
    assert calls[-1].suggestion.startswith("Use executor = ThreadPoolExecutor(1), and in a finally block ")
