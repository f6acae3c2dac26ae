"""The part of the smoke run that browses the catalogue, and writes in it as the clerk does."""

from __future__ import annotations

import re
import uuid

import httpx

from demo.shelf import Shelf
from demo.transcript import Transcript

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
COPIES = re.compile(r'data-stream="[^"]+">([0-9]+)</dd>')
VERSION = re.compile(r'name="seen_version" value="([0-9]+)"')


def _copies(page: httpx.Response) -> str:
    """The copies on the shelf that a book's page shows."""
    found = COPIES.search(page.text)
    return found[1] if found else ""


def csrf_token(page: httpx.Response) -> str:
    """The token that a page's form is sent with."""
    found = TOKEN.search(page.text)
    return found[1] if found else ""


async def browsing(say: Transcript, shelf: Shelf) -> None:
    """Browse the public pages, then those for staff."""
    say.section("The public catalogue")
    say.show(await say.client.get("/"), status=302)
    pages = [say.show(await say.client.get(f"/catalogue/?page={number}"), status=200).text for number in (1, 2)]
    say.expect('rel="next"' in pages[0] and pages[0] != pages[1], "it comes in pages")
    found = say.show(await say.client.get(f"/catalogue/?q=common+{shelf.word}"), status=200).text
    say.expect(f"/catalogue/{shelf.common}/" in found and f"/catalogue/{shelf.rare}/" not in found, "and is searched")
    page = say.show(await say.client.get(f"/catalogue/{shelf.common}/"), status=200).text
    say.expect("A Common Book" in page and "/edit/" not in page, "a stranger sees a book, and no way to edit it")
    await _buying(say, shelf)
    answer = say.show(await say.client.get(f"/catalogue/{shelf.common}/edit/"), status=302)
    say.expect(answer.headers["Location"].startswith("/login/"), "edits need a login")


async def _buying(say: Transcript, shelf: Shelf) -> None:
    """A customer buys on the page of a book, with a form."""
    path = f"/catalogue/{shelf.common}/"
    page = await say.client.get(path)
    copies = int(_copies(page) or 0)
    form = {"customer": shelf.customer, "quantity": "2", "csrfmiddlewaretoken": csrf_token(page)}
    cookies = {"Cookie": f"csrftoken={page.cookies['csrftoken']}"}
    wrong = say.show(await say.client.post(f"{path}buy/", data=form | {"quantity": "0"}, headers=cookies), status=200)
    say.expect("errorlist" in wrong.text, "no copies cannot be bought")
    say.show(await say.client.post(f"{path}buy/", data=form, headers=cookies), status=302)
    left = _copies(await say.client.get(path))
    say.expect(left == str(copies - 2), "two copies that are bought on its page are gone")


async def writing(say: Transcript, client: httpx.AsyncClient, shelf: Shelf) -> None:
    """The clerk puts a book into the catalogue, changes it, and takes it out again."""
    page = say.show(await client.get("/catalogue/new/"), status=200)
    author, tag = (_first_option(page, name) for name in ("author", "tags"))
    isbn = f"978{uuid.uuid4().int}"[:13]
    book = {"isbn": isbn, "title": f"New {shelf.word}", "author": author, "tags": tag, "published": "2026-01-01"}
    form = book | {"price": "9.99", "seen_version": "1", "copies": "3", "csrfmiddlewaretoken": csrf_token(page)}
    page = say.show(await client.post("/catalogue/new/", data=form | {"isbn": "12"}), status=200)
    say.expect("An ISBN-13 has 13 digits" in page.text, "a form that is wrong is shown again, with what is")
    made = say.show(await client.post("/catalogue/new/", data=form), status=302)
    path = made.headers["Location"]
    page = say.show(await client.get(path), status=200)
    say.expect("is in the catalogue." in page.text and _copies(page) == "3", "the clerk has created a book")
    await _editing(say, client, path, form)
    page = say.show(await client.get(f"{path}delete/"), status=200)
    token = {"csrfmiddlewaretoken": csrf_token(page)}
    say.show(await client.post(f"{path}delete/", data={}), status=403)
    say.show(await client.post(f"{path}delete/", data=token), status=302)
    say.show(await client.get(path), status=404)
    await client.post(f"/catalogue/{shelf.common}/delete/", data=token)
    page = say.show(await client.get(f"/catalogue/{shelf.common}/"), status=200)
    say.expect("its orders keep it" in page.text, "a book that was sold is not deleted, and the clerk is told why")


async def _editing(say: Transcript, client: httpx.AsyncClient, path: str, form: dict[str, str]) -> None:
    page = say.show(await client.get(f"{path}edit/"), status=200)
    version = VERSION.search(page.text)
    changed = form | {"title": "Another title", "seen_version": version[1] if version else ""}
    say.show(await client.post(f"{path}edit/", data=changed), status=302)
    page = say.show(await client.get(path), status=200)
    say.expect("<h1>Another title</h1>" in page.text, "and edited it")
    page = say.show(await client.post(f"{path}edit/", data=changed), status=200)
    say.expect("has changed since you opened it" in page.text, "an outdated form does not overwrite a change")


def _first_option(page: httpx.Response, name: str) -> str:
    """The first value that a list or the boxes of a form have."""
    found = re.search(rf'name="{name}".*?value="([^"]+)"', page.text, re.DOTALL)
    return found[1] if found else ""
