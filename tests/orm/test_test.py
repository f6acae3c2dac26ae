"""What tests of other projects may use: hops counted, and the guard in Django's own runner."""

import asyncio
import functools
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async

from daf_orm import database_sync_to_async, transaction
from daf_orm.test import count_hops
from tests.project.library.models import Author, Book, Counter


async def names_of_hops(work: Callable[[], Awaitable[Any]]) -> dict[str, int]:
    with count_hops() as hops:
        await work()
    assert hops.total == sum(hops.by_name.values())
    return dict(hops.by_name)


# Hops


async def test_an_async_method_is_one_hop() -> None:
    author = await Author.objects.acreate(name="a")

    assert await names_of_hops(lambda: Author.objects.aget(pk=author.pk)) == {"QuerySet.get": 1}
    assert await names_of_hops(Author.objects.all().alist) == {"QuerySet._fetch_all": 1}
    assert await names_of_hops(author.asave) == {"Model.save": 1}


async def test_so_is_one_of_a_stock_model() -> None:
    counter = Counter(name="c")

    assert await names_of_hops(counter.asave) == {"Model.save": 1}
    assert await names_of_hops(lambda: Counter.objects.aget(name="c")) == {"QuerySet.get": 1}


async def test_bare_sync_to_async_counts_too() -> None:
    def work() -> None:
        """Do nothing."""

    assert await names_of_hops(sync_to_async(Author.objects.count)) == {"QuerySet.count": 1}
    assert await names_of_hops(database_sync_to_async(Author.objects.count)) == {"QuerySet.count": 1}
    (name,) = await names_of_hops(sync_to_async(functools.partial(work)))
    assert name.endswith("<locals>.work")


async def test_a_block_adds_a_hop_to_begin_and_one_to_end() -> None:
    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acount()
            await sync_to_async(Author.objects.count)()

    hops = await names_of_hops(work)

    assert hops.pop("QuerySet.count") == 2
    assert sum(hops.values()) == 2


async def test_hops_of_child_tasks_count() -> None:
    assert await names_of_hops(lambda: asyncio.gather(*(Author.objects.acount() for _ in range(3)))) == {
        "QuerySet.count": 3
    }


async def test_blocks_nest() -> None:
    with count_hops() as outer:
        with count_hops() as inner:
            await Author.objects.acount()
        await Author.objects.acount()

    assert (inner.total, outer.total) == (1, 2)


async def test_another_tasks_hops_do_not_count() -> None:
    waiting, go = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        waiting.set()
        await go.wait()
        await Author.objects.acount()

    task = asyncio.create_task(other())
    await waiting.wait()
    with count_hops() as hops:
        go.set()
        await task

    assert hops.total == 0


def test_hops_to_a_sync_parent_count() -> None:
    assert async_to_sync(names_of_hops)(Author.objects.acount) == {"QuerySet.count": 1}


async def test_a_budget_that_is_exceeded_lists_the_hops() -> None:
    with pytest.raises(AssertionError, match=r"3 thread hops, at most 2 .*2 x QuerySet\.count, 1 x QuerySet\.exists"):
        with count_hops(at_most=2):
            await Author.objects.acount()
            await Author.objects.acount()
            await Author.objects.aexists()


async def test_a_budget_that_is_kept_says_nothing() -> None:
    with count_hops(at_most=1):
        await Author.objects.acount()


async def test_a_budget_does_not_hide_the_error_of_its_block() -> None:
    with pytest.raises(Book.DoesNotExist), count_hops(at_most=0):
        await Book.objects.aget(title="none")


async def test_what_counts_hops_changes_nothing_else() -> None:
    with count_hops() as hops:
        await Author.objects.acount()
    patched = SyncToAsync.__call__
    with count_hops():
        await Author.objects.acount()

    assert SyncToAsync.__call__ is patched
    assert await sync_to_async(divmod)(7, 3) == (2, 1)
    with pytest.raises(Author.DoesNotExist):
        await Author.objects.aget(name="none")
    assert hops.total == 1


async def test_hops_are_counted_where_another_tool_has_wrapped_them(monkeypatch: pytest.MonkeyPatch) -> None:
    original = SyncToAsync.__call__

    @functools.wraps(original)
    async def traced(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", traced)

    assert await names_of_hops(Author.objects.acount) == {"QuerySet.count": 1}


# Django's own runner

SETTINGS = """
    SECRET_KEY = "x"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "daf_orm"]
    USE_TZ = True
"""
MANAGE = """
    import multiprocessing
    import os
    import sys

    import django
    from django.core.management import call_command, execute_from_command_line

    os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
    if __name__ == "__main__":
        multiprocessing.set_start_method(os.environ["START_METHOD"])
        execute_from_command_line(sys.argv)
"""
TESTS = """
    from contextlib import suppress

    from django.contrib.auth.models import User
    from django.core.exceptions import SynchronousOnlyOperation
    from django.test import SimpleTestCase, TestCase, TransactionTestCase

    from daf_orm import allow_blocking
    from daf_orm.test import BlockingDetectionMixin
"""
SWALLOWS = """
    class Swallows(TestCase):
        async def test_swallows(self):
            with suppress(SynchronousOnlyOperation):
                User.objects.count()
"""
CLEAN = """
    class Clean(TestCase):
        async def test_rows(self):
            await User.objects.acreate(username="a")
            self.assertEqual(await User.objects.acount(), 1)

        async def test_none_are_left(self):
            self.assertEqual(await User.objects.acount(), 0)

        def test_synchronous(self):
            self.assertEqual(User.objects.count(), 0)
"""

its_own_database = pytest.mark.usefixtures()(lambda func: func)


class Project:
    """A project under test, whose tests Django runs in a process of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.start_method = "fork"

    def run(self, tests: str, *options: str, runner: str = "daf_orm.test.BlockingDetectionRunner") -> str:
        """Return what the run prints; its last line but the dots is ``OK`` or ``FAILED (…)``."""
        settings = dedent(SETTINGS) + f"TEST_RUNNER = {runner!r}\n"
        files = {"project_settings": settings, "manage": dedent(MANAGE), "test_it": dedent(TESTS) + dedent(tests)}
        for name, source in files.items():
            (self._path / f"{name}.py").write_text(source)
        command = [sys.executable, "-W", "error::RuntimeWarning", "manage.py", "test", *options]
        environment = {**os.environ, "START_METHOD": self.start_method}
        done = subprocess.run(
            command, cwd=self._path, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert (done.returncode == 0) == ("\nOK" in done.stderr), done.stderr
        return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
