"""Code that talks to the connection itself."""

import asyncio
import io
import os
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.db import close_old_connections, connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder

from daf_orm.detection import record_blocking
from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf, discard
from tests.project.library.models import Book

CURSOR = "async with daf_orm.cursor() as cur"
ATOMIC = "async with daf_orm.transaction.atomic()"


@blocks("connection.cursor", expression="connection.cursor()", suggestion=CURSOR)
async def cursor(shelf: Shelf) -> None:
    with connection.cursor() as opened:  # blocks
        opened.execute("SELECT 1")


async def opened_in_a_thread(sql: str | None = None) -> Any:
    def opened() -> Any:
        found = connection.cursor()
        if sql:
            found.execute(sql)
        return found

    return await asyncio.to_thread(opened)


@blocks("cursor.execute", expression='opened.execute("SELECT 1")', suggestion=CURSOR, sql="SELECT 1")
async def execute_on_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread()
    try:
        opened.execute("SELECT 1")  # blocks
    finally:
        discard(opened.db)


@blocks("cursor.executemany", suggestion=CURSOR)
async def executemany_on_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread()
    try:
        opened.executemany("UPDATE library_book SET stock = %s WHERE id = -1", [[1], [2]])  # blocks
    finally:
        discard(opened.db)


@blocks("cursor.fetchone", expression="opened.fetchone()", suggestion=CURSOR)
async def fetchone_on_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread("SELECT 1")
    try:
        opened.fetchone()  # blocks
    finally:
        discard(opened.db)


@blocks("cursor.fetchall", expression="opened.fetchall()", suggestion=CURSOR)
async def fetchall_on_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread("SELECT 1")
    try:
        opened.fetchall()  # blocks
    finally:
        discard(opened.db)


@blocks("cursor.__iter__", expression="opened", suggestion=CURSOR)
async def iterating_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread("SELECT 1")
    try:
        for row in opened:  # blocks
            assert row
    finally:
        discard(opened.db)


@blocks("cursor.copy", vendor="postgresql", expression='opened.copy("COPY library_book TO STDOUT")', suggestion=CURSOR)
async def copy_on_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread()
    try:
        with opened.copy("COPY library_book TO STDOUT") as rows:  # blocks
            list(rows)
    finally:
        discard(opened.db)


@blocks("cursor.stream", vendor="postgresql", expression='opened.stream("SELECT 1")', suggestion=CURSOR)
async def stream_on_a_cursor_opened_in_a_thread(shelf: Shelf) -> None:
    opened = await opened_in_a_thread()
    try:
        for row in opened.stream("SELECT 1"):  # blocks
            assert row
    finally:
        discard(opened.db)


@blocks("QuerySet.iterator", model="library.Book", expression="books", suggestion="aiterator()")
async def iterator_opened_in_a_thread(shelf: Shelf) -> None:
    def start() -> Any:
        iterator = Book.objects.iterator(chunk_size=1)
        next(iterator)
        return iterator, connection.cursor()

    books, opened = await asyncio.to_thread(start)
    try:
        for book in books:  # blocks
            assert book
    finally:
        discard(opened.db)


@blocks("atomic", expression="transaction.atomic()", suggestion=ATOMIC)
async def atomic(shelf: Shelf) -> None:
    with transaction.atomic():  # blocks
        pass


@blocks("atomic", suggestion=ATOMIC)
async def atomic_as_a_decorator(shelf: Shelf) -> None:
    @transaction.atomic
    def work() -> None:
        """Do nothing."""

    work()  # blocks


@blocks("on_commit", expression="transaction.on_commit(str)", suggestion="daf_orm.transaction.on_commit", cold=True)
async def on_commit_outside_atomic(shelf: Shelf) -> None:
    transaction.on_commit(str)  # blocks


@blocks("connection.on_commit", expression="cold.on_commit(str)", suggestion="daf_orm.transaction.on_commit")
async def on_commit_of_a_cold_connection(shelf: Shelf) -> None:
    cold = connection.copy()
    try:
        cold.on_commit(str)  # blocks
    finally:
        discard(cold)


@blocks("set_autocommit", suggestion=ATOMIC)
async def set_autocommit(shelf: Shelf) -> None:
    transaction.set_autocommit(True)  # blocks


@blocks("get_autocommit", suggestion=ATOMIC, cold=True)
async def get_autocommit(shelf: Shelf) -> None:
    transaction.get_autocommit()  # blocks


@blocks("connection.ensure_connection", suggestion=CURSOR, cold=True)
async def ensure_connection(shelf: Shelf) -> None:
    connection.ensure_connection()  # blocks


@blocks(
    "DatabaseIntrospection.table_names",
    suggestion="await database_sync_to_async(connection.introspection.table_names)()",
)
async def introspection(shelf: Shelf) -> None:
    connection.introspection.table_names()  # blocks


@blocks("MigrationRecorder.applied_migrations", suggestion="await database_sync_to_async(")
async def migrations(shelf: Shelf) -> None:
    MigrationRecorder(connection).applied_migrations()  # blocks


@blocks("call_command", suggestion='await database_sync_to_async(call_command)("showmigrations"')
async def management_command(shelf: Shelf) -> None:
    call_command("showmigrations", stdout=io.StringIO())  # blocks


@blocks(
    "DatabaseFeatures.supports_json_field",
    vendor="sqlite",
    expression="connection.features.supports_json_field",
    suggestion="await database_sync_to_async(lambda: connection.features.supports_json_field)()",
)
async def cold_feature_of_sqlite(shelf: Shelf) -> None:
    vars(connection.features).pop("supports_json_field", None)
    assert connection.features.supports_json_field  # blocks


@blocks(
    "connection.pg_version",
    vendor="postgresql",
    expression="connection.pg_version",
    suggestion="await database_sync_to_async(lambda: connection.pg_version)()",
)
async def cold_feature_of_postgresql(shelf: Shelf) -> None:
    vars(connections["default"]).pop("pg_version", None)  # `connection` is a proxy
    assert connection.pg_version  # blocks


@blocks("connection.close", expression="connection.close()", suggestion="database_sync_to_async(connection.close)()")
async def close(shelf: Shelf) -> None:
    open_here()
    connection.close()  # blocks


@blocks("connections.close_all", suggestion="database_sync_to_async(connections.close_all)()")
async def close_all(shelf: Shelf) -> None:
    open_here()
    connections.close_all()  # blocks


@blocks("close_old_connections", suggestion="database_sync_to_async(close_old_connections)()")
async def closing_old_connections(shelf: Shelf) -> None:
    open_here()
    connection.close_at = 0
    close_old_connections()  # blocks


@blocks(
    "connection.is_usable",
    vendor="postgresql",
    expression="connection.is_usable()",
    suggestion="await database_sync_to_async(connection.is_usable)()",
)
async def probing_a_connection(shelf: Shelf) -> None:
    open_here()
    assert connection.is_usable()  # blocks


@blocks("connection.commit", suggestion=ATOMIC)
async def commit(shelf: Shelf) -> None:
    open_here()
    connection.commit()  # blocks


@blocks("connection.rollback", suggestion=ATOMIC)
async def rollback(shelf: Shelf) -> None:
    open_here()
    connection.rollback()  # blocks


def open_here() -> None:
    """Open this context's own connection, which is closed at the start."""
    allowed = mock.patch.dict(os.environ, {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"})  # for measurements of stock Django
    with record_blocking(), allowed:
        connection.ensure_connection()
