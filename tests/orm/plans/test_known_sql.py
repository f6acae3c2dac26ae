"""Each lookup, expression and shape of a query that is known to compile alike, with many values."""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Avg, Count, F, Max, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Length, Lower, Upper
from django.db.transaction import TransactionManagementError

from daf_orm._plans import get_stats
from tests.orm.plans.compiling import compiled_both_ways, is_kept, with_every_relation
from tests.project.library.models import Author, Book, CheapBook, Counter, Novel, Profile, Publisher, Reading, Review

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 29, 12, 0, 0, 5, tzinfo=dt.UTC)
PARIS = dt.timezone(dt.timedelta(hours=2))
WORDS = ("Emma", "", "100%", "a_b", "back\\slash", "quote'", 'double"', "ü", "%s")
READING: dict[str, Sequence[Any]] = {
    "serial": (uuid.UUID(int=0), uuid.UUID(int=7), str(uuid.UUID(int=9))),
    "taken_at": (NOON, NOON.astimezone(PARIS), NOON.replace(year=1)),
    "day": (dt.date(2026, 1, 1), dt.date(1, 1, 1), "2026-02-03"),
    "clock": (dt.time(1, 2, 3), dt.time.max),
    "lasted": (dt.timedelta(seconds=1), dt.timedelta(days=-3, microseconds=1)),
    "level": (Decimal("1.000001"), Decimal(0), Decimal("-1E3"), 7, "2.5"),
    "degrees": (1.5, -0.0, 0.0, 1e300, float("nan"), float("inf"), 3),
    "number": (1, 0, -1, 2**63 - 1, True, "12", 1.0),
    "text": WORDS,
    "raw": (b"", b"\x00\xff"),
    "after": (1, 2**40, Reading(pk=5)),
    "after__number": (3, 4),
}
ORDERED = sorted(READING.keys() - {"raw"})


def all_alike(build: Callable[[Any], QuerySet], values: Sequence[Any]) -> None:
    assert is_kept(build(values[0]))
    for value in values:
        assert compiled_both_ways(build(value)), value


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("lookup", ["exact"])
def test_equality(name: str, lookup: str) -> None:
    all_alike(lambda value: Reading.objects.filter(**{f"{name}__{lookup}": value}), READING[name])
    all_alike(lambda value: Reading.objects.exclude(**{f"{name}__{lookup}": value}), READING[name])


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("lookup", ["gt", "gte", "lt", "lte"])
def test_order(name: str, lookup: str) -> None:
    all_alike(lambda value: Reading.objects.filter(**{f"{name}__{lookup}": value}), READING[name])


@pytest.mark.parametrize("name", ORDERED)
def test_in_and_range(name: str) -> None:
    first, second, *_ = READING[name]
    all_alike(lambda value: Reading.objects.filter(**{f"{name}__in": [value]}), READING[name])
    if name != "after":
        all_alike(lambda pair: Reading.objects.filter(**{f"{name}__range": pair}), [(first, second), (second, first)])


@pytest.mark.parametrize(
    "lookup",
    ["iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex"],
)
def test_text(lookup: str) -> None:
    all_alike(lambda value: Reading.objects.filter(**{f"text__{lookup}": value}), [*WORDS, 4, 1.5])
    all_alike(lambda value: Reading.objects.filter(**{f"number__{lookup}": value}), ["1", 1])


@pytest.mark.parametrize("value", [True, False])
def test_booleans_and_null(value: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    assert is_kept(Reading.objects.filter(is_valid=value))
    assert is_kept(Reading.objects.filter(is_valid__in=[value]))
    for name in (*READING, "is_valid", "payload"):
        assert is_kept(Reading.objects.filter(**{f"{name}__isnull": value}))
    assert is_kept(Author.objects.filter(books__isnull=value))
    assert is_kept(Book.objects.filter(tags__isnull=value))


def test_true_and_false_have_separate_plans() -> None:
    for value in (True, False, True, False):
        compiled_both_ways(Reading.objects.filter(is_valid=value))
        compiled_both_ways(Reading.objects.filter(number__isnull=value))
        compiled_both_ways(Reading.objects.filter(number=value))


def test_every_length_of_in_has_its_own_plan() -> None:
    for values in ([1], [1, 2], [2, 1, 3], [1, 1], [1, None], [None], [], [1, None, 2], (), {5}, range(40)):
        for _ in range(3):
            compiled_both_ways(Counter.objects.filter(value__in=values))
            compiled_both_ways(Counter.objects.exclude(value__in=values))
            compiled_both_ways(Book.objects.filter(author__in=values))


def test_values_that_match_no_row_or_every_row() -> None:
    for value in (1, 2**80, -(2**80), 2**31, 5):
        for lookup in ("exact", "gt", "gte", "lt", "lte"):
            for _ in range(3):
                compiled_both_ways(Counter.objects.filter(**{f"value__{lookup}": value}))
                compiled_both_ways(Counter.objects.exclude(**{f"value__{lookup}": value}))
                compiled_both_ways(Counter.objects.filter(Q(name="x") | Q(**{f"value__{lookup}": value})))


@pytest.mark.parametrize(
    "build",
    [
        lambda n: Book.objects.filter(Q(stock=n) | Q(title=str(n)) & ~Q(author__name=str(n))),
        lambda n: Book.objects.filter(~(Q(stock=n) | ~Q(title=str(n)))),
        lambda n: Book.objects.filter(author__name=str(n)).filter(author__email=str(n)),
        lambda n: Book.objects.filter(Q(publisher__name=str(n)) | Q(stock=n)),
        lambda n: Book.objects.filter(tags__name=str(n)).filter(tags__name__gt=str(n)),
        lambda n: Book.objects.filter(author=n, publisher=n, publisher__id__lt=n),
        lambda n: Book.objects.filter(author=Author(pk=n)),
        lambda n: Book.objects.filter(author__in=[Author(pk=n), n + 1]),
        lambda n: Author.objects.filter(books=n, books__publisher__isnull=True),
        lambda n: Author.objects.filter(profile=n),
        lambda n: Profile.objects.filter(pk=n),
        lambda n: Novel.objects.filter(title=str(n), pages__gt=n),
        lambda n: CheapBook.objects.filter(stock=n),
        lambda n: Book.objects.filter(stock__gt=F("author_id") + n),
        lambda n: Book.objects.filter(stock__gt=F("author__id") * 2 - n),
        lambda n: Book.objects.filter(title__contains=F("author__name"), stock=n),
        lambda n: Book.objects.filter(title=Lower("author__name"), stock=n),
        lambda n: Book.objects.filter(stock=Value(n)),
        lambda n: Book.objects.filter(stock=n)[n : n + 10],
        lambda n: Book.objects.filter(stock=n).order_by("title")[:n],
        lambda n: Book.objects.filter(stock=n).order_by("title")[n:],
    ],
)
def test_conditions(build: Callable[[int], QuerySet]) -> None:
    all_alike(build, [3, 4, 50])


ORDERS = [
    lambda: Book.objects.order_by("title", "-stock"),
    lambda: Book.objects.order_by("author"),
    lambda: Book.objects.order_by("-author__email", "publisher__name"),
    lambda: Book.objects.order_by("pk").reverse(),
    lambda: Book.objects.order_by(F("title").desc(nulls_last=True), "pk"),
    lambda: Book.objects.order_by(F("author__name").asc(nulls_first=True)),
    lambda: Book.objects.order_by(Lower("title").desc(), "-stock", "pk"),
    lambda: Author.objects.all(),
    lambda: Author.objects.reverse(),
    lambda: Author.objects.order_by(),
    lambda: Novel.objects.order_by("title"),
]
SELECTED = [
    lambda: Book.objects.values("title", "author__name"),
    lambda: Book.objects.values_list("pk", flat=True),
    lambda: Book.objects.values_list("title", "stock").order_by("author__name"),
    lambda: Book.objects.values(),
    lambda: Book.objects.only("title"),
    lambda: Book.objects.only("title", "author__name").select_related("author"),
    lambda: Book.objects.defer("title", "price"),
    lambda: Book.objects.select_related("author"),
    lambda: Book.objects.select_related("author", "publisher"),
    lambda: with_every_relation(Book.objects.all()),
    lambda: Profile.objects.select_related("author"),
    lambda: Author.objects.select_related("profile"),
    lambda: Book.objects.select_related("novel"),
    lambda: Novel.objects.select_related("author"),
    lambda: Review.objects.select_related("content_type"),
    lambda: Reading.objects.select_related("after__after"),
    lambda: Book.objects.distinct(),
    lambda: Book.objects.filter(tags__name="x").distinct().order_by("title"),
    lambda: Book.objects.distinct().order_by("author__name"),
]
ANNOTATED = [
    lambda: Author.objects.annotate(n=Count("books")),
    lambda: Author.objects.annotate(n=Count("books", distinct=True)).order_by("-n"),
    lambda: Author.objects.values("email").annotate(n=Count("pk"), most=Max("books__stock")),
    lambda: Author.objects.annotate(n=Sum("books__stock")).values("n"),
    lambda: Book.objects.values("author").annotate(Avg("stock"), Min("title")).order_by("author"),
    lambda: Book.objects.annotate(double=F("stock") * 2).order_by("double"),
    lambda: Book.objects.annotate(double=F("stock") * 2, one=Value(1), text=Value("x")).values_list("double", "one"),
    lambda: Book.objects.annotate(name=Lower("title"), long=Length("title"), high=Upper("author__name")),
    lambda: Book.objects.annotate(name=Coalesce("publisher__name", Value("none"))).filter(stock=3),
    lambda: Book.objects.annotate(name=Coalesce("publisher__name", "title")).values("name").distinct(),
    lambda: Book.objects.alias(n=F("stock") + 1).order_by("n"),
]


@pytest.mark.parametrize("build", [*ORDERS, *SELECTED, *ANNOTATED])
def test_structures(build: Callable[[], QuerySet]) -> None:
    assert is_kept(build())
    assert is_kept(build().filter(pk__gt=1)[2:4])


@pytest.mark.parametrize("build", [*SELECTED, *ANNOTATED])
def test_a_plan_gives_the_rows_that_django_gives(build: Callable[[], QuerySet]) -> None:
    author = Author.objects.create(name="Jane", email="j@example.org")
    Profile.objects.create(author=author)
    press = Publisher.objects.create(name="Press")
    Novel.objects.create(title="Emma", author=author, publisher=press, stock=3, pages=4)
    Book.objects.create(title="Letters", author=author, stock=5)
    first, second, third = (rows(build()) for _ in range(3))

    assert first == second == third
    assert compiled_both_ways(build())


def rows(queryset: QuerySet) -> list[Any]:
    found = [(vars(row) | {"_state": vars(row._state).keys()}) if hasattr(row, "_state") else row for row in queryset]
    return [repr(each) for each in sorted(found, key=repr)]


def test_a_query_has_the_tables_of_its_sql_after_it_is_compiled() -> None:
    """django-cachalot drops what it has cached when one of them changes."""
    for _ in range(3):
        query = Book.objects.select_related("author").order_by("publisher__name")
        list(query)

        assert [*query.query.alias_map] == ["library_book", "library_author", "library_publisher"]
        assert query.query.table_map.keys() == query.query.alias_map.keys()
        assert [book.pk for book in query.filter(author__name="x", publisher__name="y")] == []


def test_the_queries_that_django_makes_for_count_exists_get_and_aggregate() -> None:
    author = Author.objects.create(name="Jane")
    for name in ("Jane", "Emma", "Jane", "Emma"):
        assert Author.objects.filter(name=name).count() == (name == "Jane")
        assert Author.objects.filter(name=name).exists() == (name == "Jane")
        assert Author.objects.filter(name=name).first() == (author if name == "Jane" else None)
        assert Author.objects.filter(name=name).aggregate(most=Max("pk")) == {
            "most": author.pk if name == "Jane" else None
        }
    assert get_stats().hits == 12


def test_locks() -> None:
    def locked(number: int, **options: bool) -> QuerySet:
        return Book.objects.select_for_update(**options).filter(pk=number)

    options = ({}, {"nowait": True}, {"skip_locked": True}, {"no_key": True}, {"nowait": True, "no_key": True})
    for each in options if connection.features.has_select_for_update_nowait else options[:1]:
        all_alike(partial(locked, **each), range(3))
    for queryset in (locked(1).select_related("author"), locked(1)[:3], locked(1)[2:], locked(1).order_by("title")[:9]):
        assert is_kept(queryset)
    assert not compiled_both_ways(locked(1)[:4])  # LIMIT stands before FOR UPDATE


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no row locks")
def test_a_lock_outside_a_transaction_is_refused_as_by_django() -> None:
    with transaction.atomic():
        assert is_kept(Book.objects.select_for_update().filter(pk=1))
    with pytest.raises(TransactionManagementError):
        list(Book.objects.select_for_update().filter(pk=1))


def test_a_query_with_a_lock_and_one_without_have_separate_plans() -> None:
    for _ in range(3):
        compiled_both_ways(Book.objects.filter(pk=1))
        compiled_both_ways(Book.objects.select_for_update().filter(pk=1))
