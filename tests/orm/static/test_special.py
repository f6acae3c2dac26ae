"""Methods that Python calls are followed: for operators, on rows as on other objects; for attributes, items, blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings
from tests.orm.static.checking import IMPORTS, findings, project

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


READERS = """
    import asyncio, contextlib, enum, requests
    from dataclasses import dataclass
    from django.db import transaction
    from django.utils.functional import cached_property as once
    from django.views.generic import ListView
    class Descriptor:
        def __get__(self, shelf, owner):
            return Book.objects.count()
    class Shelf:
        first = Descriptor()
        def __init__(self):
            self.known = 1
        def __getattr__(self, name):
            return Book.objects.get(title=name)
        @once
        def size(self):
            return Book.objects.count()
        @property
        def label(self):
            return ""
        @label.setter
        def label(self, value):
            Book.objects.update(title=value)
        def __setitem__(self, key, value):
            Book.objects.update(title=value)
        def __delitem__(self, key):
            Book.objects.all().delete()
        def __add__(self, other):
            return Book.objects.count()
        def __iadd__(self, other):
            Book.objects.update(title=other)
            return self
        def __radd__(self, other):
            return Book.objects.count()
        def __neg__(self):
            return Book.objects.count()
        def __int__(self):
            return Book.objects.count()
        def __aiter__(self):
            Book.objects.count()
            return self
        async def __anext__(self):
            return await Book.objects.aget()
        async def __aenter__(self):
            return await Book.objects.aget()
        async def __aexit__(self, *error):
            pass
    @dataclass
    class Basket:
        owner: str
        def __post_init__(self):
            Book.objects.count()
    class Kind(enum.Enum):
        NOVEL = "novel"
        def count(self):
            return Book.objects.count()
    @contextlib.asynccontextmanager
    async def book_of(pk):
        yield await Book.objects.aget(pk=pk)
    class Books(ListView):
        model = Book
        async def get(self, request):
            return self.get_queryset()
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("shelf.first", "Descriptor.__get__"),
        ("shelf.dune", "Shelf.__getattr__"),
        ("shelf.known", None),
        ("shelf.size", "Shelf.size"),
        ("shelf.label", None),
        ("shelf.label = 1", "Shelf.label"),
        ("shelf[1] = 2", "Shelf.__setitem__"),
        ("del shelf[1]", "Shelf.__delitem__"),
        ("shelf + 1", "Shelf.__add__"),
        ("1 + shelf", "Shelf.__radd__"),
        ("shelf += 1", "Shelf.__iadd__"),
        ("-shelf", "Shelf.__neg__"),
        ("int(shelf)", "Shelf.__int__"),
        ("async for book in shelf:\n            book.author", "Shelf.__aiter__ view"),
        ("async with shelf as book:\n            book.author", "view"),
        ("async with book_of(1) as book:\n            book.author", "view"),
        (
            "async with contextlib.AsyncExitStack() as stack:\n            stack.enter_context(transaction.atomic())",
            "view",
        ),
        (
            """async with contextlib.AsyncExitStack() as stack:
            book = await stack.enter_async_context(book_of(1))
            book.author""",
            "view",
        ),
        ("Basket('a')", "Basket.__post_init__"),
        ("Kind.NOVEL.count()", "Kind.count"),
        ("book = await Book.objects.aget()\n        type(book).objects.count()", "view"),
        ("Book.objects.model.objects.count()", "view"),
        ("for book in Books().get_queryset():\n            pass", "view"),
        ("Books().get_queryset()", None),
        ("requests.Session().get('x')", "view"),
        ("with requests.Session() as session:\n            session.post('x')", "view"),
        (
            """async with asyncio.TaskGroup() as group:
            task = group.create_task(Book.objects.aget())
        task.result().author""",
            "view",
        ),
        (
            """tasks = [asyncio.create_task(Book.objects.aget(pk=pk)) for pk in (1, 2)]
        for task in asyncio.as_completed(tasks):
            (await task).author""",
            "view",
        ),
    ],
)
def test_a_method_that_python_calls_is_followed(line: str, expected: str | None, tmp_path: Path) -> None:
    source = f"{READERS}    async def view(request, shelf: Shelf):\n        {line}\n"

    assert sorted(each.function for each in findings(tmp_path, source)) == sorted((expected or "").split())
