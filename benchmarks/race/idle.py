"""The cost of idle clients: streams of server-sent events on which nothing comes."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from random import Random
from typing import Any

from benchmarks.race.contenders import CONTENDERS
from benchmarks.race.databases import Databases
from benchmarks.race.meter import Meter
from benchmarks.race.samples import Heat, Race
from benchmarks.race.servers import DidNotStartError, serve

CLIENTS = 1000
PATH = "/events"
FIRST = b"hello"
"""The data of the first event."""
_OPEN_SECONDS = 60.0
_AT_ONCE = 50
_SETTLE_SECONDS = 1.0


def run(race: Race, databases: Databases, *, clients: int = CLIENTS) -> None:
    """Open so many streams on each contender in turn, and remember what they cost."""
    entries = [each for each in CONTENDERS.values() if each.streams and databases.vendor in each.engines]
    for contender in Random(1).sample(entries, len(entries)):
        if contender.name in race.absent:
            continue
        print(f"{clients:,} idle streams: {contender.name}", flush=True)
        database = databases.copy()
        try:
            with serve(contender, contender.servers[0], database, middleware=False) as (pid, port):
                meter = Meter(pid, lambda database=database: databases.count_sessions(database))
                race.idle[contender.name] = asyncio.run(_measure(meter, port, clients))
        except DidNotStartError as error:
            heat = Heat(place="HTTP", database=databases.label, work="events", callers=clients)
            race.excuse(heat, contender.name, str(error))


async def _measure(meter: Meter, port: int, clients: int) -> dict[str, Any]:
    await _close(await _open_all(port, _AT_ONCE))  # the first ones make some things once
    time.sleep(_SETTLE_SECONDS)  # noqa: ASYNC251 - no client does anything meanwhile
    before = meter.look()
    streams = await _open_all(port, clients)
    time.sleep(_SETTLE_SECONDS)  # noqa: ASYNC251 - as above
    after = meter.look()
    await _close(streams)
    return {
        "clients": len(streams),
        "bytes": (after["memory"] - before["memory"]) / max(len(streams), 1),
        "threads": after["threads"] - before["threads"],
        "connections": after["connections"],
    }


async def _open_all(port: int, clients: int) -> list[asyncio.StreamWriter]:
    """Return the streams whose first event has come."""
    room = asyncio.Semaphore(_AT_ONCE)
    opened = await asyncio.gather(*[_open(port, room) for _ in range(clients)])
    return [writer for writer in opened if writer is not None]


async def _open(port: int, room: asyncio.Semaphore) -> asyncio.StreamWriter | None:
    async with room:
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(_OPEN_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode())
                await reader.readuntil(FIRST)
                return writer
    return None


async def _close(streams: list[asyncio.StreamWriter]) -> None:
    for writer in streams:
        writer.close()
    await asyncio.gather(*[writer.wait_closed() for writer in streams], return_exceptions=True)
