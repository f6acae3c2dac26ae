"""The process of a contender that is measured in process: ``python -m benchmarks.race.worker``.

``RACE`` in its environment names it, as ``serving`` has it. It reads one JSON object per line and answers with one:
``{"answers": work}`` → ``[[status, body], …]``; ``{"work", "requests", "callers"}`` → the figures of
:mod:`benchmarks.in_process`; ``{"seed": true}`` fills the database.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.asgi_client import Lifespan, Request, ask
from benchmarks.in_process import Figures, in_a_loop, through_asgi, through_threads
from benchmarks.race.contenders import CONTENDERS, POOL_SIZE
from benchmarks.race.seeding import seed
from benchmarks.race.serving import build
from benchmarks.race.works import WORKS

CHECKED = 3


def main() -> None:
    """Obey until standard input ends."""
    kind = CONTENDERS[json.loads(os.environ["RACE"])["contender"]].kind
    application = build()
    loops = {"loop_factory": import_module("uvloop").new_event_loop} if find_spec("uvloop") else {}
    with asyncio.Runner(**loops) as runner:
        track = {"loop": _Loop, "wsgi": _Threads, "asgi": _Tasks}[kind](application, runner.run)
        for line in sys.stdin:
            print(json.dumps(_obey(track, json.loads(line))), flush=True)
        track.close()


def _obey(track: _Track, order: dict[str, Any]) -> Any:
    if "seed" in order:
        return seed()
    if "answers" in order:
        return [track.answer(request) for request in WORKS[order["answers"]].requests(CHECKED)]
    return track.run(WORKS[order["work"]].requests(order["requests"]), order["callers"])


class _Track:
    """A way to send requests to what answers them here."""

    def __init__(self, application: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.application = application
        self._run = run

    def answer(self, request: Request) -> tuple[int, str]:
        try:
            status, body = self.ask(request)
        except Exception as error:  # noqa: BLE001 - it is the answer
            return 500, f"{type(error).__name__}: {error}"
        return status, body.decode()

    def close(self) -> None:
        """End what was started."""

    def ask(self, request: Request) -> tuple[int, bytes]:
        raise NotImplementedError

    def run(self, requests: list[Request], callers: int) -> Figures:
        raise NotImplementedError


class _Tasks(_Track):
    def __init__(self, application: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__(application, run)
        self._lifespan = Lifespan(application)
        run(self._lifespan.start())

    def close(self) -> None:
        self._run(self._lifespan.stop())

    def ask(self, request: Request) -> tuple[int, bytes]:
        return self._run(ask(self.application, request))

    def run(self, requests: list[Request], callers: int) -> Figures:
        return self._run(through_asgi(self.application, requests, callers))


class _Loop(_Track):
    def ask(self, request: Request) -> tuple[int, bytes]:
        return self.application(request)

    def run(self, requests: list[Request], callers: int) -> Figures:  # noqa: ARG002 - there is one
        return in_a_loop(lambda request: self.ask(request)[0], requests)


class _Threads(_Track):
    def ask(self, request: Request) -> tuple[int, bytes]:
        statuses: list[str] = []
        response = self.application(_environ(request), lambda status, _headers: statuses.append(status))
        try:
            return int(statuses[0].split()[0]), b"".join(response)
        finally:
            response.close()

    def run(self, requests: list[Request], callers: int) -> Figures:
        executor = _executor(min(callers, POOL_SIZE))
        return through_threads(lambda request: self.ask(request)[0], requests, executor)


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    """A server keeps its threads, and Django a connection for each."""
    return ThreadPoolExecutor(threads)


def _environ(request: Request) -> dict[str, Any]:
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers}
    return {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }


if __name__ == "__main__":
    main()
