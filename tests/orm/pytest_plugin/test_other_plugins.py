"""The plugin beside pytest's others, and in runs that do not use it."""

import pytest

from tests.orm.pytest_plugin.conftest import OTHERS, Project

# The projects choose their own database: one run is enough.
pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory, pytest.mark.timeout(120)]


def test_it_works_under_xdist(project: Project) -> None:
    pytest.importorskip("xdist")
    result = project.run(
        """
        async def test_blocks():
            User.objects.count()

        @pytest.mark.parametrize("number", range(3))
        async def test_clean(number):
            assert await User.objects.acount() == 0
        """,
        "-n2",
        beside="xdist",
    )

    result.assert_outcomes(failed=1, passed=3)
    result.stdout.fnmatch_lines(["*blocking calls: 1 at 1 sites*"])


def test_it_works_in_pytest_asyncios_strict_mode(project: Project) -> None:
    result = project.run(
        """
        @pytest.mark.asyncio
        async def test_blocks():
            User.objects.count()

        @pytest.mark.asyncio
        async def test_clean():
            assert await User.objects.acount() == 0
        """,
        "-o",
        "asyncio_mode=strict",
    )

    result.assert_outcomes(failed=1, passed=1)


def test_it_works_with_anyios_plugin(project: Project) -> None:
    result = project.run(
        """
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_blocks():
            User.objects.count()

        @pytest.mark.anyio
        async def test_clean():
            await User.objects.acreate(username="a")
            assert await User.objects.acount() == 1
        """,
        "-p",
        "no:asyncio",
        beside="anyio",
    )

    result.assert_outcomes(failed=1, passed=1)


def test_anyios_own_work_and_pytests_is_no_io_of_the_tests(project: Project) -> None:
    result = project.run(
        """
        import time

        import anyio

        pytestmark = [pytest.mark.anyio]

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def file(tmp_path):
            await anyio.Path(tmp_path, "file").write_text("x")
            return anyio.Path(tmp_path, "file")

        async def test_clean(file, request, capsys):
            assert await file.read_text() == "x"
            assert await anyio.to_thread.run_sync(lambda: time.sleep(0)) is None
            await anyio.run_process(["true"])
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            await listener.aclose()
            assert request.getfixturevalue("tmp_path").name
            print("x")
            assert capsys.readouterr().out == "x\\n"

        async def test_blocks():
            time.sleep(0)
        """,
        "--daf-io",
        "-p",
        "no:asyncio",
        beside="anyio",
    )

    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*in test_blocks: time.sleep(0) →*"])


def test_a_run_that_wants_no_guard_imports_none(project: Project) -> None:
    settings = (project.path / "project_settings.py").read_text()
    (project.path / "project_settings.py").write_text(settings.replace(', "daf_orm"', ""))

    result = project.run("""
        import sys

        def test_it():
            assert "daf_orm.pytest_plugin" in sys.modules
            assert "daf_orm._testing.pytest_run" not in sys.modules
    """)

    result.assert_outcomes(passed=1)


ALONE = ["-p", "no:cacheprovider", "-p", "no:django", *(f"-pno:{name}" for name in sorted(OTHERS))]
CONFIGURES = """
    import django
    from django.conf import settings

    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "daf_orm"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()

    async def test_blocks():
        from django.contrib.contenttypes.models import ContentType

        try:
            ContentType.objects.count()
        except Exception:
            pass
"""


def test_a_run_without_django_is_left_alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makepyfile("""
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.partition(".")[0] in {"daf_orm", "django", "asgiref"}}
            assert ours == {"daf_orm", "daf_orm.pytest_plugin"}
    """)

    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=1)


def test_settings_that_nothing_has_loaded_are_not_loaded(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "guarded_settings")
    pytester.makepyfile(
        guarded_settings="raise SystemExit('SECRET_KEY is missing')",
        test_it="""
            from django.conf import settings

            settings.configure(DEBUG=False)

            def test_it():
                assert settings.INSTALLED_APPS == []
        """,
    )

    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=1)


def test_settings_that_a_test_module_loads_put_the_guard_up(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makepyfile(CONFIGURES)

    result = pytester.runpytest_subprocess(*ALONE, "-o", "asyncio_mode=auto")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["daf_orm: blocking calls: raise, armed", "1 blocking calls on the event loop:"])


def test_a_run_in_a_test_leaves_the_outer_run_as_it_was(project: Project) -> None:
    result = project.run(
        """
        from django.test import TestCase

        from daf_orm import allow_blocking
        from daf_orm.detection import guard, io

        pytest_plugins = ["pytester"]

        @allow_blocking(reason="of the outer run")
        def unused(): ...

        def test_nested(pytester):
            before = TestCase._enter_atomics, guard.current_mode(), io.is_active()
            pytester.makepyfile("async def test_inner(): __import__('time').sleep(0)")
            options = "-p no:django -p no:cacheprovider -o asyncio_mode=auto --daf-blocking=raise --daf-io"
            nested = pytester.runpytest_inprocess(*options.split())
            nested.assert_outcomes(failed=1)
            nested.stdout.no_fnmatch_line("*of the outer run*")
            assert (TestCase._enter_atomics, guard.current_mode(), io.is_active()) == before

        async def test_blocks(blocking_calls):
            User.objects.count()
            assert len(blocking_calls) == 1
        """,
        "--daf-blocking=log",
    )

    result.assert_outcomes(passed=2, warnings=result.parseoutcomes().get("warnings", 0))
    result.stdout.fnmatch_lines(["*blocking calls: 1 at 1 sites*", "*of the outer run*"])
    result.stdout.no_fnmatch_line("*time.sleep*")
