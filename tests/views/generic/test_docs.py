"""The examples of docs/guides/generic.md work, and its table is that of the code."""

import re
import sys
from pathlib import Path

import pytest

from daf_views.generic.hooks import COROUTINES, FUNCTIONS, NAMES
from tests.project.library import models

TEXT = (Path(__file__).parents[3] / "docs" / "guides" / "generic.md").read_text()
pytestmark = pytest.mark.sqlite_memory  # no database is used


def test_the_examples_are_classes_that_can_be_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "shop.models", models)
    monkeypatch.setitem(sys.modules, "shop", models)
    names = {"__name__": "shop.views"}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)
    assert {"BookCreate", "BooksOfAuthor", "Restock", "Own"} <= names.keys()


@pytest.mark.parametrize(("hooks", "how"), [(COROUTINES, "async def"), (FUNCTIONS, "may query"), (NAMES, "must not")])
def test_the_table_says_how_each_hook_is_written(hooks, how):
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and how in line]
    assert [name for name in hooks if not any(f"`{name}`" in row.split("|")[1] for row in rows)] == []
