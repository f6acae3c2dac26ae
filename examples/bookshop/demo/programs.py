"""The part of the smoke run that calls as programs do: documents, tokens, pages, versions, and the same order twice."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import Any

from demo.shelf import Shelf
from demo.transcript import Transcript, json_of

WRITERS = 20
OPERATIONS = {
    "/books/": {"get"},
    "/books/{pk}/": {"get", "put", "patch"},
    "/books/{pk}/offer/": {"get"},
    "/books/{pk}/stock/": {"get"},
    "/books/{pk}/stock/stream/": {"get"},
    "/orders/": {"get", "post"},
    "/orders/{pk}/": {"get"},
    "/orders/{pk}/receipt/": {"get"},
    "/orders/stream/": {"get"},
    "/report/": {"get"},
    "/pool/": {"get"},
}


async def documents(say: Transcript) -> None:
    """Fetch the OpenAPI document."""
    say.section("The document")
    made = await say.get("/api/openapi.json")
    say.expect(made["openapi"].startswith("3.1") and made["info"]["title"] == "The bookshop", "an OpenAPI document")
    listed = {path: set(item) for path, item in made["paths"].items()}
    say.expect(listed == OPERATIONS, f"it lists {sum(map(len, OPERATIONS.values()))} operations")
    page = say.show(await say.client.get("/api/docs/"), status=200)
    for name in ("swagger-ui.css", "page.css", "swagger-ui-bundle.js", "start.js"):
        say.expect(name in page.text, f"its page needs {name}")
        say.expect((await say.client.get(f"/api/docs/{name}")).status_code == 200, "and gets it")


async def tokens(say: Transcript) -> None:
    """Call with and without permission."""
    say.section("Tokens")
    answer = say.show(await say.client.get("/orders/"), status=401)
    say.expect("Bearer" in answer.headers["WWW-Authenticate"], "a 401 says how to authenticate")
    await say.get("/orders/", status=401, headers={"Authorization": "Bearer guessed"})
    orders = await say.get("/orders/?page_size=1", headers=say.bearer)
    say.expect("customer" in orders["results"][0], "the clerk's program reads orders")
    await say.get("/pool/", status=401)
    await say.get("/pool/", headers=say.bearer)


async def walks(say: Transcript) -> None:
    """All the pages of a list, by its links: orders by cursor, books by number."""
    say.section("Pages")
    seen: list[int] = []
    url: str | None = "/orders/?page_size=100"
    while url is not None:
        page = (await say.client.get(url, headers=say.bearer)).raise_for_status().json()
        seen += [order["id"] for order in page["results"]]
        url = page["next"]
    say.expect(len(seen) == len(set(seen)) >= 1_500, f"following `next`, {len(seen)} orders, each once")
    answer = await say.client.get("/books/?page_size=100")
    count, ids = answer.json()["count"], set()
    while True:
        ids |= {book["id"] for book in answer.json()["results"]}
        if "next" not in answer.links:
            break
        answer = await say.client.get(answer.links["next"]["url"])
    say.expect(len(ids) == count >= 3_000, f"following Link, all {count} books")


async def versions(say: Transcript, shelf: Shelf) -> None:
    """Get a 304 for a known version; update only the version that was seen."""
    say.section("Versions of a book")
    path = f"/books/{shelf.common}/"
    book = say.show(await say.client.get(path), status=200)
    tag = book.headers["ETag"]
    answer = say.show(await say.client.get(path, headers={"If-None-Match": tag}), status=304)
    say.expect(not answer.content, f"a 304 for {tag} has no body")
    change: dict[str, Any] = {"price": "13.50"}
    await say.send("PATCH", path, change, status=401)
    await say.send("PATCH", path, change, status=428, headers=say.bearer)
    await say.send("PATCH", path, change, status=412, headers=say.bearer | {"If-Match": '"0"'})
    answer = await say.send("PATCH", path, change, status=200, headers=say.bearer | {"If-Match": tag})
    say.expect(answer.json()["price"] == "13.50", "the clerk's program writes over the version it has seen")
    say.expect(answer.headers["ETag"] not in {"", tag}, "which is another one from then on")
    await say.send("PATCH", path, change, status=412, headers=say.bearer | {"If-Match": tag})
    await _at_once(say, path, answer.headers["ETag"])
    whole = {name: book.json()[name] for name in ("isbn", "title", "published", "price")}
    whole["author"] = book.json()["author"]["id"]
    current = say.bearer | {"If-Match": (await say.client.get(path)).headers["ETag"]}
    await say.send("PUT", path, whole | {"author": 2**63 - 1}, status=409, headers=current)
    answer = await say.send("PUT", path, whole, status=200, headers=current)
    say.expect(answer.json()["price"] == book.json()["price"], "PUT puts all of it back")


async def _at_once(say: Transcript, path: str, tag: str) -> None:
    """Programs that have all seen the same version write at the same time."""
    headers = say.bearer | {"If-Match": tag}
    prices = [{"price": f"{number}.00"} for number in range(1, WRITERS + 1)]
    answers = await asyncio.gather(*(say.client.patch(path, json=price, headers=headers) for price in prices))
    statuses = Counter(answer.status_code for answer in answers)
    say.expect(statuses == {200: 1, 412: WRITERS - 1}, f"of {WRITERS} writers of one version, one succeeds")
    [written] = [answer.json()["price"] for answer in answers if answer.status_code == 200] or [None]
    say.expect((await say.client.get(path)).json()["price"] == written, "and what it wrote stays")


async def twice(say: Transcript, shelf: Shelf) -> None:
    """An order whose answer was lost is sent again."""
    say.section("The same order twice")
    before = (await say.get(f"/books/{shelf.common}/stock/"))["quantity"]
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    order = shelf.order((shelf.common, 2))
    first, second = [await say.send("POST", "/orders/", order, status=201, headers=key) for _ in range(2)]
    say.expect(first.content == second.content, "the second is answered as the first")
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in (first, second)]
    say.expect(replayed == [None, "true"], "and says so")
    say.expect(
        first.headers["Location"] == second.headers["Location"] == f"/orders/{json_of(first)['id']}/", "Location"
    )
    after = (await say.get(f"/books/{shelf.common}/stock/"))["quantity"]
    say.expect(after == before - 2, "two copies are sold, not four")
    await say.send("POST", "/orders/", shelf.order((shelf.common, 3)), status=422, headers=key)
