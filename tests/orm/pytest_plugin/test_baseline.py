"""The calls of a baseline do not fail their tests; new ones do."""

import json

import pytest

from tests.orm.pytest_plugin.conftest import IO, Project

# The projects choose their own database: one run is enough.
pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory, pytest.mark.timeout(120)]

OLD = """
    async def test_old():
        try:
            User.objects.count()
        except Exception:
            pass
"""


def test_a_baseline_holds_known_calls_and_fails_new_ones(project: Project) -> None:
    written = project.run(OLD, "--daf-baseline=known.json", "--daf-write-baseline")

    written.assert_outcomes(passed=1)
    written.stdout.fnmatch_lines(["known.json has 1 blocking calls."])
    (entry,) = json.loads((project.path / "known.json").read_text())["blocking_calls"]
    assert entry["expression"] == "User.objects.count()"
    moved = "\n\n" + OLD
    result = project.run(moved, "--daf-baseline=known.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*known blocking calls (baseline): 1 at 1 sites*"])
    project.run(OLD.replace("count", "first"), "--daf-baseline=known.json").assert_outcomes(failed=1)


def test_a_fixed_call_must_leave_the_baseline(project: Project) -> None:
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
