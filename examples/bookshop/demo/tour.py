"""The output of `run.py` while the server runs: URLs to try, and the pool as it works."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NoReturn

import httpx

from demo.clerk import Clerk
from demo.server import ServerFailedError

PATHS = (
    "/catalogue/",
    "/api/docs/",
    "/books/?q=golden%20harbour&page_size=5",
    "/books/1/",
    "/books/1/stock/",
    "/report/",
    "/readyz",
    "/login/",
)
REFRESH_SECONDS = 2.0


def show(url: str, clerk: Clerk, token: str) -> NoReturn:
    """Visit each URL once, then print the pool's statistics whenever they change, until interrupted."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        try:
            _visit(client)
            print(_examples(url, clerk, token))
            _watch_pool(client, token)
        except httpx.TransportError as error:
            raise ServerFailedError(f"It stopped answering ({error}).") from error


def pool_line(stats: Mapping[str, int]) -> str:
    """The pool's statistics in one line."""
    return "pool: " + ", ".join(f"{name}={value}" for name, value in stats.items())


def _visit(client: httpx.Client) -> None:
    print("\nThe bookshop is open. Try:\n")
    for path in PATHS:
        response = client.get(path)
        milliseconds = response.elapsed.total_seconds() * 1000
        print(f"  {client.base_url.join(path)!s:<62} {response.status_code} {milliseconds:7.1f} ms")


def _examples(url: str, clerk: Clerk, token: str) -> str:
    body = '{"customer": "ada@example.com", "lines": [{"book": 1, "quantity": 1}]}'
    return f"""
  Listen to orders, in another terminal, and place one:

  curl --no-buffer {url}/orders/stream/
  curl --json '{body}' {url}/orders/

  Read it as the clerk's program, with the token that is good for this database:

  curl -H 'Authorization: Bearer {token}' '{url}/orders/?page_size=1'

  Then see it on the desk: log in at {url}/login/ as {clerk.name}, password {clerk.shown_password}

Ctrl-C stops the server.
"""


def _watch_pool(client: httpx.Client, token: str) -> NoReturn:
    shown: Mapping[str, int] = {}
    while True:
        stats = client.get("/pool/", headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()
        # To ask is itself a query, which looks the token up: that alone is no news.
        if stats != {**shown, "requests_num": shown.get("requests_num", 0) + 1}:
            print(pool_line(stats), flush=True)
        shown = stats
        time.sleep(REFRESH_SECONDS)
