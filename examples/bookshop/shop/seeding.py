"""A shop full of invented rows: the same ones on every machine, as they come from one random seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from shop.models import Author, Book, Order, OrderLine, Stock, Tag

AUTHORS = 240
BOOKS = 3_000
ORDERS = 1_500
MAX_TAGS = 3
BATCH = 500

GIVEN = (
    "Ada",
    "Bruno",
    "Clara",
    "Dmitri",
    "Esther",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kaito",
    "Leila",
)
FAMILY = (
    *("Abbas", "Brandt", "Castro", "Dumas", "Eriksen", "Ferrari", "Gupta", "Haddad", "Ito", "Jansen"),
    *("Kowalski", "Lindqvist", "Moreau", "Novak", "Okafor", "Petrov", "Quiroga", "Rossi", "Silva", "Tanaka"),
)
ADJECTIVES = (
    "Quiet",
    "Distant",
    "Golden",
    "Hidden",
    "Last",
    "Northern",
    "Patient",
    "Restless",
    "Silent",
    "Winter",
)
NOUNS = (
    "Archive",
    "Bridge",
    "Compass",
    "Garden",
    "Harbour",
    "Island",
    "Library",
    "Mountain",
    "River",
    "Voyage",
)
PLACES = ("Aleppo", "Bergen", "Cadiz", "Dakar", "Edinburgh", "Kyoto", "Lisbon", "Odessa", "Quito", "Trieste")
TAGS = (
    "Art",
    "Biography",
    "Children",
    "Cooking",
    "Crime",
    "Essays",
    "History",
    "Nature",
    "Poetry",
    "Science",
    "Travel",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """The rows that one run of the seed wrote; all zero when they were there already."""

    authors: int = 0
    books: int = 0
    orders: int = 0


@transaction.atomic
def seed_shop(*, random_seed: int = 2026) -> Seeded:
    """Fill the shop, all of it or nothing; a shop that has the first seeded book has them all."""
    if Book.objects.filter(isbn=isbn(0)).exists():
        return Seeded()
    rng = random.Random(random_seed)
    authors = Author.objects.bulk_create(_authors(rng), batch_size=BATCH)
    books = Book.objects.bulk_create(_books(rng, authors), batch_size=BATCH)
    _tag(rng, books)
    Stock.objects.bulk_create((Stock(book=book, quantity=rng.randint(5, 200)) for book in books), batch_size=BATCH)
    orders = Order.objects.bulk_create(_orders(rng), batch_size=BATCH)
    OrderLine.objects.bulk_create(_lines(rng, orders, books), batch_size=BATCH)
    return Seeded(authors=len(authors), books=len(books), orders=len(orders))


def isbn(number: int) -> str:
    """The ISBN-13 with this running number, check digit included."""
    digits = f"978{number:09d}"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


def _authors(rng: random.Random) -> Iterator[Author]:
    names = [f"{given} {family}" for given in GIVEN for family in FAMILY]
    for name in rng.sample(names, AUTHORS):
        yield Author(name=name, born=rng.randint(1900, 1995))


def _books(rng: random.Random, authors: Sequence[Author]) -> Iterator[Book]:
    for number in range(BOOKS):
        yield Book(
            isbn=isbn(number),
            title=f"The {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} of {rng.choice(PLACES)}",
            author=rng.choice(authors),
            published=date(1960, 1, 1) + timedelta(days=rng.randrange(24_000)),
            price=Decimal(rng.randint(499, 4999)) / 100,
        )


def _tag(rng: random.Random, books: Sequence[Book]) -> None:
    """Put one to three subjects on each book."""
    Tag.objects.bulk_create((Tag(name=name) for name in TAGS), ignore_conflicts=True)
    tags = list(Tag.objects.filter(name__in=TAGS).order_by("name"))
    through = Book.tags.through
    through.objects.bulk_create(
        (
            through(book_id=book.pk, tag_id=tag.pk)
            for book in books
            for tag in rng.sample(tags, rng.randint(1, MAX_TAGS))
        ),
        batch_size=BATCH,
    )


def _orders(rng: random.Random) -> Iterator[Order]:
    opening = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(ORDERS):
        minutes = rng.randrange(60 * 24 * 180)
        yield Order(customer=f"customer{number}@example.com", placed_at=opening + timedelta(minutes=minutes))


def _lines(rng: random.Random, orders: Sequence[Order], books: Sequence[Book]) -> Iterator[OrderLine]:
    for order in orders:
        for book in rng.sample(books, rng.randint(1, 3)):
            yield OrderLine(order=order, book=book, quantity=rng.randint(1, 4), unit_price=book.price)
