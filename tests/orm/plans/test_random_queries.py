"""Queries of any structure, made again with other values: a plan gives what Django compiles, and the same rows."""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import DataError, transaction
from django.db.models import Avg, Count, F, Max, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Lower, Upper
from hypothesis import given, settings
from hypothesis import strategies as st

from daf_orm import _plans
from daf_orm._plans import get_stats
from daf_orm.settings import PlanSettings
from tests.orm.plans.compiling import compiled_both_ways, with_every_relation
from tests.project.library.models import Author, Book, Novel, Profile, Publisher, Tag

pytestmark = pytest.mark.django_db

NUMBERS = st.one_of(*[st.integers(-3, 9)] * 9, st.sampled_from([2**31, 2**70, True]))
TEXTS = st.one_of(st.text("aAeE%_'\\ ü", max_size=4), st.none())
NUMERIC = ("pk", "stock", "author", "author__pk", "publisher", "publisher_id", "tags", "tags__pk", "novel__pages")
TEXTUAL = ("title", "author__name", "author__email", "publisher__name", "tags__name", "author__profile__biography")
Change = Callable[[QuerySet, st.DataObject], QuerySet]


NAMES = {
    "number": (NUMERIC, ("exact", "gt", "gte", "lt", "lte"), NUMBERS),
    "text": (TEXTUAL, ("exact", "iexact", "contains", "istartswith", "endswith", "gt"), TEXTS),
    "in": (NUMERIC, ("in",), st.lists(st.one_of(*[NUMBERS] * 4, st.none()), max_size=3)),
    "range": (("pk", "stock", "author__pk", "novel__pages"), ("range",), st.tuples(NUMBERS, NUMBERS)),
    "null": (NUMERIC + TEXTUAL, ("isnull",), st.booleans()),
    "F": (("stock", "author__pk"), ("gte", "exact"), st.integers(0, 9).map(lambda number: F("publisher") + number)),
}
"""Names, lookups and values of conditions."""
LEAVES = st.one_of(
    *(
        st.tuples(st.just(kind), st.sampled_from(names), st.sampled_from(lookups))
        for kind, (names, lookups, _) in NAMES.items()
    )
)
STRUCTURES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from([operator.and_, operator.or_]), inner, inner), st.tuples(st.just(operator.inv), inner)
    ),
    max_leaves=4,
)


def condition(structure: Any, draw: Callable[[Any], Any]) -> Q:
    """Return a condition of the structure, with any values."""
    first, *others = structure
    if callable(first):
        return first(*(condition(each, draw) for each in others))
    name, lookup = others
    return Q(**{f"{name}__{lookup}": draw(NAMES[first][2])})


CHANGES: list[Change] = [
    lambda query, _: query.select_related("author"),
    lambda query, _: query.select_related("author__profile", "publisher"),
    lambda query, _: with_every_relation(query.all()),
    lambda query, _: query.only("title", "author"),
    lambda query, _: query.defer("stock"),
    lambda query, _: query.order_by("author"),
    lambda query, _: query.order_by("-author__name", "pk"),
    lambda query, _: query.order_by(F("publisher__name").desc(nulls_last=True), "pk"),
    lambda query, _: query.order_by(Lower("title"), "pk"),
    lambda query, _: query.order_by(),
    lambda query, _: query.reverse(),
    lambda query, _: query.distinct(),
    lambda query, _: query.values("title", "publisher__name"),
    lambda query, _: query.values_list("pk", "author__name"),
    lambda query, _: query.annotate(n=Count("tags")),
    lambda query, _: query.annotate(most=Max("author__books__stock")),
    lambda query, _: query.annotate(mean=Avg("stock")).values("mean"),
    lambda query, _: query.annotate(double=F("stock") * 2),
    lambda query, _: query.annotate(named=Coalesce("publisher__name", Upper("title"), Value("-"))),
    lambda query, _: query.alias(low=Lower("title")).order_by("low", "pk"),
    lambda query, draw: query[draw(st.integers(0, 2)) : draw(st.integers(3, 5))],
]


@pytest.fixture
def library() -> None:
    authors = [Author.objects.create(name=name, email=f"{name}@x") for name in ("Ann", "eve", "Ann")]
    Profile.objects.create(author=authors[0], biography="a")
    presses = [Publisher.objects.create(name=name) for name in ("E", "a%")]
    tags = [Tag.objects.create(name=name) for name in ("a", "ü")]
    for number in range(4):
        model = Novel if number % 2 else Book
        book = model.objects.create(
            title="aAeE"[number], author=authors[number % 3], publisher=[*presses, None, None][number], stock=number
        )
        book.tags.set(tags[: number % 3])


@pytest.mark.usefixtures("library")
def test_any_query() -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=3))
    _check_any_query()
    stats = get_stats()

    assert stats.differed == 0
    assert stats.hits > 50


@settings(max_examples=50)
@given(
    st.sampled_from([Book, Novel]),
    st.lists(STRUCTURES, max_size=2),
    st.lists(st.sampled_from(CHANGES), max_size=3),
    st.data(),
)
def _check_any_query(model: Any, structures: list[Any], changes: list[Change], data: st.DataObject) -> None:
    for _ in range(4):
        try:
            queryset = model.objects.all()
            for structure in structures:
                queryset = queryset.filter(condition(structure, data.draw))
            for change in changes:
                queryset = change(queryset, data.draw)
            with _without_plans():
                expected = outcome(queryset.all())
        except (FieldError, TypeError, ValueError):  # a slice is ordered, a name is selected twice, or deferred
            continue
        compiled_both_ways(queryset)
        assert outcome(queryset.all()) == expected


def outcome(queryset: QuerySet) -> Any:
    """Return the rows, in any order, or the class of the error."""
    try:
        with transaction.atomic():
            rows = list(queryset)
    except (DataError, OverflowError) as error:  # a number that no column can hold
        return type(error)
    return sorted(map(shown, rows))


def shown(row: Any, depth: int = 2) -> str:
    """Return all that a row holds, and what its relations hold."""
    if not hasattr(row, "_state"):
        return repr(row)
    values = {name: value for name, value in vars(row).items() if name != "_state"}
    related = {name: shown(each, depth - 1) for name, each in row._state.fields_cache.items()} if depth else ()
    return repr((type(row), values, related))


@contextmanager
def _without_plans() -> Iterator[None]:
    keeper, _plans.keeping._keeper = _plans.keeping._keeper, None
    try:
        yield
    finally:
        _plans.keeping._keeper = keeper
