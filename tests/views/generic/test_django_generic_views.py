"""Django's own ``tests/generic_views``, from the source distribution of the installed version, on our views."""

import re
import subprocess
import sys

import pytest

from tests.support.django_sources import django_tests
from tests.views.generic.django_generic_views import DIFFERENCES

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(300)]  # they make their own database


def test_djangos_own_tests_of_generic_views_pass_on_ours():
    command = [sys.executable, "-m", "tests.views.generic.django_generic_views", django_tests()]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(re.search(r"Ran (\d+) tests", run.stderr)[1]) >= 135
    reasons = [line for line in run.stderr.splitlines() if "... skipped" in line and "jinja2" not in line]
    assert len(reasons) == len(DIFFERENCES)
