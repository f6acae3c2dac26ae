"""``DAF_ORM``: its keys, the errors for anything else, and the time when it is read."""

import dataclasses

import pytest
from django.core.exceptions import ImproperlyConfigured

from daf_orm import get_pool
from daf_orm.settings import PlanSettings, Settings, WatchdogSettings, get_settings, problems

pytestmark = pytest.mark.no_database

EXAMPLE = {
    "MAX_SIZE": 20,
    "MIN_SIZE": 2,
    "TIMEOUT": 5,
    "MAX_WAITING": 100,
    "MAX_LIFETIME": 60.0,
    "MAX_IDLE": 10.5,
    "MAX_PINNED": 15,
    "MAX_ITERATING": 10,
    "POOL_MODE": "session",
    "CONFIGURE": "tests.orm.test_settings.settings_now",
    "SERVER_POOLED": False,
    "ADAPT_DJANGO": False,
    "BLOCKING": "log",
    "BLOCKING_IO": True,
    "ALLOW_BLOCKING": ["shop.legacy.*"],
    "WATCHDOG": {"THRESHOLD": 1, "INTERVAL": 30.0, "MAX_SITES": 50},
    "KEEP_PLANS": {"MAX_SIZE": 50, "CHECK_EVERY": 10},
    "TRANSACTION_IDLE_WARNING": 2.5,
}


@pytest.mark.parametrize("raw", [{}, EXAMPLE, {"MAX_SIZE": None}, {"MIN_SIZE": 10}, {"MIN_SIZE": 3, "MAX_SIZE": 3}])
def test_right_settings_have_no_problems(raw: dict) -> None:
    assert problems(raw) == []


def test_the_example_has_every_key() -> None:
    assert set(EXAMPLE) == {field.name for field in dataclasses.fields(Settings)}
    assert set(EXAMPLE["WATCHDOG"]) == {field.name for field in dataclasses.fields(WatchdogSettings)}
    assert set(EXAMPLE["KEEP_PLANS"]) == {field.name for field in dataclasses.fields(PlanSettings)}


@pytest.mark.parametrize(("key", "meant"), [("MAXSIZE", "MAX_SIZE"), ("max_size", "MAX_SIZE"), ("TIMEOUTS", "TIMEOUT")])
def test_an_unknown_key_is_named_with_the_one_that_was_meant(key: str, meant: str) -> None:
    assert problems({key: 1}) == [f"DAF_ORM[{key!r}] is not a known key. Did you mean {meant!r}?"]


@pytest.mark.parametrize("key", ["COLOUR", "", 7, None, ("MAX_SIZE",)])
def test_an_unknown_key_like_no_known_one_is_answered_with_all_of_them(key: object) -> None:
    (problem,) = problems({key: 1})

    assert repr(key) in problem
    assert all(name in problem for name in EXAMPLE) or "MAX_SIZE" in problem


@pytest.mark.parametrize("key", ["MAX_SIZE", "MIN_SIZE", "MAX_WAITING"])
@pytest.mark.parametrize("value", ["10", 10.0, True, [10]])
def test_a_size_is_an_int_and_no_bool(key: str, value: object) -> None:
    (problem,) = problems({key: value})

    assert problem.startswith(f"DAF_ORM[{key!r}] must be int")
    assert problem.endswith(f"not {value!r}.")


@pytest.mark.parametrize("key", ["TIMEOUT", "MAX_LIFETIME", "MAX_IDLE"])
@pytest.mark.parametrize("value", ["10", False, None])
def test_a_time_is_a_number_of_seconds(key: str, value: object) -> None:
    assert problems({key: value}) == [f"DAF_ORM[{key!r}] must be int or float, not {value!r}."]


@pytest.mark.parametrize("key", ["ADAPT_DJANGO", "BLOCKING_IO"])
@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_switch_is_a_bool(key: str, value: object) -> None:
    assert problems({key: value}) == [f"DAF_ORM[{key!r}] must be bool, not {value!r}."]


@pytest.mark.parametrize(("key", "value", "least"), [("MAX_SIZE", 0, 1), ("MIN_SIZE", -1, 0), ("MAX_WAITING", -1, 0)])
def test_a_size_has_a_least_value(key: str, value: int, least: int) -> None:
    assert problems({key: value}) == [f"DAF_ORM[{key!r}] must be {least} or more, not {value}."]
    assert problems({key: least}) == []


@pytest.mark.parametrize("key", ["TIMEOUT", "MAX_LIFETIME", "MAX_IDLE"])
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan")])
def test_a_time_is_more_than_zero(key: str, value: float) -> None:
    assert problems({key: value}) == [f"DAF_ORM[{key!r}] must be more than 0 seconds, not {value!r}."]


def test_the_least_size_is_at_most_the_greatest() -> None:
    assert problems({"MIN_SIZE": 4, "MAX_SIZE": 3}) == [
        "DAF_ORM['MIN_SIZE'] is 4, more than DAF_ORM['MAX_SIZE'], which is 3."
    ]
    assert problems({"MIN_SIZE": 11}) == ["DAF_ORM['MIN_SIZE'] is 11, more than DAF_ORM['MAX_SIZE'], which is 10."]


@pytest.mark.parametrize("key", ["MAX_PINNED", "MAX_ITERATING"])
def test_a_part_of_the_pool_is_no_more_than_the_pool(key) -> None:
    assert problems({key: 4, "MAX_SIZE": 3}) == [f"DAF_ORM['{key}'] is 4, more than DAF_ORM['MAX_SIZE'], which is 3."]
    assert problems({key: 3, "MAX_SIZE": 3}) == []


def test_every_problem_is_listed() -> None:
    assert len(problems({"MAXSIZE": 1, "TIMEOUT": 0, "MIN_SIZE": True})) == 3


@pytest.mark.parametrize("raw", [None, [], "MAX_SIZE", 10])
def test_it_must_be_a_dict(raw: object) -> None:
    assert problems(raw) == [f"DAF_ORM must be a dict, not {type(raw).__name__}."]


# The watchdog, and blocks that wait


@pytest.mark.parametrize(
    "raw",
    [
        {"WATCHDOG": None},
        {"WATCHDOG": {}},
        {"WATCHDOG": {"THRESHOLD": 1}},
        {"TRANSACTION_IDLE_WARNING": None},
        {"TRANSACTION_IDLE_WARNING": 3},
    ],
)
def test_the_watchdog_and_the_warning_may_be_off_or_partly_set(raw: dict) -> None:
    assert problems(raw) == []


@pytest.mark.parametrize(("key", "meant"), [("TRESHOLD", "THRESHOLD"), ("interval", "INTERVAL")])
def test_an_unknown_key_of_the_watchdog_is_named(key: str, meant: str) -> None:
    assert problems({"WATCHDOG": {key: 1}}) == [
        f"DAF_ORM['WATCHDOG'][{key!r}] is not a known key. Did you mean {meant!r}?"
    ]


def test_keys_of_the_watchdog_and_of_the_rest_are_not_confused() -> None:
    assert problems({"THRESHOLD": 1})[0].startswith("DAF_ORM['THRESHOLD'] is not a known key.")
    assert problems({"WATCHDOG": {"TIMEOUT": 1}})[0].endswith("Known keys: THRESHOLD, INTERVAL, MAX_SITES.")


@pytest.mark.parametrize("value", [True, 0.25, [], "on"])
def test_the_watchdog_is_a_dict(value: object) -> None:
    assert problems({"WATCHDOG": value}) == [f"DAF_ORM['WATCHDOG'] must be dict or None, not {value!r}."]


@pytest.mark.parametrize("key", ["THRESHOLD", "INTERVAL"])
def test_a_time_of_the_watchdog_is_a_number_of_seconds_above_zero(key: str) -> None:
    def only(value: object) -> str:
        (problem,) = problems({"WATCHDOG": {key: value}})
        return problem

    assert only("1") == f"DAF_ORM['WATCHDOG'][{key!r}] must be int or float, not '1'."
    assert only([1]) == f"DAF_ORM['WATCHDOG'][{key!r}] must be int or float, not [1]."
    assert only(0) == f"DAF_ORM['WATCHDOG'][{key!r}] must be more than 0 seconds, not 0."
    assert only(1e30).startswith(f"DAF_ORM['WATCHDOG'][{key!r}] must be a time that a thread can wait for")


def test_the_number_of_sites_is_at_least_one() -> None:
    assert problems({"WATCHDOG": {"MAX_SITES": 0}}) == ["DAF_ORM['WATCHDOG']['MAX_SITES'] must be 1 or more, not 0."]
    assert problems({"WATCHDOG": {"MAX_SITES": 1.5}}) == ["DAF_ORM['WATCHDOG']['MAX_SITES'] must be int, not 1.5."]


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_the_idle_time_is_more_than_zero(value: float) -> None:
    assert problems({"TRANSACTION_IDLE_WARNING": value}) == [
        f"DAF_ORM['TRANSACTION_IDLE_WARNING'] must be more than 0 seconds, not {value!r}."
    ]


def test_the_idle_time_is_a_number_or_none() -> None:
    assert problems({"TRANSACTION_IDLE_WARNING": True}) == [
        "DAF_ORM['TRANSACTION_IDLE_WARNING'] must be int or float or None, not True."
    ]


def test_a_key_left_out_of_the_watchdog_has_its_default(settings) -> None:
    settings.DAF_ORM = {"WATCHDOG": {"THRESHOLD": 0.5}}

    assert WatchdogSettings(THRESHOLD=0.5, INTERVAL=60.0, MAX_SITES=1000) == get_settings().WATCHDOG


# Reading


def test_the_defaults_are_those_of_the_design(settings) -> None:
    settings.DAF_ORM = {}

    assert dataclasses.asdict(get_settings()) == {
        "MAX_SIZE": None,
        "MIN_SIZE": 0,
        "TIMEOUT": 30.0,
        "MAX_WAITING": 0,
        "MAX_LIFETIME": 3600.0,
        "MAX_IDLE": 600.0,
        "MAX_PINNED": None,
        "MAX_ITERATING": None,
        "POOL_MODE": "auto",
        "CONFIGURE": None,
        "SERVER_POOLED": False,
        "ADAPT_DJANGO": True,
        "BLOCKING": None,
        "BLOCKING_IO": False,
        "ALLOW_BLOCKING": (),
        "WATCHDOG": None,
        "KEEP_PLANS": None,
        "TRANSACTION_IDLE_WARNING": 1.0,
    }


def test_every_key_is_read(settings) -> None:
    settings.DAF_ORM = EXAMPLE

    assert dataclasses.asdict(get_settings()) == EXAMPLE


def test_a_change_is_seen_by_the_settings_and_by_the_pool(settings) -> None:
    settings.DAF_ORM = {"TIMEOUT": 1.0}
    assert (get_settings().TIMEOUT, get_pool().timeout) == (1.0, 1.0)
    settings.DAF_ORM = {"TIMEOUT": 2.0}
    assert (get_settings().TIMEOUT, get_pool().timeout) == (2.0, 2.0)


def test_the_setting_may_be_missing(settings) -> None:
    settings.DAF_ORM = {"TIMEOUT": 1.0}
    del settings.DAF_ORM

    assert get_settings() == Settings()


def test_wrong_settings_are_refused_with_every_reason(settings) -> None:
    settings.DAF_ORM = {"MAXSIZE": 1, "TIMEOUT": 0}

    with pytest.raises(ImproperlyConfigured, match=r"MAXSIZE.*TIMEOUT"):
        get_settings()
    del settings.DAF_ORM


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_settings().TIMEOUT = 1.0
