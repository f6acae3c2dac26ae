"""Rows that are put into the groups of a dictionary, and functions behind decorators that are classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes

GROUPS = {
    "setdefault": ("{}", "groups.setdefault(book.title, []).append(book)"),
    "defaultdict of lists": ("defaultdict(list)", "groups[book.title].append(book)"),
    "defaultdict of sets": ("collections.defaultdict(set)", "groups[book.title].add(book)"),
}


@pytest.mark.parametrize(("made", "put"), GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize(("loading", "expected"), [("all()", ["DAF020"]), ("select_related('author')", [])])
def test_a_group_has_the_rows_that_were_put_into_it(
    made: str, put: str, loading: str, expected: list[str], tmp_path: Path
) -> None:
    source = f"""
    import collections
    from collections import defaultdict
    async def view(request):
        groups = {made}
        async for book in Book.objects.{loading}:
            {put}
        for title, books in groups.items():
            print(title, [each.author.name for each in books])
    """

    assert codes(tmp_path, source) == expected


DECORATORS = {
    "Shown": "class Shown:\n        def __init__(self, function):\n            self.function = function\n"
    "        def __call__(self, *values):\n            return self.function(*values)\n",
    "singledispatch": "from functools import singledispatch\n",
}


@pytest.mark.parametrize("name", DECORATORS)
def test_a_decorated_function_is_followed(name: str, tmp_path: Path) -> None:
    source = f"""
    {DECORATORS[name]}
    @{name}
    def show(book):
        return book.author.name
    async def view(request):
        show(await Book.objects.aget(pk=1))
    async def loaded(request):
        show(await Book.objects.select_related("author").aget(pk=1))
    """

    assert codes(tmp_path, source) == ["DAF020"]
