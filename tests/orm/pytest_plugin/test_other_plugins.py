"""The plugin beside pytest's others, and in runs that do not use it."""

import pytest

from tests.orm.pytest_plugin.conftest import Project

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


def test_a_run_without_django_is_left_alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makepyfile("def test_it(): ...")

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
