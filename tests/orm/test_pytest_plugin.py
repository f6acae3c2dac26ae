"""The pytest plugin, run on small projects of its own."""

import json
from textwrap import dedent

import pytest

# The projects choose their own database: one run is enough.
pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory, pytest.mark.timeout(120)]

SETTINGS = """
    SECRET_KEY = "x"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "daf_orm"]
    TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    USE_TZ = True
"""
BLOCKS = """
    import pytest
    from django.contrib.auth.models import User

    pytestmark = pytest.mark.django_db
"""


class Project:
    """A project under test, whose tests run in a process of their own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.options = [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "-o",
            "asyncio_mode=auto",
            "--ds=project_settings",
        ]
        pytester.makepyfile(project_settings=dedent(SETTINGS))
        pytester.makepyprojecttoml('[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = "function"\n')

    def run(self, tests: str, *options: str) -> pytest.RunResult:
        self._pytester.makepyfile(test_it=dedent(BLOCKS) + dedent(tests))
        return self._pytester.runpytest_subprocess(*self.options, *options)

    @property
    def path(self):
        return self._pytester.path


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    return Project(pytester)


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
            template = engines["django"].from_string("{% if not users %}nobody{% endif %}")
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


IO = """
    import time

    async def test_blocks():
        time.sleep(0)
"""


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


def test_the_fixture_lists_the_calls_and_what_is_removed_does_not_fail(project: Project) -> None:
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


# Baseline

OLD = """
    async def test_old():
        try:
            User.objects.count()
        except Exception:
            pass
"""


def test_a_baseline_holds_what_was_there_and_fails_what_is_new(project: Project) -> None:
    project.run(OLD, "--daf-baseline=known.json", "--daf-write-baseline").assert_outcomes(passed=1)

    (entry,) = json.loads((project.path / "known.json").read_text())["blocking_calls"]
    assert entry["expression"] == "User.objects.count()"
    moved = "\n\n" + OLD
    result = project.run(moved, "--daf-baseline=known.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*known blocking calls (baseline): 1 at 1 sites*"])
    project.run(OLD.replace("count", "first"), "--daf-baseline=known.json").assert_outcomes(failed=1)


def test_what_is_fixed_must_leave_the_baseline(project: Project) -> None:
    project.run(OLD, "--daf-baseline=known.json", "--daf-write-baseline")

    result = project.run("async def test_old(): await User.objects.acount()", "--daf-baseline=known.json")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*fixed since the baseline*", "*test_it:test_old: User.objects.count()*"])
    project.run("def test_other(): ...", "--daf-baseline=known.json").assert_outcomes(passed=1)


RAISES = "async def test_old(): assert User.objects.count() == 0"


@pytest.mark.parametrize("unsafe", ["", "1"])
def test_a_known_call_runs_where_it_ran_without_the_guard(
    project: Project, monkeypatch: pytest.MonkeyPatch, unsafe: str
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", unsafe)
    outcome = {"passed" if unsafe else "failed": 1}
    project.run(RAISES, "--daf-baseline=known.json", "--daf-write-baseline").assert_outcomes(**outcome)

    project.run(RAISES, "--daf-baseline=known.json").assert_outcomes(**outcome)
    project.run(RAISES.replace("count", "first"), "--daf-baseline=known.json").assert_outcomes(failed=1)


def test_known_io_runs(project: Project) -> None:
    project.run(IO, "--daf-io", "--daf-baseline=known.json", "--daf-write-baseline").assert_outcomes(passed=1)

    project.run(IO, "--daf-io", "--daf-baseline=known.json").assert_outcomes(passed=1)


def test_a_file_that_is_no_baseline_is_refused(project: Project) -> None:
    (project.path / "known.json").write_text("[]")

    result = project.run("def test_it(): ...", "--daf-baseline=known.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*known.json is not a baseline of daf_orm*"])


# With others


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
