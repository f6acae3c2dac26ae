"""A blocking call fails its test; options, markers and fixtures say which calls count."""

import pytest

from tests.orm.pytest_plugin.conftest import IO, Project

# The projects choose their own database: one run is enough.
pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory, pytest.mark.timeout(120)]


def test_a_blocking_call_fails_its_test_with_the_line_and_the_remedy(project: Project) -> None:
    result = project.run("""
        async def test_blocks():
            User.objects.count()
    """)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it.py:7 in test_blocks: User.objects.count() →*await User.objects.acount()*"])
    result.stdout.fnmatch_lines(["*blocking calls: 1 at 1 sites*"])


def test_a_swallowed_call_fails_its_test_and_is_said_to_be_swallowed(project: Project) -> None:
    result = project.run("""
        from django.template import engines

        async def test_template():
            template = engines["django"].from_string("{% if not users %}none{% endif %}")
            template.render({"users": User.objects.all()})
    """)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*The error was swallowed.*"])


def test_a_clean_test_passes_and_the_header_says_that_the_guard_is_on(project: Project) -> None:
    result = project.run("""
        async def test_clean():
            await User.objects.acreate(username="a")
            assert await User.objects.acount() == 1
    """)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["daf_orm: blocking calls: raise, armed"])


@pytest.mark.parametrize("mode", ["warn", "log", "off"])
def test_other_modes_do_not_fail_the_test(project: Project, mode: str) -> None:
    result = project.run(
        """
        from django.core.exceptions import SynchronousOnlyOperation

        async def test_blocks(request):
            try:
                assert User.objects.count() == 0
            except SynchronousOnlyOperation:
                assert request.config.getoption("--daf-blocking") == "off"
        """,
        f"--daf-blocking={mode}",
    )

    result.assert_outcomes(passed=1, warnings=1 if mode == "warn" else 0)


def test_the_mode_can_be_an_ini_value(project: Project) -> None:
    result = project.run("async def test_blocks(): assert User.objects.count() == 0", "-o", "daf_blocking=log")

    result.assert_outcomes(passed=1)


def test_io_counts_where_it_is_asked_for(project: Project) -> None:
    project.run(IO).assert_outcomes(passed=1)

    result = project.run(IO, "--daf-io")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["daf_orm: blocking calls: raise, armed, I/O too"])
    result.stdout.fnmatch_lines(["*in test_blocks: time.sleep(0) →*Use await asyncio.sleep(0)."])
    project.run(IO, "-o", "daf_io=true").assert_outcomes(failed=1)


def test_io_needs_blockbuster(project: Project) -> None:
    hide = "import sys; sys.modules['blockbuster'] = None"
    (project.path / "hidden.py").write_text(hide)

    result = project.run(IO, "--daf-io", "-p", "hidden")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs blockbuster: pip install*"])


def test_the_marker_allows_it_and_sees_the_tests_rows(project: Project) -> None:
    result = project.run("""
        @pytest.mark.allow_blocking(reason="it is a test")
        async def test_allowed():
            await User.objects.acreate(username="a")
            assert User.objects.count() == 1
    """)

    result.assert_outcomes(passed=1)


def test_an_unused_allowance_is_reported(project: Project) -> None:
    result = project.run("""
        from daf_orm import allow_blocking

        @pytest.mark.allow_blocking(reason="long gone")
        async def test_clean():
            with allow_blocking(reason="also gone"):
                pass
    """)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*allowances that were not used*", "*long gone*"])
    result.stdout.fnmatch_lines(["*also gone*"])


def test_a_marker_without_a_reason_is_an_error(project: Project) -> None:
    result = project.run("""
        @pytest.mark.allow_blocking
        async def test_it(): ...
    """)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*allow_blocking needs a reason*"])


def test_the_fixture_lists_the_calls_and_removed_ones_do_not_fail(project: Project) -> None:
    result = project.run("""
        from daf_orm import BlockingCallError

        async def test_it(blocking_calls):
            with pytest.raises(BlockingCallError):
                User.objects.count()
            (call,) = blocking_calls
            assert call.operation == "QuerySet.count"
            assert call.model == "auth.User"
            blocking_calls.clear()
    """)

    result.assert_outcomes(passed=1)


def test_an_error_that_the_test_itself_caught_is_not_called_swallowed(project: Project) -> None:
    result = project.run("""
        async def test_it():
            with pytest.raises(Exception):
                User.objects.count()
    """)

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*The error was swallowed*")


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
@pytest.mark.parametrize("clean", ["with subtests.test('clean'): pass", "with self.subTest('clean'): pass"])
def test_a_call_belongs_to_the_test_and_not_to_the_next_subtest(project: Project, clean: str) -> None:
    result = project.run(f"""
        from django.test import TestCase

        def count():
            try:
                User.objects.count()
            except Exception:
                pass

        {"class TestIt(TestCase):" if "self" in clean else "class TestIt:"}
            async def test_it({"self" if "self" in clean else "self, subtests"}):
                count()
                {clean}
    """)

    assert result.parseoutcomes().get("failed") == 1, result.outlines
    assert "SUBFAIL" not in result.stdout.str()


def test_an_expected_failure_is_not_expected_to_block(project: Project) -> None:
    result = project.run("""
        @pytest.mark.xfail(reason="something else")
        async def test_it():
            try:
                User.objects.count()
            except Exception:
                pass
            assert False
    """)

    result.assert_outcomes(failed=1)


def test_a_call_in_a_fixture_is_an_error_of_its_phase(project: Project) -> None:
    result = project.run("""
        @pytest.fixture
        async def users():
            try:
                list(User.objects.all())
            except Exception:
                pass

        async def test_it(users): ...
    """)

    result.assert_outcomes(errors=1, passed=1) if "1 passed" in result.stdout.str() else result.assert_outcomes(
        errors=1
    )
