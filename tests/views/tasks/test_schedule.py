"""Schedules: ticks are the same in every process, in order, and right where clocks are changed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from daf_views.tasks import async_task, cron, crontab, every
from tests.views.tasks import jobs

moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2060, 1, 1)).map(  # noqa: DTZ001 - made aware
    lambda moment: moment.replace(tzinfo=UTC)
)
CRONS = [
    "* * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0 3 * * *",
    "15,45 1-3 * * *",
    "0 0 1 * *",
    "5 4 * * SUN",
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


def ticks(schedule, moment, count):
    found = []
    for _ in range(count):
        moment = schedule.next_after(moment)
        found.append(moment)
    return found


def local_ticks(expression, start, count, zone="Europe/Berlin"):
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    return [
        tick.astimezone(ZoneInfo(zone)).isoformat()[:22] for tick in ticks(cron(expression, zone=zone), moment, count)
    ]


@given(moments, st.timedeltas(timedelta(seconds=1), timedelta(days=366)))
def test_an_interval_has_one_tick_after_each_moment(moment, length):
    schedule = every(seconds=length.total_seconds())
    tick = schedule.next_after(moment)
    assert moment < tick <= moment + schedule.length
    assert schedule.next_after(tick - timedelta(microseconds=1)) == tick
    assert schedule.next_after(tick) == tick + schedule.length


def test_an_interval_does_not_depend_on_the_start_of_a_process():
    moment = datetime(2026, 1, 1, 12, 3, 7, tzinfo=UTC)
    assert ticks(every(minutes=5), moment, 2) == [moment.replace(minute=minute, second=0) for minute in (5, 10)]
    berlin = moment.astimezone(ZoneInfo("Europe/Berlin"))
    assert every(minutes=5).next_after(berlin) == every(minutes=5).next_after(moment)


@given(moments, st.sampled_from(CRONS), st.sampled_from(ZONES))
def test_ticks_of_a_cron_expression_come_in_order(moment, expression, zone):
    found = [moment, *ticks(cron(expression, zone=zone), moment, 4)]
    assert all(earlier < later for earlier, later in pairwise(found))
    assert {tick.second for tick in found[1:]} == {0}


def test_a_tick_in_the_hour_that_is_left_out_comes_right_after_it():
    assert local_ticks("30 2 * * *", "2026-03-28T12:00", 2) == ["2026-03-29T03:00:00+02", "2026-03-30T02:30:00+02"]
    assert local_ticks("*/30 * * * *", "2026-03-29T01:10", 2) == ["2026-03-29T01:30:00+01", "2026-03-29T03:00:00+02"]


def test_a_tick_in_the_hour_that_comes_twice_comes_once():
    assert local_ticks("30 2 * * *", "2026-10-24T12:00", 2) == ["2026-10-25T02:30:00+02", "2026-10-26T02:30:00+01"]


def test_ticks_of_every_half_hour_come_twice_in_that_hour():
    assert local_ticks("*/30 * * * *", "2026-10-25T01:40", 4) == [
        "2026-10-25T02:00:00+02",
        "2026-10-25T02:30:00+02",
        "2026-10-25T02:00:00+01",
        "2026-10-25T02:30:00+01",
    ]


def test_the_second_time_of_that_hour_is_not_before_the_first():
    moment = datetime(2026, 10, 25, 2, 5, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    assert cron("10 2 * * *", zone="Europe/Berlin").next_after(moment) == datetime(2026, 10, 26, 1, 10, tzinfo=UTC)


def test_without_a_zone_it_is_that_of_django(settings):
    settings.TIME_ZONE = "America/New_York"
    schedule = cron("0 3 * * *")
    assert schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert str(schedule) == "cron 0 3 * * * America/New_York"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("61 * * * *", "Bad minute"),
        ("* * * *", "has 5 fields"),
        ("* * * * * *", "has 5 fields"),
        ("@daily", "has 5 fields"),
        (",".join(["1"] * 200) + " * * * *", "at most 200 characters"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("\u0661 * * * *", "Bad minute"),
    ],
)
def test_an_expression_that_is_none_is_refused(expression, reason):
    with pytest.raises(ValueError, match=reason):
        cron(expression)


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../etc/passwd", ""])
def test_a_zone_that_is_none_is_refused(zone):
    with pytest.raises(ValueError, match="is not a time zone"):
        cron("* * * * *", zone=zone)


@pytest.mark.parametrize(
    "given",
    [{}, {"seconds": 0.5}, {"days": 367}, {"minutes": -1}, {"hours": float("nan")}, {"days": 1e300}, {"hours": "1"}],
)
def test_an_interval_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match="every"):
        every(**given)


def test_without_its_package_cron_says_what_to_install(monkeypatch):
    monkeypatch.setattr(crontab, "CronSim", None)
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django-daf\[cron\]"'):
        cron("* * * * *")


def test_a_periodic_task_takes_no_arguments():
    with pytest.raises(
        TypeError, match=r"jobs\.note has a schedule, so it is called without arguments: missing a required"
    ):
        async_task(schedule=every(hours=1))(jobs.note.func)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"schedule": "0 3 * * *"}, r"schedule must be every\(…\) or cron\(…\), not '0 3"),
        ({"schedule": timedelta(hours=1)}, "schedule must be every"),
        ({"unique": "key"}, "unique must be True, or a function"),
        ({"unique": None}, "unique must be True, or a function"),
    ],
)
def test_options_that_are_none_are_refused(options, reason):
    with pytest.raises(TypeError, match=reason):
        async_task(**options)
