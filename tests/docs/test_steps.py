"""The steps of pages work, in a new project, and have the output that the page shows."""

import shutil
from pathlib import Path

import pytest

from tests.docs.reference import DOCS
from tests.docs.steps import Command, File, steps, take

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # the project has its own
TUTORIAL = steps(DOCS / "start" / "tutorial.md")
FIRST_TEST = [isinstance(step, File) and step.path == "shop/tests.py" for step in TUTORIAL].index(True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, zygote) -> Path:
    """The project of the tutorial, before its tests."""
    folder = tmp_path_factory.mktemp("shop")
    for step in TUTORIAL[:FIRST_TEST]:
        take(step, folder, zygote)
    return folder


@pytest.mark.timeout(180)
def test_the_tutorial(shop, tmp_path, zygote):
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    for step in TUTORIAL[FIRST_TEST:]:
        take(step, tmp_path, zygote)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "page",
    ["static-and-admin", "websockets", "jwt", "allauth", "cors", "uploads", "observability", "celery", "runners"],
)
def test_a_guide(page, shop, tmp_path, zygote):
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    found = steps(DOCS / "guides" / f"{page}.md")
    assert any(isinstance(step, Command) and step.output for step in found)
    for step in found:
        take(step, tmp_path, zygote)


def test_a_wrong_output_is_noticed(tmp_path, zygote):
    with pytest.raises(AssertionError):
        take(Command(text="python -m platform", fails=False, output=["two"]), tmp_path, zygote)
    with pytest.raises(AssertionError):
        take(Command(text="python -m platform", fails=True), tmp_path, zygote)


def test_the_steps_of_a_page_are_files_and_commands():
    assert sum(isinstance(step, Command) for step in TUTORIAL) >= 10
    assert sum(isinstance(step, File) for step in TUTORIAL) >= 9
