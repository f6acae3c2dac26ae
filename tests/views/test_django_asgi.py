"""Django's own ``tests/asgi``, from the source distribution of the installed version, on our handler."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import django
import pytest

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(300)]  # they use no database


@pytest.fixture(scope="session")
def django_tests(tmp_path_factory, worker_id) -> Path:
    folder = tmp_path_factory.mktemp("django")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "django"]
    subprocess.run([*command, "--dest", folder, f"django=={django.__version__}"], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        members = [member for member in source if re.match(r"[^/]+/tests/asgi/", member.name)]
        source.extractall(folder, members=members, filter="data")
    (tests,) = folder.glob("*/tests")
    return tests


def test_djangos_own_asgi_tests_pass_on_our_handler(django_tests):
    command = [sys.executable, "-m", "tests.views.django_asgi", django_tests]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(re.search(r"Ran (\d+) tests", run.stderr)[1]) >= 30
    assert "skipped=1)" in run.stderr
