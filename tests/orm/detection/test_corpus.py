"""Every shape of code that blocks is found, named and explained; every shape that only looks so is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from daf_orm import BlockingCallError
from daf_orm.detection import BlockingCall, guard, record_blocking, recorders
from tests.orm.detection.corpus import BLOCKING, HARMLESS, Shape
from tests.orm.detection.corpus.shelf import Shelf, close_here, fill
from tests.orm.detection.loops import LOOPS

each_loop = pytest.mark.parametrize("new_event_loop", LOOPS)


def each(shapes: list[Shape]) -> Any:
    return pytest.mark.parametrize("shape", shapes, ids=lambda shape: shape.name)


@pytest.fixture
def shelf(transactional_db: None) -> Shelf:
    return fill()


class Seen(list[tuple[BlockingCall, BlockingCallError | None]]):
    """Every call that is recorded, instead of the other recorders."""

    def record(self, call: BlockingCall, error: BlockingCallError | None) -> None:
        self.append((call, error))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()
    monkeypatch.setattr(recorders, "_recorders", [seen])
    monkeypatch.setattr(guard, "_forced_mode", "raise")
    return seen


def run(new_event_loop: Callable[[], Any], shape: Shape, shelf: Shelf) -> None:
    """Run a shape in a coroutine, and leave none of its connections behind."""
    if shape.vendor not in {None, connection.vendor}:
        pytest.skip(f"a shape of {shape.vendor}")
    if shape.cold and connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("in-memory SQLite is always connected")

    async def main() -> None:
        try:
            await shape.body(shelf)
        finally:
            close_here()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


@each(BLOCKING)
def test_a_blocking_shape_is_recorded_in_full(shape: Shape, shelf: Shelf) -> None:
    with record_blocking() as calls:
        run(asyncio.new_event_loop, shape, shelf)

    check(calls[0], shape)


@each_loop
@each(BLOCKING)
def test_a_blocking_shape_raises_and_is_recorded_where_that_is_swallowed(
    new_event_loop: Callable[[], Any], shape: Shape, shelf: Shelf, seen: Seen
) -> None:
    raised = None
    try:
        run(new_event_loop, shape, shelf)
    except BlockingCallError as error:
        raised = error

    assert seen
    check(seen[0][0], shape)
    assert raised in ([None] if shape.swallowed else [error for _, error in seen])


@each_loop
@each(HARMLESS)
def test_a_harmless_shape_is_left_alone(
    new_event_loop: Callable[[], Any], shape: Shape, shelf: Shelf, seen: Seen
) -> None:
    run(new_event_loop, shape, shelf)

    assert [str(call) for call, _ in seen] == []


def check(call: BlockingCall, shape: Shape) -> None:
    """Compare what was recorded with what the shape expects."""
    assert (call.operation, call.model, call.field) == (shape.operation, shape.model, shape.field), call
    assert (call.filename, call.lineno) == shape.place
    assert call.expression
    assert call.expression == (shape.expression or call.expression)
    assert shape.suggestion in call.suggestion
    assert call.template == shape.template
    assert shape.sql in (call.sql or "")
