"""A method that instrumentation has put on one wrapper is on its owner's other wrapper, and refers to that one."""

import functools

import pytest

from daf_orm._leases.carrying import CannotCarry, carried


class Wrapper:
    def cursor(self):
        return self, "a cursor"


@pytest.fixture
def pair():
    ours, theirs = Wrapper(), Wrapper()
    return theirs, ours, {id(theirs): ours}


def test_a_function_with_the_wrapper_in_its_closure_is_about_the_other_one(pair):
    theirs, ours, others = pair
    original = theirs.cursor

    def cursor(prefix, *, suffix="."):
        return prefix, theirs, original(), suffix

    assert carried(cursor, others)("a") == ("a", ours, (ours, "a cursor"), ".")
    assert cursor("a") == ("a", theirs, (theirs, "a cursor"), ".")


def test_a_function_in_the_closure_is_carried_too(pair):
    theirs, ours, others = pair

    def inner():
        return theirs

    def cursor():
        return inner()

    assert carried(cursor, others)() is ours


def test_a_bound_method_and_a_partial_are_about_the_other_one(pair):
    theirs, ours, others = pair

    assert carried(theirs.cursor, others)() == (ours, "a cursor")
    assert carried(functools.partial(Wrapper.cursor, theirs), others)() == (ours, "a cursor")


def test_a_callable_that_does_not_know_the_wrapper_stays_the_same(pair):
    _, _, others = pair
    log = []

    def cursor():
        log.append(1)

    assert carried(cursor, others) is cursor
    assert carried(log, others) is log


class Tool:
    def __init__(self, wrapper):
        self.connection = wrapper

    def cursor(self):
        return self.connection


def with_default(value):
    def cursor(default=value):
        return default

    return cursor


@pytest.mark.parametrize(
    "make",
    [
        lambda wrapper: Tool(wrapper).cursor,
        lambda wrapper: with_default(Tool(wrapper)),
        with_default,
        lambda wrapper: functools.partial(print, [wrapper]),
    ],
    ids=["a tool's method", "a tool as a default", "the wrapper as a default", "in a list"],
)
def test_a_callable_that_hides_its_wrapper_cannot_be_carried(pair, make):
    theirs, _, others = pair
    with pytest.raises(CannotCarry):
        carried(make(theirs), others)


def test_a_function_that_calls_itself_cannot_be_carried(pair):
    theirs, _, others = pair

    def cursor(number):
        return cursor(number - 1) if number else theirs

    with pytest.raises(CannotCarry):
        carried(cursor, others)
