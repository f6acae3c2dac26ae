"""The part of the smoke run that uses the pages for staff, as a browser does."""

from __future__ import annotations

from html import escape
from typing import Any

import httpx

from demo.back_office import administration
from demo.catalogue import csrf_token, writing
from demo.shelf import Shelf
from demo.transcript import Transcript


async def desk(say: Transcript, shelf: Shelf) -> None:
    """A stranger, a wrong token, a wrong password; then a clerk at work."""
    say.section("The desk, behind a login")
    browser = {"base_url": say.client.base_url, "trust_env": False, "headers": {"Accept": "text/html"}, "timeout": 60}
    async with httpx.AsyncClient(**browser) as client:
        page = await _arriving(say, client)
        await _logging_in(say, client, shelf, page)
        await _working(say, client, shelf)
        await writing(say, client, shelf)
        await administration(say, client, shelf)
        await _leaving(say, client)


async def _arriving(say: Transcript, client: httpx.AsyncClient) -> httpx.Response:
    answer = say.show(await client.get("/desk/"), status=302)
    say.expect(answer.headers["Location"] == "/login/?next=/desk/", "strangers are sent to the login page")
    return say.show(await client.get(answer.headers["Location"]), status=200)


async def _logging_in(say: Transcript, client: httpx.AsyncClient, shelf: Shelf, page: httpx.Response) -> None:
    right = {"username": shelf.clerk.name, "password": shelf.clerk.password, "next": "/desk/"}
    for forged in ({}, {"csrfmiddlewaretoken": "forged"}):
        say.show(await client.post("/login/", data=right | forged), status=403)
    token = {"csrfmiddlewaretoken": csrf_token(page)}
    answer = say.show(await client.post("/login/", data=right | token | {"password": "guessed"}), status=200)
    say.expect("sessionid" not in client.cookies, "without its token, or with a wrong password, a login fails")
    say.expect("guessed" not in answer.text, "the form does not repeat the password")
    elsewhere = {"next": "https://example.com/desk/"}
    answer = say.show(await client.post("/login/", data=right | token | elsewhere), status=302)
    say.expect(answer.headers["Location"] == "/desk/", "with both, the clerk gets to the desk, and to no other site")


async def _working(say: Transcript, client: httpx.AsyncClient, shelf: Shelf) -> None:
    customer = f'"<b>{shelf.word}</b>"@example.com'
    order = shelf.order((shelf.common, 1)) | {"customer": customer}
    placed = await say.post("/orders/", order, status=201)
    page = say.show(await client.get("/desk/"), status=200)
    say.expect(f"<td>{placed['id']}</td>" in page.text, "the desk shows the last order")
    say.expect(escape(customer) in page.text.replace("&#x27;", "'"), "a customer's name is text, not HTML")
    say.expect(customer not in page.text, "and nowhere else")
    await _tasks(say, client)
    await _restocking(say, client, shelf, csrf_token(page))
    await _from_the_browser(say, client, order, csrf_token(page))


async def _tasks(say: Transcript, client: httpx.AsyncClient) -> None:
    """Show the state of the receipts: for staff, as JSON or as a page."""
    say.show(await say.client.get("/staff/tasks/"), status=401)
    [tasks] = say.show(await client.get("/staff/tasks/?format=json"), status=200).json()["backends"]
    say.expect(tasks["queues"]["default"]["successful"] > 0, "staff sees that receipts have been sent")
    page = say.show(await client.get("/staff/metrics/"), status=200)
    say.expect("<h1>Metrics</h1>" in page.text, "and the metrics of the process")
    page = say.show(await client.get("/staff/tasks/"), status=200)
    say.expect("<h1>Tasks</h1>" in page.text, "on a page, too")


async def _restocking(say: Transcript, client: httpx.AsyncClient, shelf: Shelf, token: str) -> None:
    path, form = f"/desk/restock/{shelf.rare}/", {"csrfmiddlewaretoken": token}
    say.show(await client.post(path, data=form), status=302)
    page = say.show(await client.get("/desk/"), status=200)
    say.expect(
        "new copies of “A Rare Book”" in page.text, "the clerk buys in the book that was sold out, and is told so"
    )
    say.expect((await _stock(say, shelf.rare)) == {"quantity": 20, "restock_requested": False}, "it is on the shelf")
    say.show(await client.post(path, data=form), status=404)


async def _from_the_browser(say: Transcript, client: httpx.AsyncClient, order: Any, token: str) -> None:
    """The API takes a session's request only with its token: another site could make a browser send it."""
    json = {"Accept": "application/json"}
    refused = say.show(await client.post("/orders/", json=order, headers=json), status=403)
    say.expect(refused.json()["code"] == "csrf_failed", "with the session's cookie, the API wants its token too")
    say.show(await client.post("/orders/", json=order, headers=json | {"X-CSRFToken": token}), status=201)


async def _leaving(say: Transcript, client: httpx.AsyncClient) -> None:
    say.show(await client.get("/logout/"), status=405)
    page = await client.get("/desk/")
    say.show(await client.post("/logout/", data={"csrfmiddlewaretoken": csrf_token(page)}), status=302)
    answer = say.show(await client.get("/desk/"), status=302)
    say.expect(answer.headers["Location"].startswith("/login/"), "after logging out, the desk is closed again")


async def _stock(say: Transcript, book: int) -> Any:
    return await say.get(f"/books/{book}/stock/")
