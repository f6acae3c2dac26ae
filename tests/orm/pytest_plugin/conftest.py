"""A small project, for runs of the plugin on its tests."""

import os
from textwrap import dedent
from types import SimpleNamespace

import pytest

from tests.support.zygote import Zygote

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
IO = """
    import time

    async def test_blocks():
        time.sleep(0)
"""
OTHERS = {"anyio", "hypothesispytest", "platformdirs", "pytest_cov", "schemathesis", "timeout", "valkey", "xdist"}
"""The environment's plugins that a run loads only where a test asks for them: to import them all takes two seconds."""


class Project:
    """A project under test, whose tests run in a separate process."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.options = [
            *("-p", "no:cacheprovider", "-p", "no:randomly", "-o", "asyncio_mode=auto", "--ds=project_settings"),
            *("--nomigrations", "--tb=native"),  # half of a run's time: tables one by one, sources of a traceback
        ]
        pytester.makepyfile(project_settings=dedent(SETTINGS))
        pytester.makepyprojecttoml('[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = "function"\n')

    def run(self, tests: str, *options: str, beside: str = "") -> pytest.RunResult:
        """Run pytest on the tests, with ``beside`` as the only one of OTHERS."""
        self._pytester.makepyfile(test_it=dedent(BLOCKS) + dedent(tests))
        without = [f"-pno:{name}" for name in sorted(OTHERS - {beside})]
        return self._pytester.runpytest_subprocess(*self.options, *without, *options)

    @property
    def path(self):
        return self._pytester.path


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, zygote: Zygote) -> Project:
    def popen(command, *, stdout, stderr, **_):
        _, module, *options = command
        done = zygote.run(["-m", module.removeprefix("-m"), *options], cwd=pytester.path, env=os.environ)
        stdout.write(done.stdout)
        stderr.write(done.stderr)
        return SimpleNamespace(stdin=None, wait=lambda: done.returncode)

    monkeypatch.setattr(pytester, "popen", popen)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a file may change twice in the second that a time stamp has
    return Project(pytester)
