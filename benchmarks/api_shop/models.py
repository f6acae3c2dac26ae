"""Books and authors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import connection, models

_manager: Any = models.Manager
if getattr(settings, "BENCHMARK_SPELLING", "") == "daf":
    _manager = import_module("daf_orm").AsyncManager


class Author(models.Model):
    """The author of a book."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    """The rows that the API lists."""

    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, on_delete=models.CASCADE)

    objects = _manager()

    def __str__(self) -> str:
        return self.title


def books() -> Any:
    """Return a hundred books and their authors: one query."""
    return Book.objects.select_related("author").order_by("pk")[:100]


def seed() -> None:
    """Make the tables, and the rows in them."""
    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    authors = Author.objects.bulk_create(Author(name=f"Author {number}") for number in range(20))
    Book.objects.bulk_create(Book(title=f"Book {number}", author=authors[number % 20]) for number in range(100))
