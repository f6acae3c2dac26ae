"""Workers seen from the parent, and the databases they share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from benchmarks.contestants import STOCK, Contestant
from tests.support.servers import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 30


class WorkerError(RuntimeError):
    """A worker could not do what it was told."""


class Process:
    """A contestant's process, which runs a module of the benchmarks. It works only while an order is unanswered.

    An order is a line of JSON, and so is its answer.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        python: Path | str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-m", module, *arguments],
            cwd=ROOT,
            env=None if environment is None else {**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def do(self, **order: Any) -> Any:
        """Give an order and wait for its answer. Raises WorkerError with the contestant's own message."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order) + "\n")
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"its process ended with status {self.process.wait()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Worker(Process):
    """The process of one of :mod:`benchmarks.contestants`."""

    def __init__(self, contestant: Contestant, database: Mapping[str, Any]) -> None:
        self.contestant = contestant
        super().__init__("benchmarks.worker", contestant.name, json.dumps(dict(database)))


@contextmanager
def workers(contestants: tuple[Contestant, ...], database: Mapping[str, Any]) -> Iterator[list[Worker]]:
    """Start a worker for each contestant that can use the database; say why the others take no part."""
    with ExitStack() as stack:
        started = []
        for contestant in contestants:
            if database["vendor"] not in contestant.engines:
                print(f"{contestant.name} takes no part: it has no {database['vendor']} engine.")
            elif contestant.missing:
                print(f"{contestant.name} takes no part: {', '.join(contestant.missing)} is not installed.")
            else:
                started.append(stack.enter_context(Worker(contestant, database)))
        yield started


@contextmanager
def postgresql(*, max_connections: int = 100) -> Iterator[dict[str, Any]]:
    """A server with the rows in it."""
    with PostgresServer(max_connections=max_connections) as server:
        database = {"vendor": "postgresql", **_address(server)}
        _seed(database)
        yield database


@contextmanager
def sqlite_file() -> Iterator[dict[str, Any]]:
    """A file with the rows in it."""
    with TemporaryDirectory(prefix="daf-benchmarks-") as folder:
        database = {"vendor": "sqlite", "NAME": f"{folder}/library.sqlite3"}
        _seed(database)
        yield database


def _address(server: PostgresServer) -> dict[str, str]:
    return {"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": str(server.port)}


def _seed(database: Mapping[str, Any]) -> None:
    with Worker(STOCK, database) as worker:
        worker.do(do="seed")
