"""Managers and classes of the project: the relations that their rows have, and the methods that they call."""

from __future__ import annotations

from pathlib import Path

import pytest

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings
from tests.orm.static.checking import project

MODELS = """
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class BookQuerySet(models.QuerySet):
    def total(self):
        return self.count()  # in total


class BookManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().select_related("author")

    def named(self, title):
        return self.get_queryset().filter(title=title)

    def how_many(self):
        return super().get_queryset().count()  # in how_many


class Counted(models.base.ModelBase):
    def how_many(cls):
        return cls.objects.count()  # in Counted

    def __len__(cls):
        return cls.objects.count()  # in len


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    editor = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="edited")
    objects = BookManager.from_queryset(BookQuerySet)()

    def __getitem__(self, index):
        return self.editor.name  # in item

    def __call__(self):
        return self.editor.name  # in call

    def __enter__(self):
        return self.editor.name  # in enter

    def __exit__(self, *_):
        self.save()  # in exit


class Shelf(models.Model, metaclass=Counted):
    pass
"""


def lines(folder: Path, line: str) -> list[str]:
    """Return the lines of the models that are found behind one of a coroutine function."""
    source = f"""
    from shop.models import Author, Book, Shelf
    async def view(request):
        author = await Author.objects.aget(pk=1)
        book = await Book.objects.aget(pk=1)
        {line}
    """
    package = project(folder, models=MODELS, views=source)
    found = check(modules([package]), Settings())
    return [Path(each.file).read_text().splitlines()[each.line - 1].strip() for each in found]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("Book.objects.named('x').total()", "in total"),
        ("Book.objects.all().total()", "in total"),
        ("Book.objects.how_many()", "in how_many"),
        ("Shelf.how_many()", "in Counted"),
        ("print(len(Shelf))", "in len"),
        ("print(book[0])", "in item"),
        ("book()", "in call"),
    ],
)
def test_a_method_is_followed(line: str, place: str, tmp_path: Path) -> None:
    (found,) = lines(tmp_path, line)

    assert found.endswith(place)


def test_a_row_is_entered_and_left(tmp_path: Path) -> None:
    found = lines(tmp_path, "with book: pass")

    assert [each.partition("# ")[2] for each in found] == ["in enter", "in exit"]


@pytest.mark.parametrize(
    ("line", "loads"),
    [
        ("[book.author.name async for book in author.books.all()]", False),
        ("[book.editor.name async for book in author.edited.all()]", False),
        ("[book.editor.name async for book in author.books.all()]", True),
        ("(await author.edited.afirst()).editor.name", False),
        ("(await Book.objects.named('x').afirst()).author.name", False),
        ("(await Book.objects.named('x').afirst()).editor.name", True),
    ],
)
def test_rows_have_the_key_that_they_were_reached_by(line: str, loads: bool, tmp_path: Path) -> None:  # noqa: FBT001
    assert bool(lines(tmp_path, f"print({line})")) is loads
