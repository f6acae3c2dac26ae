"""The pieces of work, and the requests for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from benchmarks.asgi_client import Request
from benchmarks.catalog import BOOKS

SESSION_KEY = "0123456789abcdefghijklmnopqrstuv"
USER = "ada"
UPSTREAM_SECONDS = 0.2
ORDER = {"customer": "ada@example.com", "lines": [{"book": n, "quantity": n + 1, "price": 12.5} for n in range(5)]}
_JSON = (("content-type", "application/json"), ("accept", "application/json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A request that every contender answers alike."""

    name: str
    meaning: str
    path: str
    """``{pk}`` stands for the primary key of a book, another one in each request."""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    middleware: bool = False
    """True: behind Django's default middleware."""
    weight: int = 1
    """So many times fewer requests are sent."""

    def requests(self, number: int) -> list[Request]:
        """Return so many requests."""
        headers = self.headers + ((("content-length", str(len(self.body))),) if self.body else ())
        return [
            Request(path=self.path.format(pk=pk), method=self.method, headers=headers, body=self.body)
            for pk in islice(_pks(), number)
        ]


def _pks() -> Iterator[int]:
    return cycle(range(1, BOOKS + 1))


_WORKS = (
    Work(name="hello", meaning="JSON hello", path="/hello"),
    Work(
        name="hello_middleware", meaning="JSON hello behind Django's default middleware", path="/hello", middleware=True
    ),
    Work(name="one", meaning="one row by primary key", path="/one/{pk}"),
    Work(name="many", meaning="20 rows with a join", path="/many"),
    Work(name="gathered", meaning="five rows, gathered", path="/gathered/{pk}"),
    Work(name="change", meaning="read for update, change and write, in a transaction", path="/change/{pk}"),
    Work(name="typed", meaning="100 rows with a relation, typed", path="/books", weight=5),
    Work(
        name="order",
        meaning="a typed POST with five lines",
        path="/order",
        method="POST",
        headers=_JSON,
        body=json.dumps(ORDER).encode(),
    ),
    Work(
        name="session",
        meaning="the name of the user of a session, behind Django's default middleware",
        path="/account",
        headers=(("cookie", f"sessionid={SESSION_KEY}"),),
        middleware=True,
    ),
    Work(name="slow", meaning="one row, an upstream that takes 200 ms, one row", path="/slow/{pk}", weight=4),
)
WORKS = {work.name: work for work in _WORKS}
QUERIES = ("one", "many", "gathered", "change")
