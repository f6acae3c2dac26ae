"""The sizes of a race: in full, and quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.race import in_process, over_http
from benchmarks.race.idle import CLIENTS
from benchmarks.race.works import QUERIES, WORKS

MAX_CONNECTIONS = 60
"""Fewer than there are requests at once: over HTTP a contender must live with it."""
_USUAL = frozenset({"uvicorn", "gunicorn", "runbolt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The heats of a race."""

    local: Sequence[in_process.Plan]
    """In process, on PostgreSQL on loopback."""
    away: Sequence[in_process.Plan] = ()
    """The same, with latency."""
    sqlite: Sequence[in_process.Plan] = ()
    over_http: Sequence[over_http.Plan]
    idle_clients: int = 0
    """None are measured where there are none."""
    max_connections: int = MAX_CONNECTIONS

    def described(self) -> str:
        """Return rounds and sizes, in words."""
        process, http = self.local[0], self.over_http[0]
        return (
            f"{process.rounds} rounds of {process.requests} requests in process, fewer where a request is large; "
            f"{http.rounds} rounds of {http.seconds:.0f} s over HTTP; at 1, 200 and 1,000 at once, away and on SQLite "
            "fewer rounds"
        )


def _in_process(works: Sequence[str], callers: Sequence[int], rounds: int, requests: int) -> in_process.Plan:
    return in_process.Plan(works=tuple(works), callers=tuple(callers), rounds=rounds, requests=requests)


def _http(works: Sequence[str], callers: Sequence[int], rounds: int, seconds: float) -> over_http.Plan:
    return over_http.Plan(works=tuple(works), callers=tuple(callers), servers=_USUAL, rounds=rounds, seconds=seconds)


FULL = Plans(
    local=[_in_process(tuple(WORKS), [20], 4, 150), _in_process(["one"], [1, 200, 1000], 2, 200)],
    away=[_in_process(["one", "change"], [20], 3, 100)],
    sqlite=[_in_process(["one", "many"], [20], 3, 100)],
    over_http=[
        _http(["hello", *QUERIES, "typed"], [20], 3, 2),
        over_http.Plan(
            works=("hello", "one"),
            callers=(20,),
            servers=frozenset({"granian"}),
            rounds=2,
            seconds=2,
            place="HTTP, granian",
        ),
        _http(["one"], [1, 200, 1000], 1, 3),
    ],
    idle_clients=CLIENTS,
)
QUICK = Plans(
    local=[_in_process(["hello", *QUERIES], [20], 2, 40)],
    over_http=[_http(["one"], [20], 1, 1)],
)
