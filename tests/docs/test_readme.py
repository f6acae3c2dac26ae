"""The README is right, word for word, where DAF is installed. ``make test-dist`` follows it in an empty environment."""

import pytest

from tests.docs.steps import environment
from tests.project.distribution import follow_readme

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # its project has its own database


class Installed:
    """The environment of the suite, as an environment of ``tests.project.distribution``."""

    def __init__(self, zygote):
        self._zygote = zygote

    def run(self, arguments, *, cwd, env=None):
        return self._zygote.run(arguments, cwd=cwd, env=env or environment())

    def checked(self, *arguments, cwd):
        done = self.run(arguments, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.mark.timeout(180)
def test_it_works_word_for_word(tmp_path, zygote):
    follow_readme(Installed(zygote), tmp_path)
