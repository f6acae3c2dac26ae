"""The process of one contestant of ``native``: ``python -m benchmarks.native_worker NAME DATABASE``.

It reads one JSON object per line and answers with one: ``{"work", "callers", "requests"}`` → ``{"cpu", "p50", "p99"}``,
seconds per request; with ``"count": true``, ``{"count"}``, the bytecode instructions of all of them by package.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings

from benchmarks.asgi_client import Request
from benchmarks.catalog import BOOKS
from benchmarks.in_process import in_a_loop, through_asgi
from benchmarks.native import SETUPS, Setup, settings_of
from benchmarks.opcodes import counted

_PKS = itertools.cycle(range(1, BOOKS + 1))


def main() -> None:
    """Set the contestant up and obey until standard input ends."""
    setup, database = SETUPS[sys.argv[1]], json.loads(sys.argv[2])
    work, application = _django(setup, database) if setup.is_django else (None, _handler(setup)(setup.engine, database))
    loops = {"loop_factory": import_module("uvloop").new_event_loop} if find_spec("uvloop") else {}
    with asyncio.Runner(**loops) as runner:
        for line in sys.stdin:
            order = json.loads(line)
            if "seed" in order:
                work.seed()
                answer = {}
            else:
                with counted() if order.pop("count", False) else nullcontext() as count:
                    requests = _requests(order["work"], order["requests"])
                    if setup.is_floor:
                        answer = _floor(work, requests)
                    else:
                        answer = runner.run(through_asgi(application, requests, order["callers"]))
                if answer["failures"]:
                    raise RuntimeError(f"{order['work']}: {answer['failures']}")
                answer = answer if count is None else {"count": count}
            print(json.dumps(answer), flush=True)


def _django(setup: Setup, database: dict[str, str]) -> tuple[Any, Any]:
    settings.configure(**settings_of(setup, database))
    django.setup()
    return import_module("benchmarks.catalog.work"), _handler(setup)()


def _handler(setup: Setup) -> Any:
    module, _, name = setup.handler.partition(":")
    return getattr(import_module(module), name)


def _requests(work: str, number: int) -> list[Request]:
    pks = itertools.islice(_PKS, number)
    return [Request(path=f"/{work}" if work == "many" else f"/{work}/{pk}") for pk in pks]


def _floor(work: Any, requests: list[Request]) -> dict[str, Any]:
    def answer(request: Request) -> int:
        _, name, *pk = request.path.split("/")
        json.dumps(getattr(work.Sync, name)(*map(int, pk)))
        return 200

    return in_a_loop(answer, requests)


if __name__ == "__main__":
    main()
