"""A client of the order stream, which reads server-sent events as a browser does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

PATH = "/orders/stream/"
STOCK_PATH = "/books/{}/stock/stream/"
PATIENCE_SECONDS = 10


class Stream:
    """The events of one connection, each a dict of its fields."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def event(self) -> dict[str, str]:
        """The next event with data. Raises EOFError at the end of the stream, TimeoutError when it is silent."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "data" not in (fields := await self._block()):
                pass
        return fields

    async def ending(self) -> list[dict[str, str]]:
        """Return the events until the server ends the stream; a broken connection raises."""
        blocks = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while True:
                    blocks.append(await self._block())
            except EOFError:
                return blocks

    async def _block(self) -> dict[str, str]:
        """The fields up to the next empty line; a comment is a field without a name."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                return fields
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        raise EOFError


@asynccontextmanager
async def listen(client: httpx.AsyncClient, last_id: str | None = None, *, path: str = PATH) -> AsyncIterator[Stream]:
    """Connect, or reconnect after the event with this id; hangs up in the end."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with client.stream("GET", path, headers=headers) as response:
        yield Stream(response.raise_for_status())
