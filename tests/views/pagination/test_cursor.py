import datetime as dt
import math
import zoneinfo
from decimal import Decimal

import pytest
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from daf_views.exceptions import BadRequestError
from daf_views.pagination.cursor import Position

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)),
)


def there_and_back(*values):
    return Position.read(Position(values=values, is_backward=False, is_inclusive=False).sign("salt"), "salt").values


@given(st.lists(VALUES, max_size=4), st.booleans(), st.booleans())
def test_a_position_comes_back_as_it_was(values, backward, inclusive):
    position = Position(values=tuple(values), is_backward=backward, is_inclusive=inclusive)
    read = Position.read(position.sign("salt"), "salt")
    assert read == position
    assert [type(value) for value in read.values] == [type(value) for value in values]


def test_floats_and_decimals_keep_what_equality_does_not_see():
    (negative, exact) = there_and_back(-0.0, Decimal("1.20"))
    assert (math.copysign(1, negative), str(exact)) == (-1.0, "1.20")
    assert math.isnan(there_and_back(math.nan)[0])


def test_a_time_of_a_zone_is_the_same_moment():
    moment = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Vienna"))
    assert there_and_back(moment)[0].astimezone(dt.UTC) == moment.astimezone(dt.UTC)


def test_bytes_may_come_as_a_view_and_text_marked():
    assert there_and_back(memoryview(b"\x00a"), mark_safe("a")) == (b"\x00a", "a")


@pytest.mark.parametrize("value", [object(), [1], {"a": 1}, 1j])
def test_a_value_that_cannot_be_written_exactly_is_refused(value):
    with pytest.raises(TypeError, match=f"A cursor cannot hold a {type(value).__name__}"):
        there_and_back(value)


@pytest.mark.parametrize("text", ["", ".", "WzBd", "x.y", "é.é", "\x00", ".eJw.x"])
def test_an_unsigned_cursor_is_refused(text):
    with pytest.raises(BadRequestError, match="not issued for this list"):
        Position.read(text, "salt")


def test_a_cursor_signed_for_another_purpose_is_refused():
    text = Position(values=(1,), is_backward=False, is_inclusive=False).sign("salt")
    with pytest.raises(BadRequestError):
        Position.read(text, "pepper")


def test_a_cursor_is_short_and_needs_no_escape():
    text = Position(values=("Tehanu", 7), is_backward=True, is_inclusive=False).sign("salt")
    assert len(text) < 70
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
