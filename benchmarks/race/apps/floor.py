"""The floors: the work alone, without a request around it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from benchmarks.asgi_client import Request
from benchmarks.catalog import LISTED, in_a_row
from benchmarks.race.contenders import Contender

_COLUMNS = "b.id, b.title, b.price, b.created"
_ONE = f"SELECT {_COLUMNS} FROM catalog_book b WHERE b.id = %s"
_MANY = (
    f"SELECT {_COLUMNS}, a.name FROM catalog_book b JOIN catalog_author a ON a.id = b.author_id ORDER BY b.id LIMIT %s"
)


def orm() -> Callable[[Request], tuple[int, bytes]]:
    """Return what does the work by Django's synchronous ORM."""
    return _answering(import_module("benchmarks.catalog.work").Sync)


def raw(_contender: Contender, database: Mapping[str, str]) -> Callable[[Request], tuple[int, bytes]]:
    """Return what does the work by SQL on psycopg."""
    return _answering(_Raw(database))


def _answering(work: Any) -> Callable[[Request], tuple[int, bytes]]:
    def answer(request: Request) -> tuple[int, bytes]:
        _, name, *pk = request.path.split("/")
        return 200, json.dumps(getattr(work, name)(*map(int, pk))).encode()

    return answer


def _shown(pk: int, title: str, price: int, created: Any) -> dict[str, Any]:
    return {"id": pk, "title": title, "price": price, "created": created.isoformat()}


class _Raw:
    def __init__(self, database: Mapping[str, str]) -> None:
        self._connection = import_module("psycopg").connect(
            host=database["HOST"],
            port=database["PORT"],
            user=database["USER"],
            dbname=database["NAME"],
            autocommit=True,
        )

    def one(self, pk: int) -> Any:
        return _shown(*self._connection.execute(_ONE, [pk]).fetchone())

    def many(self) -> Any:
        rows = self._connection.execute(_MANY, [LISTED]).fetchall()
        return [{**_shown(*columns), "author": author} for *columns, author in rows]

    def gathered(self, pk: int) -> Any:
        return [self.one(each) for each in in_a_row(pk)]

    def change(self, pk: int) -> Any:
        with self._connection.transaction():
            found, title, price, created = self._connection.execute(f"{_ONE} FOR UPDATE", [pk]).fetchone()
            self._connection.execute("UPDATE catalog_book SET price = %s WHERE id = %s", [price + 1, pk])
        return _shown(found, title, price + 1, created)
