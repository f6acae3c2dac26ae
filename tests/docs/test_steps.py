"""The steps of the tutorial work, in a new project, and have the output that the page shows."""

import pytest

from tests.docs.reference import DOCS
from tests.docs.steps import Command, File, steps, take

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # the project has its own


@pytest.mark.timeout(180)
def test_the_tutorial(tmp_path, zygote):
    found = steps(DOCS / "start" / "tutorial.md")
    for step in found:
        take(step, tmp_path, zygote)
    assert sum(isinstance(step, Command) for step in found) >= 10
    assert sum(isinstance(step, File) for step in found) >= 9


def test_a_wrong_output_is_noticed(tmp_path, zygote):
    with pytest.raises(AssertionError):
        take(Command(text="python -m platform", fails=False, output=["two"]), tmp_path, zygote)
    with pytest.raises(AssertionError):
        take(Command(text="python -m platform", fails=True), tmp_path, zygote)
