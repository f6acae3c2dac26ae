"""Watching changes nothing: a patched function looks and behaves as before, to Django and to Python."""

from __future__ import annotations

import inspect
import io
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.memcached import PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.db.backends.utils import CursorWrapper
from django.db.utils import DatabaseErrorWrapper
from django.utils import asyncio as django_asyncio

from daf_orm.detection import guard, record_blocking
from daf_orm.detection.io import functions as io_functions
from daf_orm.detection.io import guard as io_guard

pytestmark = pytest.mark.no_database

ROWS = tuple(io_functions.rows())  # read when nothing is patched by this module
PATCHED = [
    *{(row.owner, row.name): None for row in ROWS},
    (DatabaseErrorWrapper, "__enter__"),
    (CursorWrapper, "__iter__"),
    (CursorWrapper, "__getattr__"),
]
BACKENDS = [FileBasedCache, PyMemcacheCache, RedisCache]


@contextmanager
def watching(*, on: bool) -> Iterator[None]:
    """Have both guards on, or both off, and restore them afterwards."""
    before = guard.is_active(), io_guard.is_active()
    put(on=on, io_on=on)
    try:
        yield
    finally:
        put(on=before[0], io_on=before[1])


def put(*, on: bool, io_on: bool) -> None:
    (guard.activate if on else guard.deactivate)()
    (io_guard.activate if io_on else io_guard.deactivate)()


def off_and_on(look: Callable[[], Any]) -> tuple[Any, Any]:
    with watching(on=False):
        off = look()
    with watching(on=True):
        return off, look()


def of_each(look: Callable[[Any, str], Any]) -> Callable[[], dict[str, Any]]:
    return lambda: {f"{owner.__name__}.{name}": look(owner, name) for owner, name in PATCHED}


def test_a_function_looks_as_it_did() -> None:
    def look(owner: Any, name: str) -> Any:
        found = getattr(owner, name)
        names = found.__name__, found.__qualname__, found.__doc__, signature_of(found)
        return *names, inspect.iscoroutinefunction(found), inspect.isgeneratorfunction(found), vars_of(found)

    off, on = off_and_on(of_each(look))

    assert on == off


def signature_of(function: Any) -> str | None:
    try:
        return str(inspect.signature(function))
    except ValueError:  # one in C without a signature
        return None


def vars_of(function: Any) -> set[str]:
    return set(getattr(function, "__dict__", ())) - {"__wrapped__"}  # alters_data, say


def test_a_class_keeps_its_attributes_and_those_shared_with_its_family() -> None:
    def look(owner: Any, name: str) -> Any:
        family = [*owner.__mro__, *subclasses(owner)] if isinstance(owner, type) else [owner]
        return [[name in vars(one), *(same(one, other, name) for other in family)] for one in family]

    off, on = off_and_on(of_each(look))

    assert on == off


def subclasses(owner: type) -> list[type]:
    return [each for sub in type.__subclasses__(owner) for each in (sub, *subclasses(sub))]


def same(one: Any, other: Any, name: str) -> bool:
    return inspect.getattr_static(one, name, None) is inspect.getattr_static(other, name, None)


def test_a_function_is_sent_to_another_process_as_it_was() -> None:
    def look(owner: Any, name: str) -> bool:
        try:
            return pickle.loads(pickle.dumps(getattr(owner, name))) is getattr(owner, name)
        except (pickle.PicklingError, TypeError, AttributeError, ImportError):
            return False

    off, on = off_and_on(of_each(look))

    assert {name for name, can in off.items() if can} - {name for name, can in on.items() if can} == set()


def test_one_function_of_several_modules_stays_one() -> None:
    off, on = off_and_on(lambda: (io.open is open, io.open_code is open))

    assert off == on == (True, False)


def test_the_module_that_asks_the_environment_has_the_rest_of_it() -> None:
    def look() -> Any:
        ours = django_asyncio.os
        return ours.path, ours.getpid(), ours.environ.copy(), ours.environ.get("PATH"), ours.environ.get("NONE", "none")

    off, on = off_and_on(look)

    assert on == off


# Django's caches, which ask their own class which methods it has


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cache_knows_its_own_methods(backend: type[BaseCache]) -> None:
    def look() -> dict[str, bool]:
        return {
            name: getattr(backend, name) is not getattr(BaseCache, name)
            for name in vars(BaseCache)
            if not name.startswith("_")
        }

    off, on = off_and_on(look)

    assert on == off


async def test_a_native_async_backend_is_asked_its_own_methods(tmp_path: Path) -> None:
    asked: list[str] = []

    class Native(FileBasedCache):
        async def aget(self, key: str, default: Any = None, version: Any = None) -> Any:
            asked.append("aget")
            return default

        async def aadd(self, *args: Any, **kwargs: Any) -> bool:
            asked.append("aadd")
            return True

    cache = Native(str(tmp_path), {})
    with watching(on=True):
        assert await cache.aget_or_set("key", 1) == 1

    assert asked == ["aget", "aadd", "aget"]


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("get_or_set", ("key", 1)),
        ("get_many", (["key"],)),
        ("set_many", ({"key": 1},)),
        ("delete_many", (["key"],)),
        ("incr", ("number",)),
        ("get", ("key",)),
    ],
)
async def test_an_inherited_cache_method_is_named_by_the_called_one(tmp_path: Path, method: str, args: Any) -> None:
    cache = FileBasedCache(str(tmp_path), {})
    await cache.aset("number", 1)
    with watching(on=True), record_blocking() as calls:
        getattr(cache, method)(*args)

    assert [call.operation for call in calls] == [f"cache.{method}"]
    assert f"a{method}(" in calls[0].suggestion


def test_a_file_function_pickles_by_the_name_that_users_know() -> None:
    with watching(on=True):
        assert pickle.loads(pickle.dumps(os.listdir)) is os.listdir
        assert pickle.loads(pickle.dumps(open)) is open
