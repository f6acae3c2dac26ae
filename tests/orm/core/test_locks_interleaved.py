"""A turn is neither lost nor taken twice, at whichever instruction one thread is interrupted by another."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daf_orm._core import locks
from daf_orm._core.locks import FifoLock

Step = Callable[[], object]


def interrupted(make: Callable[[], tuple[Step, Step]]) -> Iterator[None]:
    """Run the first step, with the second in another thread, begun before each instruction of the lock in turn."""
    for number in itertools.count():
        first, second = make()
        thread = threading.Thread(target=second)
        if not _run(first, number, thread):
            return
        thread.join(10)
        assert not thread.is_alive()
        yield


def _run(step: Step, number: int, thread: threading.Thread) -> bool:
    """Run a step; return False if it has fewer instructions than ``number``."""
    left = [number]

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != locks.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == -1:
                thread.start()
                thread.join(0.02)  # it waits for the lock of the queue, if the first thread has that
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        step()
    finally:
        sys.settrace(before)
    return left[0] < 0


class Turns:
    """A lock with calls that wait for it, and those that have had the turn."""

    def __init__(self, *, is_taken: bool, waiting: int = 0) -> None:
        self.lock = FifoLock()
        self.had: list[int] = []
        if is_taken:
            assert self.lock.acquire_at_once()
        for number in range(waiting):
            self.wait(number)

    def wait(self, number: int) -> None:
        self.lock.when_free(lambda: self.had.append(number))

    def ask(self, number: int) -> None:
        if self.lock.acquire_at_once():
            self.had.append(number)

    def release_all(self) -> None:
        while self.lock.taken:
            self.lock.release()


@pytest.mark.parametrize("waiting", [0, 1, 2])
@pytest.mark.parametrize("is_release_first", [True, False])
def test_a_release_beside_a_call_that_waits(waiting: int, is_release_first: bool) -> None:  # noqa: FBT001 - of a table
    turns: list[Turns] = []

    def make() -> tuple[Step, Step]:
        turns[:] = [Turns(is_taken=True, waiting=waiting)]
        steps = (turns[0].lock.release, lambda: turns[0].wait(9))
        return steps if is_release_first else steps[::-1]

    for _ in interrupted(make):
        assert turns[0].had == ([0] if waiting else [9])
        assert turns[0].lock.taken
        turns[0].release_all()
        assert turns[0].had == [*range(waiting), 9]


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_release_beside_a_call_that_does_not_wait(waiting: int) -> None:
    turns: list[Turns] = []

    def make() -> tuple[Step, Step]:
        turns[:] = [Turns(is_taken=True, waiting=waiting)]
        return turns[0].lock.release, lambda: turns[0].ask(9)

    for _ in interrupted(make):
        assert turns[0].had in ([0], [[], [9]][not waiting], [])
        assert turns[0].lock.taken == bool(turns[0].had)


def test_two_calls_that_come_at_once() -> None:
    turns: list[Turns] = []

    def make() -> tuple[Step, Step]:
        turns[:] = [Turns(is_taken=False)]
        return lambda: turns[0].wait(0), lambda: turns[0].wait(1)

    for _ in interrupted(make):
        assert len(turns[0].had) == 1
        turns[0].release_all()
        assert sorted(turns[0].had) == [0, 1]


def test_a_release_beside_a_waiter_that_gives_up() -> None:
    turns: list[Turns] = []
    outcomes: list[bool] = []

    def give_up() -> None:
        outcomes.append(turns[0].lock.acquire_unless(lambda: True, 0.0))

    def make() -> tuple[Step, Step]:
        turns[:], outcomes[:] = [Turns(is_taken=True)], []
        return turns[0].lock.release, give_up

    for _ in interrupted(make):
        assert turns[0].lock.taken == outcomes[0]


@given(steps=st.lists(st.sampled_from(["ask", "wait", "release"]), max_size=30))
def test_turns_are_those_of_a_queue(steps: list[str]) -> None:
    turns, holds, queue, expected = Turns(is_taken=False), False, list[int](), list[int]()
    for number, step in enumerate(steps):
        if step == "release":
            if holds:
                turns.lock.release()
                expected += queue[:1]
                holds, queue = bool(queue), queue[1:]
        else:
            getattr(turns, step)(number)
            if not holds:
                holds = True
                expected.append(number)
            elif step == "wait":
                queue.append(number)
        assert (turns.had, turns.lock.taken) == (expected, holds)
