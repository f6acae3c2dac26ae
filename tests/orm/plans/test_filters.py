"""Filters on a query's own columns make the conditions that Django makes, for any names and values."""

import datetime as dt
import functools
import logging
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Count, F, IntegerField, Q, QuerySet, Value
from django.db.models.lookups import Exact
from django.db.models.sql.query import Query
from hypothesis import given
from hypothesis import strategies as st

from daf_orm import _plans
from daf_orm._django.local_filters import differences, is_of_query
from daf_orm._plans import get_stats, keeping
from daf_orm.settings import PlanSettings
from tests.project.library.models import Author, Book, Counter, Event, Novel, Reading

pytestmark = pytest.mark.django_db


def filtered_both_ways(queryset: QuerySet, condition: Q) -> bool:
    """Assert that a filter makes the same query as Django's, or fails alike; return True if Django was not asked."""
    ours, theirs = queryset.query.chain(), queryset.query.chain()
    before = get_stats().filters
    assert outcome(Query.add_q, ours, condition) == outcome(Query.add_q.__wrapped__, theirs, condition)
    assert [*differences(ours, theirs)] == []
    assert ours.used_aliases == theirs.used_aliases
    return get_stats().filters > before


def outcome(add: Any, query: Query, condition: Q) -> Any:
    try:
        add(query, condition)
    except Exception as error:  # noqa: BLE001 - is compared
        return type(error), str(error)
    return None


@pytest.mark.parametrize(
    "condition",
    [
        Q(pk=1),
        Q(id=1),
        Q(id__exact="1"),
        Q(stock__gt=2),
        Q(stock__gte=2.5),
        Q(stock__in=[1, 2]),
        Q(stock__in=(1,)),
        Q(stock__range=(1, 2)),
        Q(stock__isnull=True),
        Q(stock__isnull="no bool"),
        Q(title="a", stock=3),
        Q(title__icontains="%"),
        Q(title__regex="^a"),
        Q(pk=2**70),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "queryset",
    [
        lambda: Book.objects.all(),
        lambda: Book.objects.filter(stock=1),
        lambda: Book.objects.filter(author__name="a"),
        lambda: Book.objects.filter(Q(stock=1) | Q(publisher__name="a")),
        lambda: Book.objects.exclude(tags__name="a").select_related("author"),
        lambda: Book.objects.order_by("-publisher__name").only("title"),
        lambda: Book.objects.values("title"),
    ],
)
def test_a_column_of_the_querys_own_table_takes_no_search(queryset: Any, condition: Q) -> None:
    assert filtered_both_ways(queryset(), condition)


@pytest.mark.parametrize(
    ("queryset", "condition"),
    [
        (Book.objects, Q(author=1)),
        (Book.objects, Q(author_id=1)),
        (Book.objects, Q(author__name="a")),
        (Book.objects, Q(author=Author(pk=1))),
        (Book.objects, Q(tags=1)),
        (Novel.objects, Q(title="a")),
        (Novel.objects, Q(pk=1)),
        (Book.objects, ~Q(stock=1)),
        (Book.objects, Q(stock=1) | Q(stock=2)),
        (Book.objects, Q(Q(stock=1), title="a")),
        (Book.objects, Q(stock=F("pk"))),
        (Book.objects, Q(stock=Value(1))),
        (Book.objects, Q(stock__in=[1, F("pk")])),
        (Book.objects, Q(stock=None)),
        (Book.objects, Q(title="")),
        (Book.objects, Q(title__in=["", None])),
        (Book.objects, Q(stock__nothing=1)),
        (Book.objects, Q(stock__gt__lt=1)),
        (Book.objects, Q(stock__="1")),
        (Book.objects, Q(nothing=1)),
        (Book.objects, Q(stock="no number")),
        (Book.objects, Q(nothing=1, stock="no number")),
        (Book.objects, Q(stock="no number", title__nothing=1)),
        (Book.objects, Q()),
        (Book.objects.annotate(stocks=Count("tags")), Q(stocks=1)),
        (Book.objects.alias(stocks=F("stock") + 1), Q(stock=1)),
    ],
)
def test_everything_else_is_djangos(queryset: Any, condition: Q) -> None:
    assert not filtered_both_ways(queryset.all(), condition)


def test_a_subquery_is_djangos() -> None:
    Book.objects.filter(stock__in=Book.objects.values("pk"))

    assert get_stats().filters == 0


def test_a_part_of_another_query_is_djangos() -> None:
    inner = Book.objects.filter(stock=1).query.clone()
    inner.bump_prefix(Book.objects.all().query)

    assert not filtered_both_ways(QuerySet(Book, inner), Q(stock=2))


VALUES = st.one_of(
    *(st.integers(), st.text(max_size=3), st.booleans(), st.none(), st.floats(), st.binary(max_size=3), st.uuids()),
    *(st.decimals(), st.dates(), st.datetimes(timezones=st.just(dt.UTC)), st.times(), st.timedeltas()),
    st.builds(Value, st.integers()),
)
FIELDS = (
    *("pk", "id", "title", "stock", "author", "value", "name", "serial", "taken_at", "day", "clock", "lasted"),
    *("level", "degrees", "is_valid", "number", "text", "raw", "payload", "after", "nothing", ""),
)
LOOKUPS = ("exact", "iexact", "gt", "lte", "in", "range", "isnull", "contains", "date")
NAMES = st.tuples(
    st.sampled_from(FIELDS),
    st.sampled_from(["", *(f"__{lookup}" for lookup in LOOKUPS)]),
).map("".join)


@given(
    st.sampled_from([Reading, Reading, Book, Author, Novel, Counter, Event]),
    st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=3), st.tuples(VALUES, VALUES)), max_size=3),
    st.dictionaries(NAMES, VALUES, max_size=1),
)
@pytest.mark.filterwarnings("ignore:DateTimeField")
def test_any_filter(model: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    filtered_both_ways(model.objects.all(), Q(**first))
    try:
        queryset = model.objects.filter(**first)
    except Exception:  # noqa: BLE001 - compared above
        return
    filtered_both_ways(queryset, Q(**second))


def test_a_lookup_that_is_registered_later_is_used() -> None:
    class Never(Exact):
        def as_sql(self, *_: Any) -> Any:
            return "1 = 0", ()

    before = IntegerField.get_lookups()["exact"]
    Counter.objects.create(value=1)
    assert Counter.objects.filter(value=1).exists()
    IntegerField.register_lookup(Never)
    try:
        assert not Counter.objects.filter(value=1).exists()
    finally:
        IntegerField.register_lookup(before)
    assert Counter.objects.filter(value=1).exists()


def test_a_query_with_a_replaced_method_is_djangos(monkeypatch: Any) -> None:
    build = Query.build_filter
    seen = []

    def build_filter(self: Query, filter_expr: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(filter_expr)
        return build(self, filter_expr, *args, **kwargs)

    monkeypatch.setattr(Query, "build_filter", build_filter)
    Counter.objects.filter(value=1)

    assert seen == [("value", 1)]


def test_the_first_and_one_in_so_many_are_made_both_ways(monkeypatch: Any) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=5))
    seen = []
    join = Query.get_initial_alias
    for number in range(11):
        monkeypatch.setattr(Query, "get_initial_alias", lambda query: seen.append(number) or join(query))  # noqa: B023
        Counter.objects.filter(value=number)

    assert sorted(number for number in {*seen} if seen.count(number) == 2) == [0, 5, 10]


def test_a_filter_that_differs_is_told_once_and_all_are_djangos_from_then_on(monkeypatch: Any, caplog: Any) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=1))
    add = keeping.add_conditions
    monkeypatch.setattr(
        keeping, "add_conditions", lambda query, found, **options: add(query, [*found, *found], **options)
    )
    queries = [Counter.objects.filter(value=12345).query for _ in range(3)]

    assert [len(query.where.children) for query in queries] == [1, 1, 1]
    assert (get_stats().filters, get_stats().differed) == (1, 1)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("daf_orm", logging.ERROR)
    assert "library.models.Counter" in record.getMessage()
    assert "12345" not in record.getMessage()


def test_values_of_every_class_give_the_same_rows() -> None:
    Counter.objects.create(value=1)
    for value in (1, True, 1.0, Decimal(1), "1"):
        assert Counter.objects.filter(value=value).exists()


def test_a_list_that_changes_afterwards_does_not_change_the_filter() -> None:
    values = [1]
    query = Reading.objects.filter(payload__gt=values).query
    values.append(2)

    assert get_stats().filters == 1
    assert query.where.children[0].rhs == [1]


def test_a_value_that_is_not_equal_to_itself_is_no_difference(caplog: Any) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=1))
    for _ in range(2):
        Reading.objects.filter(degrees="nan")

    assert (get_stats().filters, get_stats().differed) == (2, 0)
    assert caplog.records == []


def test_a_combined_query_is_djangos(caplog: Any) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=1))
    books = Book.objects.filter(stock=1).union(Book.objects.filter(stock=2))
    books.complex_filter({"stock": 3})

    assert (get_stats().filters, get_stats().differed) == (2, 0)
    assert caplog.records == []


def test_a_query_without_a_model_is_djangos() -> None:
    query = Query(None)
    query.add_q(Q(Exact(Value(1), 1)))
    assert len(query.where.children) == 1


def test_columns_without_their_table_are_djangos() -> None:
    ours, theirs = Query(Counter, alias_cols=False), Query(Counter, alias_cols=False)
    Query.add_q(ours, Q(value=1))
    Query.add_q.__wrapped__(theirs, Q(value=1))

    assert ours.sql_with_params() == theirs.sql_with_params()


def test_a_tracer_that_came_before_daf_sees_every_filter(monkeypatch: Any) -> None:
    _plans.deactivate()
    add, seen = Query.add_q, []

    @functools.wraps(add)
    def add_q(self: Query, q_object: Q, reuse_all: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's
        seen.append(q_object)
        add(self, q_object, reuse_all)

    monkeypatch.setattr(Query, "add_q", add_q)
    _plans.activate(PlanSettings())
    Counter.objects.filter(value=1)
    _plans.deactivate()

    assert seen == [Q(value=1)]


def test_steps_that_other_code_has_wrapped_are_not_taken_for_djangos() -> None:
    @functools.wraps(Query.build_filter)
    def wrapped() -> None:
        raise NotImplementedError

    assert is_of_query(Query.build_filter)
    assert not is_of_query(wrapped)
