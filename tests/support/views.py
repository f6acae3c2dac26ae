"""Fixtures of the tests under ``tests/views`` and ``tests/scenarios/views``."""

import fcntl
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import pytest

from tests.support.servers import valkey


@pytest.fixture(autouse=True)
def urlpatterns_of_the_module(request, settings):
    """A test module with ``urlpatterns`` is its own URLconf."""
    if hasattr(request.module, "urlpatterns"):
        settings.ROOT_URLCONF = request.module.__name__


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The server at REDIS_URL, or one that the suite starts."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with valkey() as server:
        yield server.connection_url


@pytest.fixture(scope="session")
def django_tests(pytestconfig, tmp_path_factory) -> Path:
    """The ``tests`` folder of the installed Django's source distribution: the parts that are run on our classes.

    It stays in pytest's cache, for other processes and later runs.
    """
    cache = getattr(pytestconfig, "cache", None)  # -p no:cacheprovider
    folder = cache.mkdir("django-tests") if cache is not None else tmp_path_factory.mktemp("django-tests")
    tests = folder / django.__version__
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tests.exists():
            with tempfile.TemporaryDirectory(dir=folder) as unfinished:
                _download_django_tests(Path(unfinished)).rename(tests)
    return tests


def _download_django_tests(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "django"]
    subprocess.run([*command, "--dest", folder, f"django=={django.__version__}"], check=True)
    (archive,) = folder.glob("*.tar.gz")
    parts = "asgi|generic_views|" + "admin_scripts|logging_tests|mail|user_commands"  # what generic_views imports
    with tarfile.open(archive) as source:
        members = [member for member in source if re.match(rf"[^/]+/tests/({parts})/", member.name)]
        source.extractall(folder, members=members, filter="data")
    (tests,) = folder.glob("*/tests")
    return tests
