"""Django's own ``tests/asgi``, from the source distribution of the installed version, on our handler."""

import re
import subprocess
import sys

import pytest

from tests.support.django_sources import django_tests

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(300)]  # they use no database


def test_djangos_own_asgi_tests_pass_on_our_handler():
    command = [sys.executable, "-m", "tests.support.django_asgi", django_tests()]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(re.search(r"Ran (\d+) tests", run.stderr)[1]) >= 30
    assert "skipped=1)" in run.stderr
