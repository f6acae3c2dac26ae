"""The cost of a request whose view does nothing: DAF's ASGI handler beside Django's.

The view answers at once, with and without Django's seven default middleware. Each contestant is a separate process,
driven through ASGI without a network. They take turns: a round is one turn of each in an order drawn anew, and a ratio
compares two turns of the same round. Times are CPU times of the process, of all its threads.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import Any

from benchmarks.processes import Process
from benchmarks.tables import microseconds, print_table, ratio

HANDLERS = ("DAF", "stock")
REQUESTS = 200


class Contestant(Process):
    """A process that answers requests when it is told to."""

    def __init__(self, handler: str, middleware: str) -> None:
        super().__init__("benchmarks.handler_worker", handler, middleware)
        self.name = handler
        self.seconds: list[float] = []
        self.hops = 0

    def take_turn(self, *, counts: bool) -> None:
        """Answer some requests; ``counts``: and remember the time that one took."""
        answer = self.do(requests=REQUESTS)
        self.hops = answer["hops"]
        if counts:
            self.seconds.append(answer["cpu"])


def run(*, quick: bool) -> None:
    """Measure with and without middleware, and print a table for each."""
    rounds = 5 if quick else 40
    print(f"{rounds} rounds of {REQUESTS} requests, CPU time of one. *stock / DAF* is stock's time over DAF's.")
    for middleware in ("bare", "default"):
        contestants = _measure(middleware, rounds)
        daf, stock = (next(each for each in contestants if each.name == name) for name in HANDLERS)
        print(f"\n**{'no' if middleware == 'bare' else 'the seven default'} middleware**\n")
        rows: list[tuple[Any, ...]] = [
            (each.name, each.hops, microseconds(each.seconds), ratio(stock.seconds, each.seconds))
            for each in (daf, stock)
        ]
        print_table(("", "hops", "CPU µs", "stock / it"), rows)


def _measure(middleware: str, rounds: int) -> list[Contestant]:
    chance = random.Random(1)
    with ExitStack() as stack:
        contestants = [stack.enter_context(Contestant(name, middleware)) for name in HANDLERS]
        for number in range(-1, rounds):
            for contestant in chance.sample(contestants, len(contestants)):
                contestant.take_turn(counts=number >= 0)
        return contestants
