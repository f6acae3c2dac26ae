"""The output of `run.py` while the server runs: URLs to try, and the pool as it works."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NoReturn

import httpx
from django.conf import settings

from demo.clerk import Clerk
from demo.server import ServerFailedError

PAGES = (
    ("/catalogue/", "the catalogue: search it, turn its pages"),
    ("/catalogue/1/", "a book: open it twice, buy it in one window, and see the stock in the other"),
    ("/api/docs/", "the API, to read and to try out"),
    ("/books/1/offer/", "the supplier's price, at once"),
    ("/books/2/offer/", "a slow supplier: a 504 after a second, as a problem"),
    ("/report/", "five queries at the same time"),
    ("/desk/", "last orders, behind the login below"),
    ("/admin/", "Django's admin, behind the same login: change a stock, and see the open page of the book"),
    ("/staff/tasks/", "receipts that tasks have sent, behind the same login"),
    ("/readyz", "the health of the process"),
)
BRANCHES = ("bergen", "kyoto")
REFRESH_SECONDS = 2.0


def show(url: str, clerk: Clerk, token: str) -> NoReturn:
    """Visit each URL once, then print the pool's statistics whenever they change, until interrupted."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        try:
            _visit(client)
            print(_examples(url, clerk, token, _branches(client)))
            _watch_pool(client, token)
        except httpx.TransportError as error:
            raise ServerFailedError(f"It stopped answering ({error}).") from error


def pool_line(stats: Mapping[str, int]) -> str:
    """The pool's statistics in one line."""
    return "pool: " + ", ".join(f"{name}={value}" for name, value in stats.items())


def _visit(client: httpx.Client) -> None:
    print("\nThe bookshop is open. Look at:\n")
    for path, what in PAGES:
        response = client.get(path)
        milliseconds = response.elapsed.total_seconds() * 1000
        print(f"  {client.base_url.join(path)!s:<44} {response.status_code} {milliseconds:7.1f} ms  {what}")


def _branches(client: httpx.Client) -> str:
    """The branches of the chain, or why they are closed."""
    host = f"{BRANCHES[0]}.localhost"
    answer = client.get("/livez", headers={"Host": host})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return f"{host}: {answer.json()['detail']}"
    urls = [str(client.base_url.copy_with(host=f"{name}.localhost")) for name in BRANCHES]
    return f"Branches, with the same books and separate orders: {' and '.join(urls)}"


def _examples(url: str, clerk: Clerk, token: str, branches: str) -> str:
    body = '{"customer": "ada@example.com", "lines": [{"book": 1, "quantity": 1}]}'
    return f"""
Log in at {url}/login/ as {clerk.name}, password {clerk.shown_password}

In another terminal, listen to the stock of a book, or to all orders, and place one:

  curl --no-buffer {url}/books/1/stock/stream/
  curl --no-buffer {url}/orders/stream/
  curl --json '{body}' {url}/orders/

Read it as the clerk's program, with the token that is good for this database:

  curl -H 'Authorization: Bearer {token}' '{url}/orders/?page_size=1'

{_broadcasts()}
{branches}

Ctrl-C stops the server. Below are the statistics of its connection pool, whenever they change.
"""


def _broadcasts() -> str:
    """The reach of the broadcasts."""
    if settings.DAF_VIEWS["BROADCAST_BACKEND"] == "memory":
        return (
            "Stock and orders are live within this process. For more, run `make demo` in two terminals on PostgreSQL:\n"
            "DATABASE_URL=postgresql://user:secret@localhost/bookshop make demo"
        )
    return "Stock and orders are live in all processes: run `make demo` in another terminal, and buy there."


def _watch_pool(client: httpx.Client, token: str) -> NoReturn:
    shown: Mapping[str, int] = {}
    while True:
        stats = client.get("/pool/", headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()
        # To ask is itself a query, which looks the token up: that alone is no news.
        if stats != {**shown, "requests_num": shown.get("requests_num", 0) + 1}:
            print(pool_line(stats), flush=True)
        shown = stats
        time.sleep(REFRESH_SECONDS)
