"""The part of the smoke run that buys in a branch of the chain, where the database keeps its orders apart."""

from __future__ import annotations

from demo.shelf import Shelf
from demo.transcript import Transcript, json_of

BRANCH = "bergen"


async def chain(say: Transcript, shelf: Shelf) -> None:
    """Buy in Bergen, and look for the order in Kyoto."""
    say.section("A branch of the chain")
    bergen, kyoto = ({"Host": f"{name}.localhost"} for name in (BRANCH, "kyoto"))
    answer = await say.client.get("/livez", headers=bergen)
    if answer.status_code == 404:
        say.note(json_of(answer)["detail"])
        return
    order = shelf.order((shelf.common, 1))
    path = f"/orders/{json_of(await say.send('POST', '/orders/', order, status=201, headers=bergen))['id']}/"
    found = await say.get(path, headers=say.bearer | bergen)
    say.expect(found["customer"] == shelf.customer, "Bergen has the order")
    await say.get(path, status=404, headers=say.bearer | kyoto)
    await say.get(path, status=404, headers=say.bearer)
