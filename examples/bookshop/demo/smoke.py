"""The smoke run: every endpoint over HTTP, many customers at the same time, and an orderly end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from itertools import cycle, islice

import httpx

from demo.catalogue import browsing
from demo.chain import chain
from demo.counter import desk
from demo.guessing import guessing
from demo.mistakes import wrong_requests
from demo.programs import documents, tokens, twice, versions, walks
from demo.server import Server
from demo.shelf import Shelf, copies_sold, own_shelf
from demo.stopping import stopping
from demo.streaming import listening, stock_live
from demo.tour import pool_line
from demo.transcript import Transcript
from demo.upstream import offers

RARE_COPIES = 20
COMMON_COPIES = 1_000
CUSTOMERS = 50
READS = 200
WHOLE_RUN_SECONDS = 120
SETTLE_SECONDS = 5


def smoke(server: Server) -> int:
    """Run all of it against the server, and stop it; returns 0, or 1 when an expectation was not met."""
    with own_shelf(rare_copies=RARE_COPIES, common_copies=COMMON_COPIES) as shelf:
        failures = asyncio.run(_drive(server, shelf))
        # Asked from this process, so from another connection than any the server used.
        sold = copies_sold(shelf, shelf.rare)
    if sold != RARE_COPIES:
        failures.append(f"the database holds orders for {sold} copies of the rare book, not {RARE_COPIES}")
    return _verdict(failures)


def _verdict(failures: list[str]) -> int:
    if not failures:
        print("\nEverything as expected.")
        return 0
    print("\n  ".join([f"\n{len(failures)} not as expected:", *failures]))
    return 1


async def _drive(server: Server, shelf: Shelf) -> list[str]:
    limits = httpx.Limits(max_connections=100)
    async with (
        asyncio.timeout(WHOLE_RUN_SECONDS),
        httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60, trust_env=False) as client,
    ):
        say = Transcript(client, shelf.token)
        await documents(say)
        await _reading(say, shelf)
        await tokens(say)
        await walks(say)
        await versions(say, shelf)
        await _buying(say, shelf)
        await twice(say, shelf)
        await wrong_requests(say, shelf)
        await listening(say, shelf)
        await stock_live(say, shelf)
        await offers(say, shelf)
        await chain(say, shelf)
        await _last_copies(say, shelf)
        await _all_or_nothing(say, shelf)
        await browsing(say, shelf)
        await desk(say, shelf)
        await _many_readers(say, shelf)
        await guessing(say)
        await _pool_settles(say)
        await stopping(say, server, shelf)
        return say.failures


async def _reading(say: Transcript, shelf: Shelf) -> None:
    say.section("Reading")
    for path, text in (("/livez", "ok"), ("/readyz", "ok")):
        say.expect(say.show(await say.client.get(path), status=200).text == text, f"{path} says {text}")
    first, second = [await say.get(f"/books/?page_size=3&page={number}") for number in (1, 2)]
    ids = {book["id"] for page in (first, second) for book in page["results"]}
    say.expect(first["count"] >= 3_000, f"{first['count']} books in the shop")
    say.expect(len(ids) == 6, "two pages of three hold six different books")

    book = await say.get(f"/books/{shelf.rare}/")
    say.expect(book["author"]["name"].endswith(shelf.word), "a book comes with its author")
    say.expect(len(book["tags"]) == 2, "and its tags")
    stock = await say.get(f"/books/{shelf.rare}/stock/")
    say.expect(stock["quantity"] == RARE_COPIES, "and its stock beside it")

    found = await say.get(f"/books/?q=common%20{shelf.word}&in_stock=true")
    say.expect([book["id"] for book in found["results"]] == [shelf.common], "search finds title and author")

    report = await say.get("/report/")
    parts = {"catalogue", "stock", "sales", "bestsellers", "tags"}
    say.expect(set(report) == parts, "five queries answered the report")


async def _buying(say: Transcript, shelf: Shelf) -> None:
    say.section("Buying")
    placed = await say.post("/orders/", shelf.order((shelf.common, 2)), status=201)
    say.expect(placed["total"] == "25.00", "two copies at 12.50 are 25.00")
    read = await say.get(f"/orders/{placed['id']}/", headers=say.bearer)
    say.expect(read == placed, "the order reads back as it was answered")
    stock = await _stock(say, shelf.common)
    say.expect(stock == COMMON_COPIES - 2, f"{stock} of {COMMON_COPIES} copies are left")
    await _receipt(say, placed["id"])


async def _receipt(say: Transcript, order: int) -> None:
    """Wait until the task has sent it, which was enqueued when the order committed."""
    deadline = time.monotonic() + SETTLE_SECONDS
    path = f"/orders/{order}/receipt/"
    answer = await say.client.get(path, headers=say.bearer)
    while answer.status_code == 404 and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        answer = await say.client.get(path, headers=say.bearer)
    say.show(answer, status=200)
    say.expect(answer.status_code == 200, "the receipt was sent in the background")


async def _last_copies(say: Transcript, shelf: Shelf) -> None:
    say.section(f"{CUSTOMERS} customers at the same time, {RARE_COPIES} copies")
    order = shelf.order((shelf.rare, 1))
    started = time.perf_counter()
    responses = await asyncio.gather(*(say.client.post("/orders/", json=order) for _ in range(CUSTOMERS)))
    seconds = time.perf_counter() - started
    answers = Counter(response.status_code for response in responses)
    say.note(f"{CUSTOMERS} orders in {seconds:.2f} s: {_counted(answers)}")
    say.expect(
        answers == {201: RARE_COPIES, 409: CUSTOMERS - RARE_COPIES},
        f"exactly {RARE_COPIES} were sold, the others were told it is out of stock",
    )
    stock = await say.get(f"/books/{shelf.rare}/stock/")
    say.expect(stock["quantity"] == 0, "the shelf is empty, not below zero")
    say.expect(stock["restock_requested"], "after the commit, the last order asked for new copies")


async def _all_or_nothing(say: Transcript, shelf: Shelf) -> None:
    say.section("An order that can only be half filled")
    before = await _stock(say, shelf.common)
    await say.post("/orders/", shelf.order((shelf.common, 1), (shelf.rare, 1)), status=409)
    say.expect(await _stock(say, shelf.common) == before, "it takes nothing")


async def _many_readers(say: Transcript, shelf: Shelf) -> None:
    say.section(f"{READS} reads at the same time")
    paths = ("/books/?page_size=50", f"/books/{shelf.common}/", "/books/?q=golden", "/report/")
    started = time.perf_counter()
    responses = await asyncio.gather(*(say.client.get(path) for path in islice(cycle(paths), READS)))
    seconds = time.perf_counter() - started
    answers = Counter(response.status_code for response in responses)
    say.note(f"{READS} reads in {seconds:.2f} s, {READS / seconds:.0f} per second: {_counted(answers)}")
    say.expect(answers == {200: READS}, "every read was answered")


async def _pool_settles(say: Transcript) -> None:
    say.section("The connection pool")
    deadline = time.monotonic() + SETTLE_SECONDS
    stats = await say.get("/pool/", headers=say.bearer)
    while not _settled(stats) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        stats = await say.get("/pool/", headers=say.bearer)
    say.note(pool_line(stats))
    say.expect(stats["requests_num"] > READS, "the pool lent a connection for the work above")
    say.expect(stats["pool_size"] <= stats["pool_max"], "it never grew beyond its limit")
    say.expect(_settled(stats), "every connection came back, and no call waits")


def _settled(stats: Mapping[str, int]) -> bool:
    return stats["pool_available"] == stats["pool_size"] and stats["requests_waiting"] == 0


def _counted(answers: Mapping[int, int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))


async def _stock(say: Transcript, book: int) -> int:
    response = await say.client.get(f"/books/{book}/stock/")
    return int(response.raise_for_status().json()["quantity"])
