import pytest
from hypothesis import given
from hypothesis import strategies as st

from daf_views.throttling import Rate


@pytest.mark.parametrize(
    ("text", "limit", "period"),
    [
        ("10/minute", 10, 60),
        ("5/second", 5, 1),
        ("100/hour", 100, 3600),
        ("1000/day", 1000, 86400),
        ("3/10s", 3, 10),
        ("10/min", 10, 60),
        ("10/m", 10, 60),
        ("7 / 2 Hours", 7, 7200),
        ("1/s", 1, 1),
        ("1/30secs", 1, 30),
    ],
)
def test_a_rate_is_read(text, limit, period):
    assert Rate.parse(text) == Rate(limit, period)


@pytest.mark.parametrize(
    "text",
    ["", "10", "/minute", "10/", "10/fortnight", "-1/minute", "1.5/minute", "10/minute/2", "ten/minute", "\uff11/s"],
)
def test_an_invalid_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r'is not a rate\. Write one like "10/minute"'):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("0/minute", "at least 1"), ("1/0s", "1 second"), ("1/400days", "a year"), ("1000001/second", "no limit")],
)
def test_an_invalid_limit_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        Rate.parse(text)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_rate_reads_what_it_writes(limit, period):
    rate = Rate(limit, period)
    assert Rate.parse(str(rate)) == rate
