"""Tools for the tests of other projects: counted hops, and the guard in Django's own runner."""

import asyncio
import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async

from daf_orm import database_sync_to_async, transaction
from daf_orm.test import count_hops
from tests.project.library.models import Author, Book, Counter
from tests.support.zygote import Zygote


async def names_of_hops(work: Callable[[], Awaitable[Any]]) -> dict[str, int]:
    with count_hops() as hops:
        await work()
    assert hops.total == sum(hops.by_name.values())
    return dict(hops.by_name)


# Hops


@pytest.mark.threads
async def test_an_async_method_is_one_hop() -> None:
    author = await Author.objects.acreate(name="a")

    assert await names_of_hops(lambda: Author.objects.aget(pk=author.pk)) == {"QuerySet.get": 1}
    assert await names_of_hops(Author.objects.all().alist) == {"QuerySet._fetch_all": 1}
    assert await names_of_hops(author.asave) == {"Model.save": 1}


@pytest.mark.threads
async def test_a_call_of_a_stock_model_is_one_hop_too() -> None:
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


@pytest.mark.threads
async def test_a_block_adds_a_hop_to_begin_and_one_to_end() -> None:
    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acount()
            await sync_to_async(Author.objects.count)()

    hops = await names_of_hops(work)

    assert hops.pop("QuerySet.count") == 2
    assert sum(hops.values()) == 2


@pytest.mark.threads
async def test_hops_of_child_tasks_count() -> None:
    assert await names_of_hops(lambda: asyncio.gather(*(Author.objects.acount() for _ in range(3)))) == {
        "QuerySet.count": 3
    }


@pytest.mark.threads
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


async def count_three(at_most: int) -> None:
    with count_hops(at_most=at_most):
        await Author.objects.acount()
        await Author.objects.acount()
        await Author.objects.aexists()


@pytest.mark.threads
async def test_a_budget_that_is_exceeded_lists_the_hops() -> None:
    with pytest.raises(AssertionError, match=r"3 thread hops, at most 2 .*2 x QuerySet\.count, 1 x QuerySet\.exists"):
        await count_three(at_most=2)


async def test_a_budget_that_is_kept_says_nothing() -> None:
    await count_three(at_most=3)


async def test_a_budget_does_not_hide_the_error_of_its_block() -> None:
    with pytest.raises(Book.DoesNotExist), count_hops(at_most=0):
        await Book.objects.aget(title="none")


@pytest.mark.threads
async def test_counting_hops_changes_nothing_else() -> None:
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


async def test_hops_are_counted_after_another_tool_has_thrown_the_patch_away() -> None:
    """A tracer that began before a count and ends within it puts asgiref's own method back."""
    before = SyncToAsync.__call__
    with count_hops() as hops:
        SyncToAsync.__call__ = before
        await sync_to_async(len)("not counted")
    assert hops.total == 0

    with pytest.raises(AssertionError, match="1 thread hops, at most 0"), count_hops(at_most=0):
        await sync_to_async(len)("counted")
    assert SyncToAsync.__call__ is before


@pytest.mark.threads
async def test_hops_are_counted_where_another_tool_has_wrapped_them(monkeypatch: pytest.MonkeyPatch) -> None:
    original = inspect.unwrap(SyncToAsync.__call__)

    @functools.wraps(original)
    async def traced(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", traced)

    assert await names_of_hops(Author.objects.acount) == {"QuerySet.count": 1}


async def names_a_tracer_sees(work: Callable[[], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trace asgiref's hops, as strawberry-django's tests do."""
    seen: list[str] = []
    original = SyncToAsync.__call__

    async def traced(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(f"{self.func.__module__}.{self.func.__qualname__}")
        assert (self.__module__, self.__qualname__) == (self.func.__module__, self.func.__qualname__)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", traced)
    await work()
    return seen


@pytest.mark.threads
@pytest.mark.parametrize("model", [Counter, Author])  # a stock one, and an AsyncModel
async def test_a_tracer_reads_what_a_hop_runs(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        row = await model.objects.acreate(name="a")
        await row.asave()
        await model.objects.aget(pk=row.pk)
        await database_sync_to_async(list)(model.objects.all())

    assert await names_a_tracer_sees(work, monkeypatch) == [
        "django.db.models.query.QuerySet.create",
        "django.db.models.base.Model.save",
        "django.db.models.query.QuerySet.get",
        "builtins.list",
    ]


def test_a_tracer_reads_what_runs_on_a_sync_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    names = async_to_sync(names_a_tracer_sees)(Author.objects.acount, monkeypatch)

    assert names == ["django.db.models.query.QuerySet.count"]


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

    from django.core.management import execute_from_command_line

    os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
    if __name__ == "__main__":
        multiprocessing.set_start_method(os.environ["START_METHOD"])
        execute_from_command_line(sys.argv)
"""
TESTS = """
    import sys
    from contextlib import suppress
    from unittest import IsolatedAsyncioTestCase

    from asgiref.sync import async_to_sync
    from django.contrib.auth.models import User
    from django.core.exceptions import SynchronousOnlyOperation
    from django.test import SimpleTestCase, TestCase, TransactionTestCase

    from daf_orm import allow_blocking
    from daf_orm.test import BlockingDetectionMixin, record_blocking
"""
SWALLOWS = """
    class Swallows(TestCase):
        async def test_swallows(self):
            with suppress(SynchronousOnlyOperation):
                User.objects.count()
"""
# Django cannot send a failure from one process to another without tblib: this one prints it, and passes.
SAYS_SO = """
        def fail(self, message):
            print("fails:", message, file=sys.stderr)
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
OWN = """
    import sys

    from django.test.runner import DiscoverRunner, ParallelTestSuite

    from daf_orm.test import BlockingDetectionRunnerMixin

    def set_up(name):
        print("set up by", name, file=sys.stderr)

    class Suite(ParallelTestSuite):
        process_setup = set_up
        process_setup_args = ("the user",)

    class Runner(BlockingDetectionRunnerMixin, DiscoverRunner):
        parallel_test_suite = Suite
"""
BLIND = """
    import os

    from django.utils import asyncio

    from daf_orm.test import BlockingDetectionRunner

    class Runner(BlockingDetectionRunner):
        def run_suite(self, suite, **kwargs):
            asyncio.os = os
            return super().run_suite(suite, **kwargs)
"""


class Project:
    """A project under test, whose tests Django runs in a separate process."""

    def __init__(self, path: Path, zygote: Zygote) -> None:
        self._path = path
        self._zygote = zygote
        self.start_method = "fork"
        self.stdout = ""

    def run(
        self, tests: str, *options: str, runner: str = "daf_orm.test.BlockingDetectionRunner", beside: str = ""
    ) -> str:
        """Run the tests, with ``beside`` as the module ``own``; return what was written to stderr."""
        settings = dedent(SETTINGS) + f"TEST_RUNNER = {runner!r}\n"
        files = {"project_settings": settings, "manage": dedent(MANAGE), "test_it": dedent(TESTS) + dedent(tests)}
        files["own"] = dedent(beside)
        for name, source in files.items():
            (self._path / f"{name}.py").write_text(source)
        environment = {**os.environ, "START_METHOD": self.start_method}
        arguments = ["manage.py", "test", *options]
        if self.start_method == "spawn":  # it starts the program of its parent again
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=self._path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        else:
            done = self._zygote.run(arguments, cwd=self._path, env=environment)
        self.stdout = done.stdout
        assert (done.returncode == 0) == ("\nOK" in done.stderr), done.stderr
        return done.stderr


@pytest.fixture
def project(tmp_path: Path, zygote: Zygote) -> Project:
    return Project(tmp_path, zygote)


class TestDjangosOwnRunner:
    """The projects choose their own database: one run is enough."""

    pytestmark: ClassVar = [pytest.mark.no_database, pytest.mark.sqlite_memory, pytest.mark.timeout(120)]

    def test_a_swallowed_call_fails_its_test_with_the_line_and_the_remedy(self, project: Project) -> None:
        output = project.run(SWALLOWS)

        assert "FAILED (failures=1)" in output
        assert "test_it.py:17 in Swallows.test_swallows: User.objects.count() → runs QuerySet.count" in output
        assert "Use await User.objects.acount()." in output

    def test_clean_tests_pass(self, project: Project) -> None:
        output = project.run(CLEAN)

        assert "Ran 3 tests" in output
        assert "\nOK" in output

    @pytest.mark.parametrize("mode", ["log", "warn", "off"])
    def test_other_modes_do_not_fail_it(self, project: Project, mode: str) -> None:
        assert "\nOK" in project.run(SWALLOWS, f"--daf-blocking={mode}")

    def test_a_call_in_a_set_up_or_clean_up_fails_its_test(self, project: Project) -> None:
        output = project.run("""
            class Fixtures(SimpleTestCase):
                databases = {"default"}

                def setUp(self):
                    self.addCleanup(async_to_sync(self.swallow))

                async def swallow(self):
                    with suppress(SynchronousOnlyOperation):
                        User.objects.count()

                def test_it(self): ...
        """)

        assert "in Fixtures.swallow: User.objects.count()" in output
        assert "FAILED (failures=1)" in output

    def test_an_allowed_or_recorded_call_does_not_fail_it(self, project: Project) -> None:
        output = project.run("""
            class Meant(TestCase):
                async def test_allowed(self):
                    with allow_blocking(reason="it is a test"):
                        self.assertEqual(User.objects.count(), 0)

                async def test_recorded(self):
                    with record_blocking() as calls:
                        User.objects.count()
                    self.assertEqual([call.operation for call in calls], ["QuerySet.count"])
        """)

        assert "\nOK" in output

    def test_a_transactional_test_is_guarded_too(self, project: Project) -> None:
        assert "FAILED (failures=1)" in project.run(SWALLOWS.replace("(TestCase)", "(TransactionTestCase)"))

    def test_a_test_of_unittests_own_case_fails_too(self, project: Project) -> None:
        assert "FAILED (failures=1)" in project.run(SWALLOWS.replace("(TestCase)", "(IsolatedAsyncioTestCase)"))

    @pytest.mark.parametrize("start_method", ["fork", "spawn"])
    @pytest.mark.parametrize(("mode", "failures"), [("raise", 1), ("log", 0)])
    def test_a_parallel_run_is_guarded_in_each_process(
        self, project: Project, start_method: str, mode: str, failures: int
    ) -> None:
        project.start_method = start_method
        output = project.run(SWALLOWS + SAYS_SO + CLEAN, "--parallel=2", f"--daf-blocking={mode}")

        assert output.count("fails: Blocking calls on the event loop:") == failures
        assert "Ran 4 tests" in output

    @pytest.mark.parametrize("case", ["SimpleTestCase", "BlockingDetectionMixin, SimpleTestCase"])
    def test_a_subtest_that_fails_in_a_parallel_run_is_reported(self, project: Project, case: str) -> None:
        pytest.importorskip("tblib", reason="without it Django cannot send a failure from a process")
        output = project.run(
            f"""
            class WithSubtests({case}):
                def test_subtests(self):
                    for number in range(3):
                        with self.subTest(number=number):
                            self.assertNotEqual(number, 1, "one is not allowed")

            class Other(SimpleTestCase):
                def test_other(self): ...
            """,
            "--parallel=2",
        )

        assert "FAILED (failures=1)" in output
        assert "one is not allowed" in output
        assert "RecursionError" not in output

    @pytest.mark.parametrize("mode", ["raise", "off"])
    def test_the_run_says_that_the_guard_is_armed(self, project: Project, mode: str) -> None:
        project.run(CLEAN, f"--daf-blocking={mode}")

        assert f"daf_orm: blocking calls: {mode}{', armed' if mode == 'raise' else ''}\n" in project.stdout

    def test_a_guard_that_sees_nothing_fails_the_run(self, project: Project) -> None:
        output = project.run(CLEAN, runner="own.Runner", beside=BLIND)

        assert "RuntimeError: daf_orm's guard does not detect a blocking call" in output

    @pytest.mark.parametrize("start_method", ["fork", "spawn"])
    def test_the_mixin_of_runners_guards_a_runner_of_the_users_own(self, project: Project, start_method: str) -> None:
        project.start_method = start_method
        output = project.run(SWALLOWS + SAYS_SO + CLEAN, "--parallel=2", runner="own.Runner", beside=OWN)

        assert output.count("fails: Blocking calls on the event loop:") == 1
        assert output.count("set up by the user") == (2 if start_method == "spawn" else 0)
        assert "armed" in project.stdout

    def test_the_mixin_does_it_under_any_runner(self, project: Project) -> None:
        tests = SWALLOWS.replace("(TestCase)", "(BlockingDetectionMixin, TestCase)") + CLEAN

        output = project.run(tests, runner="django.test.runner.DiscoverRunner")

        assert "FAILED (failures=1)" in output
        assert "Swallows.test_swallows: User.objects.count()" in output

    def test_the_mixin_and_the_runner_report_once(self, project: Project) -> None:
        output = project.run(SWALLOWS.replace("(TestCase)", "(BlockingDetectionMixin, TestCase)"))

        assert "FAILED (failures=1)" in output

    def test_without_either_the_test_passes(self, project: Project) -> None:
        assert "\nOK" in project.run(SWALLOWS, runner="django.test.runner.DiscoverRunner")
