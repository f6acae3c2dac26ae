"""Methods that Python calls for an operator are followed on rows as on other objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings
from tests.orm.static.checking import IMPORTS, project

NOTE = """
from django.db import models


class Note(models.Model):
    text = models.TextField()

    {method}
        return Note.objects.count()


class Plain:
    {method}
        return Note.objects.count()
"""
USES = {
    "__eq__(self, other)": [
        "one == other",
        "one != other if False else one == 3",
        "3 == one",
        "one in [other]",
        "one in notes",
        "3 in notes",
        "one not in {3: one, 4: other}.values()",
    ],
    "__ne__(self, other)": ["one != other"],
    "__lt__(self, other)": ["one < other", "3 > one", "sorted(notes)", "max(notes)"],
    "__hash__(self)": ["{one}", "{one: 1}", "{note for note in notes}", "set(notes)", "hash(one)", "frozenset(notes)"],
    "__contains__(self, item)": ["3 in one"],
    "__len__(self)": ["len(one)", "bool(one)", "not one"],
    "__bool__(self)": ["1 if one else 2", "one and 3"],
    "__iter__(self)": ["list(one)", "[part for part in one]", "3 in one"],
    "__str__(self)": ["str(one)", "f'{one}'"],
}
CASES = [(method, use) for method, uses in USES.items() for use in uses]


def lines(folder: Path, method: str, body: str) -> list[int]:
    package = project(
        folder, notes=NOTE.format(method=f"def {method}:"), views=f"{IMPORTS}from shop.notes import Note, Plain\n{body}"
    )
    return [step.line for each in check(modules([package]), Settings()) for step in each.path if "view" in step.file]


@pytest.mark.parametrize("make", ["await Note.objects.aget(pk=1)", "Plain()"])
@pytest.mark.parametrize(("method", "use"), CASES, ids=[f"{method.partition('(')[0]}: {use}" for method, use in CASES])
def test_an_operator_calls_a_method(method: str, use: str, make: str, tmp_path: Path) -> None:
    body = f"async def view(request):\n    one = other = {make}\n    notes = [one, other]\n    return {use}\n"

    assert 6 in lines(tmp_path, method, body)


@pytest.mark.parametrize("use", ["one is other", "one + other", "[one]", "(one, other)", "{3: one}", "notes == 3"])
@pytest.mark.parametrize("method", ["__eq__(self, other)", "__hash__(self)"])
def test_other_operators_do_not(method: str, use: str, tmp_path: Path) -> None:
    body = "async def view(request):\n    one = other = await Note.objects.aget(pk=1)\n    notes = [one, other]\n"

    assert lines(tmp_path, method, f"{body}    return {use}\n") == []
