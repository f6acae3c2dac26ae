"""The part of the smoke run that listens to orders."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

from demo.listening import STOCK_PATH, listen
from demo.shelf import Shelf
from demo.transcript import Transcript

LISTENERS = 20


async def listening(say: Transcript, shelf: Shelf) -> None:
    """Send orders to listeners, also to one that reconnects."""
    say.section("Listening to orders")
    async with listen(say.client) as stream:
        say.expect(stream.response.headers["Content-Type"].startswith("text/event-stream"), "a stream of events")
        await say.post("/orders/", shelf.order((shelf.common, 10**9)), status=422)
        await say.post("/orders/", shelf.order((shelf.common, 1), (shelf.rare, 100)), status=409)
        placed = await say.post("/orders/", shelf.order((shelf.common, 2)), status=201)
        heard = await stream.event()
        say.note(str(heard))
        say.expect(heard["id"] == str(placed["id"]), "it hears of the order that was placed, and of no other")
        say.expect(json.loads(heard["data"])["total"] == placed["total"], "with its total")
        say.expect("customer" not in heard["data"], "without its customer")
    await _coming_back(say, shelf, heard["id"])
    await _many_listeners(say, shelf)


async def stock_live(say: Transcript, shelf: Shelf) -> None:
    """Watch the copies of a book while it is sold."""
    say.section("The stock of a book, live")
    say.show(await say.client.get(STOCK_PATH.format(2**62)), status=404)
    async with listen(say.client, path=STOCK_PATH.format(shelf.common)) as stream:
        now = json.loads((await stream.event())["data"])["quantity"]
        say.expect(now == (await say.get(f"/books/{shelf.common}/stock/"))["quantity"], "first, the copies now")
        for copies in (3, 1):
            await say.post("/orders/", shelf.order((shelf.common, copies)), status=201)
            now -= copies
            changed = json.loads((await stream.event())["data"])
            say.expect(changed == {"quantity": now}, f"{copies} sold: {now} are left, as the page hears at once")


async def _coming_back(say: Transcript, shelf: Shelf, last_id: str) -> None:
    say.note("hanging up; two orders meanwhile; coming back")
    missed = [await say.post("/orders/", shelf.order((shelf.common, 1)), status=201) for _ in range(2)]
    async with listen(say.client, last_id) as stream:
        heard = [(await stream.event())["id"] for _ in missed]
        say.expect(heard == [str(order["id"]) for order in missed], f"after Last-Event-ID {last_id} come both of them")
        placed = await say.post("/orders/", shelf.order((shelf.common, 1)), status=201)
        say.expect((await stream.event())["id"] == str(placed["id"]), "then the next one that is placed, once")


async def _many_listeners(say: Transcript, shelf: Shelf) -> None:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listen(say.client)) for _ in range(LISTENERS)]
        stats = await say.get("/pool/", headers=say.bearer)
        say.expect(stats["pool_available"] == stats["pool_size"], f"{LISTENERS} idle listeners hold no connection")
        placed = await say.post("/orders/", shelf.order((shelf.common, 1)), status=201)
        heard = {(await stream.event())["id"] for stream in streams}
        say.expect(heard == {str(placed["id"])}, "all of them hear of the same order")
