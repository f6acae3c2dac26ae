"""The database of a run: migrated, seeded and, for a smoke run on SQLite, thrown away afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import django
from django.core.management import call_command
from django.db import connection

from demo.progress import step


def prepare(*, clerk: str | None = None) -> None:
    """Set Django up in this process, create the tables and fill them. Settings are read here, not before."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")
    with step("Checking the settings"):
        django.setup()
        call_command("check", fail_level="WARNING", stdout=StringIO())  # also of middleware that costs a thread hop
    with step(f"Making tables in {_name()}"):
        call_command("migrate", verbosity=0)
    with step("Filling the shelves: 3,000 books, unless they are there"):
        call_command("seed", clerk=clerk, stdout=StringIO())


def _name() -> str:
    """The database, without a password."""
    if connection.vendor == "sqlite":
        return f"SQLite, {Path(str(connection.settings_dict['NAME'])).name}"
    return f"{connection.display_name}, {connection.settings_dict['NAME']}"


def token_of(name: str) -> str:
    """Return a new bearer token, as `manage.py token` prints it."""
    printed = StringIO()
    call_command("token", name, stdout=printed)
    return printed.getvalue().strip()


@contextmanager
def fresh_sqlite() -> Iterator[None]:
    """Point the settings at a new SQLite file; keep a `DATABASE_URL` of another database.

    The server reads the same environment, so it sees the same file.
    """
    if not (os.environ.get("DATABASE_URL") or "sqlite:").startswith("sqlite:"):
        yield
        return
    # A file that is still open when the run fails must not hide why it failed.
    with TemporaryDirectory(prefix="bookshop-", ignore_cleanup_errors=True) as folder:
        os.environ.pop("DATABASE_URL", None)
        os.environ["BOOKSHOP_VAR_DIR"] = folder
        yield
