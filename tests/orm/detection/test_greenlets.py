"""A loop that runs in the same thread proves nothing: Playwright's synchronous API and gevent have one beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import greenlet
import pytest
from django.db import connections

from daf_orm.detection import record_blocking
from tests.orm.detection.corpus.shelf import close_here
from tests.orm.detection.loops import LOOPS
from tests.project.library.models import Author, Book

each_loop = pytest.mark.parametrize("new_event_loop", LOOPS)


class LoopBeside:
    """Runs an event loop in a separate greenlet, as Playwright does, and calls this one while it runs."""

    def __init__(self, new_event_loop: Callable[[], Any]) -> None:
        self._new_event_loop = new_event_loop
        self._main = greenlet.getcurrent()
        self._greenlet = greenlet.greenlet(self._run)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._new_event_loop) as runner:
            runner.run(self._switch())

    async def _switch(self) -> None:
        self._main.switch()

    def __enter__(self) -> None:
        self._greenlet.switch()
        assert asyncio.get_running_loop().is_running()

    def __exit__(self, *_: object) -> None:
        self._greenlet.switch()


@pytest.fixture
def loop_beside(new_event_loop: Callable[[], Any]) -> Iterator[LoopBeside]:
    Author.objects.create(name="a0").books.create(title="b0")
    loop = LoopBeside(new_event_loop)
    yield loop
    asyncio.set_event_loop(None)


@each_loop
def test_code_beside_a_loop_is_left_alone(loop_beside: LoopBeside) -> None:
    with record_blocking() as calls, loop_beside:
        assert isinstance([book.author.name for book in Book.objects.all()], list)
        connections.close_all()

    assert calls == []


@each_loop
def test_code_of_the_loop_beside_is_seen(loop_beside: LoopBeside) -> None:
    async def count() -> None:
        Book.objects.count()
        close_here()

    with record_blocking() as calls:
        asyncio.run(count())

    assert [call.operation for call in calls] == ["QuerySet.count"]
