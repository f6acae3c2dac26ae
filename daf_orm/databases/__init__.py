"""Database-specific facts and actions, in one file for each database."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from daf_orm.databases.base import Database
from daf_orm.databases.mysql import MySQL
from daf_orm.databases.postgresql import PostgreSQL
from daf_orm.databases.sqlite import SQLite

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Database", "database_of"]

_KINDS: dict[str, type[Database]] = {"mysql": MySQL, "postgresql": PostgreSQL, "sqlite": SQLite}


def database_of(wrapper: BaseDatabaseWrapper) -> Database:
    """Return the capabilities of a connection's database."""
    return _database(wrapper.vendor)


@cache
def _database(vendor: str) -> Database:
    return _KINDS.get(vendor, Database)()
