"""Patterns of ``match`` bind what they match, and read the attributes that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes

CASES = {
    "a mapping": ('{"book": book}', '{"book": found}', "found.author.name"),
    "a sequence": ("(1, book)", "(_, found)", "found.author.name"),
    "the rest of a sequence": ("[1, book, book]", "[_, *found]", "[each.author.name for each in found]"),
    "an alternative": ("(1, book)", "[2, found] | [_, found]", "found.author.name"),
    "a name for a pattern": ("(1, book)", "(_, _) as found", "found[1].author.name"),
    "a class": ("book", "Book() as found", "found.author.name"),
    "an attribute of a class": ("book", "Book(author=found)", "found.name"),
    "a guard": ("book", "found if found.author.name", "pass"),
}


@pytest.mark.parametrize(("subject", "pattern", "body"), CASES.values(), ids=CASES)
def test_a_pattern_binds_what_it_matches(subject: str, pattern: str, body: str, tmp_path: Path) -> None:
    source = f"""
    async def view(request):
        book = await Book.objects{{loading}}.aget(pk=1)
        match {subject}:
            case {pattern}:
                {body}
    """
    source = source.replace("{{", "{").replace("}}", "}")

    assert codes(tmp_path, source.replace("{loading}", "")) == ["DAF020"]
    assert codes(tmp_path, source.replace("{loading}", ".select_related('author')")) == []


def test_the_attributes_of_another_class_are_not_read(tmp_path: Path) -> None:
    source = """
    async def view(request):
        match await Book.objects.aget(pk=1):
            case Author(author=found):
                pass
    """

    assert codes(tmp_path, source) == []
