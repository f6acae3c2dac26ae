"""The expression that a frame is at: exact, on one line, on every Python."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from daf_orm.detection.frames import expression

pytestmark = pytest.mark.no_database


class Watched:
    """Notes the expression that its caller is at, whatever it does."""

    def __init__(self) -> None:
        self.expression = ""

    def look(self, *_: Any) -> Any:
        frame = sys._getframe(1)
        self.expression = expression(frame)
        return self

    def look_outside(self) -> Any:
        """Note the expression that its caller's caller is at."""
        self.look_at(sys._getframe(2))
        return self

    def __iter__(self) -> Any:
        self.look_at(sys._getframe(1))
        return iter([1, 2])

    def __bool__(self) -> bool:
        self.look_at(sys._getframe(1))
        return True

    def __enter__(self) -> None:
        self.look_at(sys._getframe(1))

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def __getitem__(self, _: object) -> None:
        self.look_at(sys._getframe(1))

    @property
    def loaded(self) -> str:
        self.look_at(sys._getframe(1))
        return ""

    def look_at(self, frame: FrameType) -> None:
        self.expression = expression(frame)


def loop(x: Watched) -> None:
    for _ in x:
        pass


def comprehension(x: Watched) -> None:
    [y for y in x]  # noqa: C416


def generator_expression(x: Watched) -> None:
    (y for y in x)


# pytest takes the call of an assertion apart.
def any_of_items(x: Watched) -> None:
    any(y for y in [x])


def all_of_items_over_lines(x: Watched) -> None:
    all(
        y
        for y in [x]
    )  # fmt: skip


def any_of_calls(x: Watched) -> None:
    any(y.look_outside() for y in [x])


def tuple_of_calls(x: Watched) -> None:
    tuple(y.look_outside() for y in [x])


def loop_within_a_call(x: Watched) -> None:
    list(y.look_outside() for y in [x])  # noqa: C400


def unpacking(x: Watched) -> None:
    _, _ = x


def unpacking_a_call(x: Watched) -> None:
    first, _ = Watched.look(x)
    assert first


def if_statement(x: Watched) -> None:
    if x:
        pass
    else:
        raise AssertionError


def while_statement(x: Watched) -> None:
    while x:
        break


def assertion(x: Watched) -> None:
    assert x


def with_statement(x: Watched) -> None:
    with x:
        pass


def item(x: Watched) -> None:
    x["äöü"]


def attribute(x: Watched) -> None:
    assert "äöü" + x.loaded + "äöü"


def attribute_over_lines(x: Watched) -> None:
    assert not (
        x
        .loaded
    )  # fmt: skip


def call(x: Watched) -> None:
    assert [x.look(1, 2)] == [x]


def call_over_lines(x: Watched) -> None:
    (
        x  # the first
        .look(
            "# no comment",  # a comment
            [1, 2],
        )
        .look(
            "(", 2,
        )
    )  # fmt: skip


def lambda_(x: Watched) -> None:
    look = lambda: x.look()  # noqa: E731
    look()


def default_of_a_function(x: Watched) -> None:
    def inner(y: Any = x.look("default")) -> None:  # noqa: B008
        """Do nothing."""

    inner()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (loop, "x"),
        (comprehension, "x"),
        (generator_expression, "x"),
        (any_of_items, "any(y for y in [x])"),
        (all_of_items_over_lines, "all(y for y in [x])"),
        (any_of_calls, "any(y.look_outside() for y in [x])"),
        (tuple_of_calls, "tuple(y.look_outside() for y in [x])"),
        (loop_within_a_call, "list(y.look_outside() for y in [x])"),
        (unpacking, "x"),
        (unpacking_a_call, "Watched.look(x)"),
        (if_statement, "x"),
        (while_statement, "x"),
        (assertion, "x"),
        (with_statement, "x"),
        (item, 'x["äöü"]'),
        (attribute, "x.loaded"),
        (attribute_over_lines, "x.loaded"),
        (call, "x.look(1, 2)"),
        (call_over_lines, 'x.look("# no comment", [1, 2]).look("(", 2)'),
        (lambda_, "x.look()"),
        (default_of_a_function, 'x.look("default")'),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_expression_is_the_one_that_ran(function: Callable[[Watched], None], expected: str) -> None:
    x = Watched()

    function(x)

    assert x.expression == expected


def test_code_without_source_has_no_expression() -> None:
    x = Watched()

    exec("x.loaded", {"x": x})

    assert x.expression == ""


def test_a_file_that_changed_since_has_no_expression() -> None:
    x = Watched()

    exec(compile("\n" * 10_000 + "x.loaded", __file__, "exec"), {"x": x})

    assert x.expression == ""
