"""Every row that is there all the time is visited once: any ordering, any page size, whatever else comes and goes."""

import datetime as dt
import uuid
from collections import Counter
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_views.pagination import CursorPagination
from tests.project.library.models import Reading
from tests.views.pagination.conftest import follow, page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]
PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

# Few values of each kind, so that there are ties, and the awkward ones among them.
VALUES = {
    "taken_at": [dt.datetime(2026, 1, 1, 12, 0, 0, us, tzinfo=dt.UTC) for us in (0, 1, 999999)],
    "day": [dt.date(1, 1, 1), dt.date(2026, 2, 28), dt.date(9999, 12, 31)],
    "clock": [dt.time(0, 0), dt.time(23, 59, 59, 999999)],
    "lasted": [dt.timedelta(microseconds=1), dt.timedelta(days=-1), dt.timedelta(days=40000, microseconds=999999)],
    "level": [Decimal("0.1"), Decimal("0.3"), Decimal("12345678901234.567891"), Decimal("-7.25"), Decimal(3)],
    "degrees": [0.1 + 0.2, 0.3, -1e300, 5e-324],
    "is_valid": [True, False],
    "number": [2**63 - 1, -(2**63), 2**53 + 1],
    "text": ["", "a", "B", "ß", "'; --", "\U0001f4d6 %s", 'a"b'],
    "raw": [b"", b"\x00\xff"],
}
ROWS = st.fixed_dictionaries({name: st.none() | st.sampled_from(values) for name, values in VALUES.items()})
KEYS = st.sampled_from([*VALUES, "after__text", "after__level", "after_id", "taken_at__hour", "score"])
ORDERINGS = st.lists(
    st.tuples(st.sampled_from(["", "-"]), KEYS).map("".join), max_size=4, unique_by=lambda name: name.lstrip("-")
).flatmap(lambda names: st.sampled_from([names, [*names, "-serial"], [*names, "-pk"]] if names else [["pk"], ["-pk"]]))


def scored():
    return Reading.objects.annotate(score=F("degrees") + 1.0)


async def fill(rows, parents=()):
    await Reading.objects.all().adelete()
    made = [Reading(pk=number, **row) for number, row in enumerate(rows, start=1)]
    await Reading.objects.abulk_create(made)
    for child, parent in zip(made, parents, strict=False):
        if parent is not None:
            await Reading.objects.filter(pk=child.pk).aupdate(after_id=parent % len(made) + 1)


async def walk(pagination, queryset, *, between=None):
    """Visit every page, forward, then backward from the last one; return the keys of both ways."""
    first = await page(pagination, queryset)
    ahead = [here async for here in pages_by("next", pagination, queryset, first, between)]
    back = [here async for here in pages_by("prev", pagination, queryset, ahead[-1], between)]
    return [row.pk for here in ahead for row in here.items], [row.pk for here in back for row in reversed(here.items)]


async def pages_by(rel, pagination, queryset, here, between):
    yield here
    for _ in range(100):  # cursors that go in circles must not go on for ever
        if rel not in here.links:
            return
        if between is not None:
            await between()
        here = await follow(pagination, queryset, here.links[rel])
        yield here
    raise AssertionError(f"There is always one more page by {rel}.")


async def in_order(queryset, ordering):
    """The result of the database itself: keys, with the primary key to break ties."""
    return [pk async for pk in queryset.order_by(*ordering, "pk").values_list("pk", flat=True)]


@PROFILE
@given(
    rows=st.lists(ROWS, max_size=12),
    parents=st.lists(st.none() | st.integers(0, 11), max_size=12),
    ordering=ORDERINGS,
    size=st.integers(1, 5),
)
def test_each_row_is_visited_once_in_the_databases_order(rows, parents, ordering, size):
    async def visit():
        await fill(rows, parents if rows else ())
        forward, backward = await walk(CursorPagination(size=size, ordering=ordering), scored())
        assert forward == await in_order(scored(), ordering)
        assert backward == forward[::-1]

    async_to_sync(visit)()


CHANGES = st.lists(st.tuples(st.sampled_from(["insert", "delete"]), ROWS, st.integers(0, 20)), max_size=3)


@PROFILE
@given(
    rows=st.lists(ROWS, min_size=3, max_size=10),
    ordering=ORDERINGS,
    size=st.integers(1, 3),
    changes=st.lists(CHANGES, max_size=12),
)
def test_rows_that_are_there_all_the_time_are_visited_once_while_others_come_and_go(rows, ordering, size, changes):
    async def visit():
        await fill(rows)
        stay, pending = set(range(1, len(rows) + 1)), iter(changes)

        async def change():
            for what, row, which in next(pending, ()):
                if what == "insert":
                    await Reading.objects.acreate(
                        pk=None if connection.vendor == "sqlite" else uuid.uuid4().int >> 70, **row
                    )
                else:
                    await Reading.objects.filter(pk=which).adelete()
                    stay.discard(which)

        forward, backward = await walk(CursorPagination(size=size, ordering=ordering), scored(), between=change)
        for visited in (Counter(forward), Counter(backward)):
            assert {pk: visited[pk] for pk in stay} == dict.fromkeys(stay, 1)
            assert max(visited.values(), default=1) == 1

    async_to_sync(visit)()


# Pages whose rows have been deleted


async def emptied(size):
    """The second page of rows 1 to 4, two on each, with rows from ``size`` on deleted before it is asked for."""
    await fill([{}] * 4)
    pagination = CursorPagination(size=2, ordering=["pk"])
    first = await page(pagination, Reading.objects)
    await Reading.objects.filter(pk__gt=size).adelete()
    return pagination, await follow(pagination, Reading.objects, first.links["next"])


async def test_an_empty_page_leads_back_to_the_row_that_it_was_asked_for_from():
    pagination, second = await emptied(2)
    assert (second.items, set(second.links)) == ([], {"first", "prev"})
    back = await follow(pagination, Reading.objects, second.links["prev"])
    assert [row.pk for row in back.items] == [1, 2]


async def test_two_empty_pages_lead_to_each_other_and_leave_no_row_out():
    pagination, second = await emptied(0)
    back = await follow(pagination, Reading.objects, second.links["prev"])
    assert (back.items, set(back.links)) == ([], {"first", "next"})
    await Reading.objects.acreate(pk=2)
    again = await follow(pagination, Reading.objects, back.links["next"])
    assert again.items == []  # the page after row 2, as before
    back = await follow(pagination, Reading.objects, again.links["prev"])
    assert [row.pk for row in back.items] == [2]
