"""Commands that need a separate session of a server: see, and end, the sessions of others."""

import asyncio
import importlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.db import connection


class Administrator:
    """A session outside the test database. Its methods block; ``await on_thread(…)`` does not."""

    slow: str
    """A statement that ends only when it is stopped."""
    sleeping: str
    """A query for the number of sessions in a database that execute it; takes the database's name."""
    others: str
    """The numbers of all sessions in a database but one's own; takes the database's name and that number."""
    terminate: str
    """End a session; takes its number."""
    number: str
    """The number of one's own session."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def execute(self, sql: str, *params: Any) -> list[Any]:
        with closing(self._session.cursor()) as cursor:
            cursor.execute(sql, params or None)
            return list(cursor.fetchall()) if cursor.description else []

    async def on_thread(self, sql: str, *params: Any) -> list[Any]:
        return await asyncio.to_thread(self.execute, sql, *params)

    async def until_sleeping(self, number: int) -> None:
        """Wait until so many do in the test database: other processes of the run have others."""
        while (await self.on_thread(self.sleeping, connection.settings_dict["NAME"]))[0][0] != number:
            await asyncio.sleep(0.01)

    async def end_all_once(self, database: str) -> None:
        """End every session in the database that there is now, but one's own."""
        for (session,) in await self.on_thread(self.others, database, self.execute(self.number)[0][0]):
            await asyncio.to_thread(self.end, session)

    async def end_all(self, database: str, but: int) -> None:
        """End every session in the database but one, and wait until they are gone."""
        while sessions := await self.on_thread(self.others, database, but):
            for (session,) in sessions:
                await asyncio.to_thread(self.end, session)
            await asyncio.sleep(0.01)

    def end(self, session: int) -> None:
        self.execute(self.terminate, session)


class OfPostgreSQL(Administrator):
    slow = "SELECT pg_sleep(600)"
    sleeping = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{slow}' AND state = 'active' AND datname = %s"
    others = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> %s AND backend_type = 'client backend'"
    terminate = "SELECT pg_terminate_backend(%s)"
    number = "SELECT pg_backend_pid()"


class OfMySQL(Administrator):
    slow = "SELECT SLEEP(600)"
    sleeping = f"SELECT COUNT(*) FROM information_schema.processlist WHERE info = '{slow}' AND db = %s"
    sleeping += " AND state = 'User sleep'"
    others = "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> %s"
    terminate = "KILL %s"
    number = "SELECT CONNECTION_ID()"

    def end(self, session: int) -> None:
        try:
            super().end(session)
        except self._session.OperationalError as error:
            if error.args[0] != 1094:  # it has ended already
                raise


@contextmanager
def administrator(url: str) -> Iterator[Administrator]:
    """Begin a session on the server at a URL."""
    place = urlsplit(url)
    if place.scheme.startswith("postgres"):
        with psycopg.connect(url, dbname="postgres", autocommit=True) as session:
            yield OfPostgreSQL(session)
        return
    mysql = importlib.import_module("MySQLdb")  # installed where there is such a server
    with closing(
        mysql.connect(
            host=place.hostname,
            port=place.port or 3306,
            user=place.username,
            password=place.password or "",
            autocommit=True,
        )
    ) as session:
        session.OperationalError = mysql.OperationalError
        yield OfMySQL(session)
