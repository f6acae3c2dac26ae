"""SQL that Django's compilers make leaves a session untouched: no lookup and no function of the ORM pins."""

import asyncio
import datetime as dt
import inspect

import pytest
from django.core.exceptions import FieldError
from django.db import DatabaseError, NotSupportedError
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
    Window,
    functions,
)

from daf_orm import database_sync_to_async, get_pool, transaction
from daf_orm._django.owners import owner_here
from tests.project.library.models import Author, Book, Event, Reading

pytestmark = pytest.mark.usefixtures("many_connections")

TEXTS = "exact iexact contains icontains startswith istartswith endswith iendswith regex iregex".split()
TIMES = "year month day week week_day quarter iso_year hour minute second date time".split()
LOOKUPS = {
    **{f"text__{name}": {f"text__{name}": r"100 %_'\ (a|b"} for name in TEXTS if "regex" not in name},
    **{f"text__{name}": {f"text__{name}": r"^a[b']\\c"} for name in TEXTS if "regex" in name},
    **{f"text__{name} of a field": {f"text__{name}": F("text")} for name in TEXTS},
    **{f"taken_at__{name}": {f"taken_at__{name}": 1} for name in TIMES[:-2]},
    "date": {"taken_at__date": dt.date(2026, 1, 1)},
    "time": {"taken_at__time": dt.time(1, 2)},
    "in": {"text__in": ["a", "b\\", "'"]},
    "range": {"number__range": (1, 2)},
    "null": {"number__isnull": True},
    "payload": {"payload__a__b": 1},
    "payload key": {"payload__has_key": "a\\'"},
    "payload text": {"payload__a__icontains": "x"},
    "payload contains": {"payload__contains": {"a": 1}},
    "payload null": {"payload__a__isnull": False},
}
OF_TEXT = [F("text"), F("text"), F("text")]
OF_NUMBERS = [F("degrees"), F("degrees"), F("degrees")]
NEEDS_EXTENSION = {"RandomUUID", "Random"}


def functions_of_django():
    """Yield every database function of Django with as many arguments as it takes, if two kinds of them fit."""
    for name, function in vars(functions).items():
        if not inspect.isclass(function) or name in NEEDS_EXTENSION or getattr(function, "arity", 0) is None:
            continue
        yield name, function


def expressions(function):
    kinds = (
        OF_NUMBERS,
        OF_TEXT,
        [F("taken_at"), F("taken_at")],
        [F("text"), Value(2)],
        [F("number")],
        [F("taken_at"), "day"],
    )
    for arguments in kinds:
        for number in (getattr(function, "arity", None) or 1, 2, 1, 3, 0):
            try:
                made = function(*arguments[:number])
            except (TypeError, ValueError):
                continue
            yield Window(made, order_by="pk") if getattr(function, "window_compatible", False) else made


@pytest.fixture
def nothing_pinned(pool_with):
    pool_with(MAX_SIZE=2)
    yield
    assert get_pool().get_stats()["connections_pinned"] == 0


@database_sync_to_async
def make_reading():
    Reading.objects.create(text="abc", degrees=0.5, number=7, payload={"a": {"b": 1}}, taken_at=dt.datetime.now(dt.UTC))


@pytest.mark.parametrize("condition", LOOKUPS.values(), ids=LOOKUPS)
@pytest.mark.usefixtures("nothing_pinned")
async def test_no_lookup_pins(condition):
    try:
        await Reading.objects.filter(**condition).acount()
        await Reading.objects.filter(**condition).aupdate(number=1)
    except NotSupportedError:
        pytest.skip("this database does not have it")


async def has_pinned(expression):
    """Return True if a query for it makes its owner keep the connection; None if the database does not have it."""
    try:
        await Reading.objects.annotate(found=expression).values_list("found").afirst()
    except (AttributeError, DatabaseError, FieldError, TypeError, ValueError):  # the arguments are not of its kind
        return None
    return owner_here().was_pinned


async def test_no_function_pins():
    await make_reading()
    found = {}
    for name, function in functions_of_django():
        for expression in expressions(function):
            if (pinned := await asyncio.create_task(has_pinned(expression))) is not None:
                found[name] = pinned
                break

    assert [name for name, pinned in found.items() if pinned] == []
    assert len(found) > 55


@pytest.mark.usefixtures("nothing_pinned")
async def test_no_query_of_djangos_pins():
    author = await Author.objects.acreate(name="a")
    books = Book.objects.filter(author=OuterRef("pk"))
    await Author.objects.annotate(n=Count("books"), s=Sum("books__price"), m=Max("books__stock")).afirst()
    await Author.objects.aaggregate(Avg("pk"), StdDev("pk"), Variance("pk"), n=Count("pk", filter=Q(name="a")))
    await (
        Author.objects.filter(Exists(books) | ~Q(name__contains="x")).order_by(F("name").desc(nulls_last=True)).afirst()
    )
    await Author.objects.annotate(first=Subquery(books.values("title")[:1])).afirst()
    await Author.objects.annotate(rank=Window(functions.RowNumber(), partition_by="name", order_by="pk")).afirst()
    await Author.objects.annotate(kind=Case(When(name="a", then=Value("x")), default=Value("y\\"))).afirst()
    await Author.objects.filter(pk=author.pk).aupdate(name=functions.Concat("name", Value("'\\")))
    await Author.objects.order_by().values("name").union(Book.objects.order_by().values("title")).acount()
    await Author.objects.filter(pk__in=Author.objects.values("pk")).adelete()
    await Event.objects.abulk_create([Event(name="a\\"), Event(name="'")])
    await Event.objects.abulk_update([event async for event in Event.objects.all()], ["name"])
    async with transaction.atomic(), transaction.atomic():
        await Event.objects.aupdate_or_create(name="c", defaults={"name": "d"})
        await Event.objects.select_for_update().filter(name="d").afirst()
    assert [event.name async for event in Event.objects.aiterator()]
