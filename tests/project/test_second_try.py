"""The second try of ``.ci/run``: only a test that passes alone is called unstable, and never many of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
GOOD = "def test_it(): pass"
BAD = "def test_it(): assert 0"
CRASH = "import os\ndef test_it(): os._exit(1)"
CRASH_ONCE = """
import os
from pathlib import Path

def test_it():
    mark = Path(__file__).with_suffix(".tried")
    if not mark.exists():
        mark.touch()
        os._exit(1)
"""
UNSTABLE = """
from pathlib import Path

def test_it():
    mark = Path(__file__).with_suffix(".tried")
    seen, _ = mark.exists(), mark.touch()
    assert seen
"""


def tried(folder, *tests):
    """Return the exit status, the output and the report of a run of some tests."""
    (folder / "pytest.ini").touch()
    for number, test in enumerate(tests):
        (folder / f"test_{number}.py").write_text(test)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "xdist.plugin",
    }
    command = [sys.executable, "-m", "tests.support.second_try", "-n", "2", "--max-worker-restart", "0", "."]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    report = folder / "build" / "unstable.txt"
    return run.returncode, run.stdout, report.read_text() if report.exists() else ""


def test_tests_that_pass_are_run_once(tmp_path):
    status, output, report = tried(tmp_path, GOOD, GOOD)

    assert (status, report) == (0, "")
    assert "2 passed" in output
    assert "tried again" not in output


def test_one_that_passes_the_second_time_is_named(tmp_path):
    status, output, report = tried(tmp_path, GOOD, UNSTABLE, UNSTABLE)

    assert (status, {*report.splitlines()}) == (0, {"test_1.py::test_it", "test_2.py::test_it"})
    assert "UNSTABLE, which is a bug: test_" in output


@pytest.mark.parametrize(
    "tests",
    [
        pytest.param([GOOD, BAD], id="fails"),
        pytest.param([UNSTABLE, BAD], id="one of two fails"),
        pytest.param([UNSTABLE] * 4, id="many"),
        pytest.param([GOOD, CRASH], id="crash"),
        pytest.param([GOOD, CRASH_ONCE], id="crash once"),
        pytest.param([GOOD, "1 / 0"], id="error of a file"),
    ],
)
def test_all_else_fails(tests, tmp_path):
    status, _, report = tried(tmp_path, *tests)

    assert status != 0
    assert report == ""
