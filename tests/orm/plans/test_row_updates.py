"""``save()`` of a row that is there sends the UPDATE that Django sends, and has the same outcome."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Upper
from django.db.models.sql.compiler import SQLCompiler, SQLUpdateCompiler
from django.db.models.sql.query import Query
from django.db.models.sql.subqueries import UpdateQuery
from django.test.utils import isolate_apps
from hypothesis import given
from hypothesis import strategies as st

from daf_orm import _plans
from daf_orm._plans import get_stats, keeping
from daf_orm._plans.row_plan import RowPlan
from daf_orm.settings import PlanSettings
from tests.project.library.models import Author, Book, Counter, Novel, Reading, Seat

pytestmark = pytest.mark.django_db(databases=["default", "other"])
Save = Callable[[], object]


@contextmanager
def sent() -> Iterator[list[tuple[str, Any]]]:
    """Collect the UPDATE statements that are sent, and their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            statements.append((sql, [(type(each), repr(_readable(each))) for each in params]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements


def _readable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def saved_both_ways(save: Save) -> bool:
    """Assert that three saves send what Django sends; return True if the last took the SQL of a plan."""
    outcomes, hits = [], 0
    for _ in range(3):
        before = _hits()
        outcomes.append(outcome(save))
        hits = _hits() - before
    assert get_stats().differed == 0
    _plans.deactivate()
    try:
        theirs = outcome(save)
    finally:
        _plans.activate(PlanSettings(CHECK_EVERY=1_000_000))
    assert outcomes == [theirs] * 3
    return hits == 1


def _hits() -> int:
    return sum(plan.hits for plan in keeping._keeper.store._young.values() if isinstance(plan, RowPlan))


def outcome(save: Save) -> Any:
    with sent() as statements:
        try:
            with transaction.atomic():
                save()
        except Exception as error:  # noqa: BLE001 - is compared
            return statements, type(error), str(error)
    return statements, None, None


@pytest.fixture
def book() -> Book:
    author = Author.objects.create(name="a")
    return Book.objects.create(title="b", author=author)


@pytest.mark.parametrize("changes", [{}, {"stock": 7}, {"publisher": None, "price": Decimal("1.5"), "title": "%s"}])
@pytest.mark.parametrize("options", [{}, {"update_fields": ["stock", "title"]}, {"force_update": True}])
def test_a_row_is_updated_by_a_plan(book: Book, changes: dict[str, Any], options: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(book, name, value)

    assert saved_both_ways(lambda: book.save(**options))


def test_saved_values_are_there(book: Book) -> None:
    for stock in range(5):
        book.stock = stock
        book.save()
        assert Book.objects.get(pk=book.pk).stock == stock
    assert get_stats().hits >= 3


def test_other_columns_are_another_plan(book: Book) -> None:
    saved_both_ways(lambda: book.save(update_fields=["stock"]))
    made = get_stats().made
    book.title = "changed"
    book.save(update_fields=["title"])

    assert get_stats().made == made + 1
    assert Book.objects.get(pk=book.pk).title == "changed"


def test_another_database_is_another_plan() -> None:
    here, there = Author(pk=1, name="here"), Author(pk=1, name="there")
    for _ in range(4):
        here.save(using="default")
        there.save(using="other")

    assert Author.objects.using("default").get(pk=1).name == "here"
    assert Author.objects.using("other").get(pk=1).name == "there"


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "taken_at": st.none() | st.datetimes(min_value=dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
        "day": st.none() | st.dates() | st.just("2026-01-02"),
        "clock": st.none() | st.times(),
        "lasted": st.none() | st.timedeltas(max_value=dt.timedelta(days=9999)),
        "level": st.none() | st.decimals(-1000, 1000, places=2) | st.integers(-9, 9) | st.just("1.5"),
        "degrees": st.none() | st.floats(allow_nan=False) | st.integers(-9, 9),
        "is_valid": st.none() | st.booleans() | st.just("True"),
        "number": st.none() | st.integers(-(2**64), 2**64) | st.just("5") | st.just("none"),
        "text": st.none() | st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=5),
        "raw": st.none() | st.binary(max_size=5),
        "payload": st.none()
        | st.recursive(st.booleans() | st.integers(-9, 9) | st.just("x"), lambda each: st.lists(each, max_size=2)),
        "after_id": st.none() | st.just("no number"),
    },
)


@given(values=VALUES)
def test_values_are_prepared_as_django_prepares_them(values: dict[str, Any]) -> None:
    reading = Reading.objects.create()
    for name, value in values.items():
        setattr(reading, name, value)

    saved_both_ways(reading.save)


@pytest.mark.parametrize("key", [10**6, "1000000", 2**70, -(2**70)])
def test_a_row_that_is_not_there(key: Any) -> None:
    def save() -> None:
        Counter(pk=key, name="x").save(force_update=True)

    saved_both_ways(save)
    with pytest.raises(DatabaseError):
        save()


def test_a_row_that_is_gone_is_inserted() -> None:
    counter = Counter.objects.create(name="a")
    for _ in range(3):
        counter.save()
    Counter.objects.all().delete()
    counter.pk = 5
    counter.save()

    assert Counter.objects.get().pk == 5


def test_a_parents_row_is_updated_by_a_plan_and_the_childs_by_django(book: Book) -> None:
    novel = Novel.objects.create(title="n", author=book.author, pages=3)
    assert saved_both_ways(lambda: novel.save(update_fields=["title"]))

    assert not saved_both_ways(lambda: novel.save(update_fields=["pages"]))
    assert Novel.objects.get().pages == 3


def test_a_composite_key_is_djangos() -> None:
    seat = Seat.objects.create(row="a", number=1)

    assert not saved_both_ways(lambda: seat.save(force_update=True))


@pytest.mark.parametrize("value", [F("stock") + 1, Value(3), Upper(Value("a"))])
def test_an_expression_is_djangos(book: Book, value: Any) -> None:
    def save() -> None:
        setattr(book, "title" if isinstance(value, Upper) else "stock", value)
        book.save()

    assert not saved_both_ways(save)


def test_a_model_that_selects_on_save_is_djangos(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book._meta, "select_on_save", True)

    assert not saved_both_ways(book.save)
    assert saved_both_ways(lambda: book.save(force_update=True))


def test_a_base_manager_that_filters_is_djangos() -> None:
    class InStock(models.Manager):
        def get_queryset(self) -> QuerySet:
            return super().get_queryset().filter(value__gt=0)

    with isolate_apps("tests.project.library"):

        class Filtered(models.Model):
            name = models.CharField(max_length=50)
            value = models.IntegerField()
            found = InStock()

            class Meta:
                app_label, db_table, base_manager_name, managed = "library", Counter._meta.db_table, "found", False

    row = Counter.objects.create(name="a", value=1)

    assert not saved_both_ways(lambda: Filtered(pk=row.pk, name="b", value=2).save(force_update=True))


def test_a_queryset_that_updates_in_another_way_is_djangos() -> None:
    class Upwards(QuerySet):
        def filter(self, *args: Any, **kwargs: Any) -> Any:
            return super().filter(*args, **kwargs).filter(value__gte=0)

    with isolate_apps("tests.project.library"):

        class Guarded(models.Model):
            name = models.CharField(max_length=50)
            value = models.IntegerField()
            found = Upwards.as_manager()

            class Meta:
                app_label, db_table, base_manager_name, managed = "library", Counter._meta.db_table, "found", False

    row = Counter.objects.create(name="a", value=1)

    assert not saved_both_ways(lambda: Guarded(pk=row.pk, name="b", value=0).save())


def test_a_model_that_updates_in_another_way_is_asked() -> None:
    seen = []
    with isolate_apps("tests.project.library"):

        class Versioned(models.Model):
            name = models.CharField(max_length=50)
            value = models.IntegerField()

            class Meta:
                app_label, db_table, managed = "library", Counter._meta.db_table, False

            def _do_update(self, base_qs: Any, *args: Any) -> Any:
                seen.append(base_qs)
                return super()._do_update(base_qs.filter(value=self.value - 1), *args)

    row = Counter.objects.create(name="a", value=1)

    def save() -> None:
        Versioned(pk=row.pk, name="a", value=1).save(force_update=True)

    assert not saved_both_ways(save)
    with pytest.raises(DatabaseError):
        save()
    assert seen


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((SQLUpdateCompiler, name) for name in ("as_sql", "execute_sql", "pre_sql_setup")),
        *((SQLUpdateCompiler, name) for name in ("execute_returning_sql",) if hasattr(SQLUpdateCompiler, name)),
        *((SQLCompiler, name) for name in ("execute_sql", "compile")),
        *((QuerySet, name) for name in ("_update", "filter", "_filter_or_exclude")),
        *((UpdateQuery, name) for name in ("add_update_fields", "get_related_updates")),
        *((Query, name) for name in ("build_filter", "chain", "get_compiler")),
        (models.Model, "_do_update"),
    ],
)
def test_a_step_of_django_that_is_replaced_is_taken(book: Book, owner: Any, name: str) -> None:
    assert saved_both_ways(book.save)
    original, seen = getattr(owner, name), []

    def replaced(*args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return original(*args, **kwargs)

    own = name in vars(owner)
    setattr(owner, name, replaced)
    try:
        book.save()
        assert seen
        assert outcome(book.save)[1] is None
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)
    assert saved_both_ways(book.save)


def test_a_table_that_is_swapped(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved_both_ways(lambda: book.save(update_fields=["stock"]))
    monkeypatch.setattr(Book._meta, "db_table", "elsewhere")
    with sent() as statements, pytest.raises(DatabaseError):
        book.save(update_fields=["stock"])

    assert "elsewhere" in statements[0][0]


def test_a_column_that_is_renamed(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved_both_ways(lambda: book.save(update_fields=["stock"]))
    monkeypatch.setattr(Book._meta.get_field("stock"), "column", "renamed")
    with sent() as statements, pytest.raises(DatabaseError):
        book.save(update_fields=["stock"])

    assert "renamed" in statements[0][0]


def test_a_plan_that_differs_is_told_and_djangos_is_sent(
    book: Book, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _plans.deactivate()
    _plans.activate(PlanSettings(CHECK_EVERY=1))
    book.save()
    (plan,) = (each for each in keeping._keeper.store._young.values() if isinstance(each, RowPlan))
    plan.sql = plan.sql.replace("UPDATE", "UPDATE ", 1)
    book.stock = 8
    with sent() as statements:
        book.save()
        book.save()

    assert [sql.startswith("UPDATE  ") for sql, _ in statements] == [False, False]
    assert get_stats().differed == 1
    assert "differs from what Django compiles" in caplog.text
    assert Book.objects.get().stock == 8


def test_a_client_that_chooses_which_columns_are_null_makes_few_plans() -> None:
    reading = Reading.objects.create()
    names = ("day", "clock", "lasted", "degrees", "number", "text", "level", "is_valid")
    values = (dt.date(2026, 1, 2), dt.time(1), dt.timedelta(1), 1.5, 3, "x", Decimal(2), True)
    before = get_stats().made
    for pattern in range(256):
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            setattr(reading, name, value if pattern >> place & 1 else None)
        reading.save(update_fields=names)
        assert Reading.objects.values_list(*names).get() == tuple(getattr(reading, name) for name in names)

    assert 40 < get_stats().made - before < 80
    assert get_stats().reasons["UPDATE of other columns to NULL each time"] > 100


@pytest.mark.django_db(transaction=True, databases=["default"])
async def test_asave_takes_a_plan() -> None:
    author = await Author.objects.acreate(name="a")
    for name in ("b", "c", "d"):
        author.name = name
        before = _hits()
        await author.asave()
    assert _hits() == before + 1
    assert (await Author.objects.aget()).name == "d"
