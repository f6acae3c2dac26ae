"""The supplier's price service: a small ASGI program, which is slow for some books.

It knows every ISBN. For one that ends in 9 it looks into paper files, which takes half a minute.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

SLOW_DIGIT = "9"
SLOW_SECONDS = 30
_PATH = re.compile(r"/prices/(97[89][0-9]{10})")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer GET /prices/ISBN."""
    if scope["type"] != "http":
        return
    found = _PATH.fullmatch(scope["path"])
    if found is None:
        await _answer(send, 404, {})
        return
    if found[1].endswith(SLOW_DIGIT):
        await _sleep_unless_left(receive)
    cents = 300 + int(found[1][3:]) % 2000
    await _answer(send, 200, {"price": f"{cents // 100}.{cents % 100:02}"})


async def _sleep_unless_left(receive: Any) -> None:
    leaving = asyncio.create_task(_disconnected(receive))
    await asyncio.wait({leaving}, timeout=SLOW_SECONDS)
    leaving.cancel()


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Any, status: int, body: dict[str, str]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
