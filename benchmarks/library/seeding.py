"""The rows of the benchmarks, the same in every run."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection

from benchmarks.library.models import Book

BOOKS = 1000


def seed(books: int = BOOKS) -> None:
    """Create the table and fill it; ids run from 1 to the number of books."""
    chance = random.Random(1)
    with connection.schema_editor() as editor:
        editor.create_model(Book)
    Book.objects.bulk_create(_book(number, chance) for number in range(1, books + 1))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # not in the middle of a measurement


def _book(number: int, chance: random.Random) -> Book:
    return Book(
        title=f"Book {number}",
        author=f"Author {chance.randrange(200)}",
        isbn=f"978{number:010d}",
        published=date(2000, 1, 1) + timedelta(days=chance.randrange(9000)),
        added=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        price=Decimal(chance.randrange(500, 5000)) / 100,
        pages=chance.randrange(60, 900),
    )
