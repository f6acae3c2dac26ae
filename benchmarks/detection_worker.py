"""One detector's process: runs every shape of the corpus on an event loop, and prints what was seen as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import django

UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"

Detector = Callable[[list[Any]], AbstractContextManager[Any]]


def main(name: str) -> None:
    """Run the corpus under the detector called ``name``."""
    django.setup()
    logging.basicConfig(stream=io.StringIO())  # one shape is a log message; only numbers are reported here
    logging.raiseExceptions = False
    from django.test.utils import setup_databases, teardown_databases  # noqa: PLC0415 - settings first

    from daf_orm._pool.process_pool import reset_pool  # noqa: PLC0415

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        found, totals = _run_all(DETECTORS[name])
    finally:
        reset_pool()
        teardown_databases(databases, verbosity=0)
    print(json.dumps({"found": found, "totals": totals}))


def _run_all(detector: Detector) -> tuple[Counter[str], Counter[str]]:
    from django.db import connection  # noqa: PLC0415

    from tests.orm.detection.corpus import BLOCKING, HARMLESS  # noqa: PLC0415

    found: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for shape in (*BLOCKING, *HARMLESS):
        if shape.vendor in {None, connection.vendor}:
            totals[shape.group] += 1
            found[shape.group] += _is_seen(shape, detector)
    return found, totals


def _is_seen(shape: Any, detector: Detector) -> bool:
    from tests.orm.detection.corpus.shelf import close_here, empty, fill  # noqa: PLC0415

    shelf, seen = fill(), []

    async def run() -> None:
        with suppress(Exception), detector(seen):
            await shape.body(shelf)
        close_here()

    asyncio.run(run())
    empty()
    return bool(seen)


@contextmanager
def _nothing_watching() -> Iterator[None]:
    from daf_orm.detection import guard  # noqa: PLC0415

    guard.force_mode("off")
    os.environ[UNSAFE] = "1"
    try:
        yield
    finally:
        del os.environ[UNSAFE]
        guard.force_mode("raise")


@contextmanager
def _stock(seen: list[Any]) -> Iterator[None]:
    from django.core.exceptions import SynchronousOnlyOperation  # noqa: PLC0415

    from daf_orm.detection import guard  # noqa: PLC0415

    guard.deactivate()
    try:
        yield
    except SynchronousOnlyOperation as error:
        seen.append(error)
    finally:
        guard.activate()


@contextmanager
def _blockbuster(seen: list[Any]) -> Iterator[None]:
    from blockbuster import BlockingError, blockbuster_ctx  # noqa: PLC0415 - the other detectors run without it

    with _nothing_watching():
        try:
            with blockbuster_ctx():
                yield
        except BlockingError as error:
            seen.append(error)


@contextmanager
def _daf(seen: list[Any]) -> Iterator[None]:
    from daf_orm.detection import guard, recorders  # noqa: PLC0415

    class Recorder:
        def record(self, call: Any, error: Any) -> None:  # noqa: ARG002 - a recorder's signature
            seen.append(call)

    recorder = Recorder()
    guard.force_mode("raise")
    recorders.add_recorder(recorder)
    try:
        yield
    finally:
        recorders.remove_recorder(recorder)


DETECTORS: dict[str, Detector] = {"stock": _stock, "blockbuster": _blockbuster, "daf": _daf}

if __name__ == "__main__":
    main(sys.argv[1])
