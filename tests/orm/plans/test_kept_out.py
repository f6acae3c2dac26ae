"""Values that change SQL are part of the structure; unknown parts take Django's way."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.expressions import ExpressionWrapper, RawSQL
from django.db.models.functions import Cast, Collate, Lower, RowNumber, Trunc
from django.db.models.lookups import Exact
from django.test.utils import isolate_apps

from daf_orm._plans import get_stats
from tests.orm.plans.compiling import compiled_both_ways, is_kept, reason
from tests.project.library.models import Author, Book, Counter, Reading, Seat

pytestmark = pytest.mark.django_db

OUT: dict[str, Callable[[], QuerySet]] = {
    "query.extra": lambda: Book.objects.extra(select={"one": "1"}),
    "query.extra_order_by": lambda: Book.objects.extra(order_by=["title"]),
    "query.extra_tables": lambda: Book.objects.extra(tables=["library_tag"]),
    "django.db.models.sql.where.ExtraWhere": lambda: Book.objects.extra(where=["1 = 1"]),
    "django.db.models.expressions.RawSQL": lambda: Book.objects.annotate(one=RawSQL("1", ())),
    "query.combinator": lambda: Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)),
    "query.filtered_relations": lambda: Author.objects.annotate(
        cheap=FilteredRelation("books", condition=Q(books__price__lt=5))
    ).filter(cheap__title="x"),
    "django.db.models.expressions.Exists": lambda: Author.objects.filter(
        Exists(Book.objects.filter(author=OuterRef("pk")))
    ),
    "django.db.models.sql.query.Query": lambda: Book.objects.filter(author__in=Author.objects.filter(name="x")),
    "django.db.models.expressions.Case": lambda: Book.objects.annotate(
        dear=Case(When(price__gt=5, then=Value(1)), default=Value(0))
    ),
    "django.db.models.expressions.Window": lambda: Book.objects.annotate(row=Window(RowNumber())),
    "django.db.models.functions.datetime.Trunc": lambda: Reading.objects.annotate(
        hour=Trunc("taken_at", "hour", output_field=models.DateTimeField())
    ),
    "django.db.models.functions.datetime.ExtractYear": lambda: Reading.objects.filter(taken_at__year__in=[2026]),
    "django.db.models.functions.comparison.Cast": lambda: Book.objects.annotate(s=Cast("stock", models.TextField())),
    "django.db.models.functions.comparison.Collate": lambda: Book.objects.order_by(
        Collate("title", "nocase" if connection.vendor == "sqlite" else "C")
    ),
    "django.db.models.expressions.ExpressionWrapper": lambda: Book.objects.annotate(
        w=ExpressionWrapper(F("stock"), output_field=models.IntegerField())
    ),
    "django.db.models.aggregates.Count": lambda: Author.objects.annotate(n=Count("books")).filter(n__gt=1),
    "django.db.models.aggregates.Count with a filter or an order": lambda: Author.objects.annotate(
        n=Count("books", filter=Q(books__stock=1))
    ),
    "django.db.models.sql.where.NothingNode": lambda: Book.objects.none(),
    "XOR": lambda: Book.objects.filter(Q(stock=1) ^ Q(stock=2)),
    "order by a transform": lambda: _with_transform(Book.objects.order_by("title__lower")),
    "django.db.models.functions.math.Random": lambda: Book.objects.order_by("?"),
    "no rows or all": lambda: Counter.objects.filter(Q(name="x") | Q(value__in=[])),
    "django.db.models.fields.tuple_lookups.TupleExact": lambda: Seat.objects.filter(pk=("A", 1)),
    "django.db.models.expressions.ExpressionList": lambda: Book.objects.filter(stock__in=[F("id"), 1]),
    "Value of a float": lambda: Book.objects.annotate(half=Value(0.5)),
    "django.db.models.functions.text.Lower with more than its arguments": lambda: Book.objects.annotate(
        name=Lower("title", function="UPPER")
    ),
}


def _with_transform(queryset: QuerySet) -> QuerySet:
    models.CharField.register_lookup(Lower, "lower")
    return queryset


@pytest.fixture(autouse=True)
def _no_transform_is_left() -> Any:
    yield
    if "lower" in models.CharField.get_class_lookups():
        models.CharField._unregister_lookup(Lower, "lower")


@pytest.mark.parametrize("why", OUT)
def test_kept_out(why: str) -> None:
    if why.endswith("TupleExact"):
        assert reason(OUT[why]()).startswith("django.db.models.fields.")
    else:
        assert reason(OUT[why]()) == why


def test_a_subquery_that_is_annotated_is_kept_out() -> None:
    titles = Book.objects.filter(author=OuterRef("pk")).values("title")[:1]

    assert not is_kept(Author.objects.annotate(title=Subquery(titles)))


def test_locks_of_some_tables_and_distinct_on_are_kept_out() -> None:
    for queryset in (Book.objects.select_for_update(of=["self"]), Book.objects.distinct("title")):
        before = get_stats().hits
        for _ in range(3):
            list_of(queryset)
        assert get_stats().hits == before


def list_of(queryset: QuerySet) -> None:
    try:
        list(queryset.all())
    except Exception as error:  # noqa: BLE001 - not every database can
        assert type(error).__name__ in {"NotSupportedError", "TransactionManagementError"}, error  # noqa: PT017


def test_explain_is_kept_out() -> None:
    for _ in range(3):
        assert Book.objects.filter(stock=1).explain()

    assert get_stats().hits == 0


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_an_activated_time_zone_changes_no_plan(zone: str) -> None:
    from django.utils import timezone  # noqa: PLC0415

    with timezone.override(zone):
        for _ in range(3):
            compiled_both_ways(Reading.objects.filter(taken_at__gt=timezone.now()))
            compiled_both_ways(Reading.objects.filter(taken_at__date=dt.date(2026, 1, 1)))
            compiled_both_ways(Reading.objects.filter(taken_at__hour=1))


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_text_that_is_a_time_is_of_the_time_zone_of_the_settings(zone: str, settings: Any) -> None:
    settings.TIME_ZONE = zone

    assert not is_kept(Reading.objects.annotate(t=Value("2026-01-01 12:00", output_field=models.DateTimeField())))


def test_a_text_that_is_true_or_false_is_of_its_field() -> None:
    for null in (True, False):
        empty = Value("", output_field=models.BooleanField(null=null))
        assert null or isinstance(error_of(Reading.objects.annotate(empty=empty)), ValidationError)
        assert not null or not is_kept(Reading.objects.annotate(empty=empty))


def error_of(queryset: QuerySet) -> Exception | None:
    try:
        list(queryset)
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None


def test_json_takes_djangos_way() -> None:
    for value in ("x", 1, {"a": None}):
        for key in ("a", "b", "0"):
            assert not is_kept(Reading.objects.filter(**{f"payload__{key}": value}))
        assert not is_kept(Reading.objects.filter(payload=value))


# Classes of a project


class Upper(models.CharField):
    """A field of a project that changes its columns' SQL."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
        return f"UPPER({sql})", params


class Shouted(Exact):
    lookup_name = "shouted"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, left_params = self.process_lhs(compiler, connection)
        return f"{left} = '{str(self.rhs).upper()}'", left_params


@isolate_apps("tests.project.library")
def test_a_field_of_a_project_is_unknown() -> None:
    class Cry(models.Model):
        text = Upper(max_length=10)
        note = models.CharField(max_length=10)

        class Meta:
            app_label = "library"

    assert reason(Cry.objects.all()) == f"field {__name__}.Upper"
    assert not is_kept(Cry.objects.filter(text="x").only("note"))
    assert not is_kept(Cry.objects.order_by("text").only("note"))
    assert is_kept(Cry.objects.only("note"))


def test_a_lookup_that_is_registered_later_is_used() -> None:
    assert is_kept(Author.objects.filter(name="x"))
    with _registered(Shouted, "exact"):
        assert not is_kept(Author.objects.filter(name="x"))
        assert "'X'" in str(Author.objects.filter(name="x").query)
    assert compiled_both_ways(Author.objects.filter(name="x"))


def _registered(lookup: Any, name: str) -> Any:
    from django.test.utils import register_lookup  # noqa: PLC0415

    return register_lookup(models.CharField, lookup, lookup_name=name)


def test_a_transform_that_is_exchanged_orders_from_then_on() -> None:
    from django.db.models.functions import Length  # noqa: PLC0415

    for transform in (Lower, Length, Lower):
        with _registered(transform, "changed"):
            for _ in range(3):
                compiled_both_ways(Author.objects.order_by("name__changed"))


def test_a_function_that_is_changed_by_hand_is_kept_out() -> None:
    changed = Lower("name")
    changed.function = "UPPER"

    assert not is_kept(Author.objects.annotate(x=changed))


@isolate_apps("tests.project.library")
def test_a_relation_that_restricts_its_join_is_kept_out() -> None:
    assert not is_kept(Book.objects.filter(reviews__rating=3))


def test_a_query_class_of_a_project_is_unknown() -> None:
    class Own(models.sql.Query):
        pass

    queryset = Author.objects.all()
    queryset.query = queryset.query.chain(Own)

    assert reason(queryset).endswith("Own")


def test_an_attribute_of_a_query_that_django_does_not_know_keeps_it_out() -> None:
    queryset = Author.objects.all()
    queryset.query.hint = "index"

    assert reason(queryset) == "query.hint"
