"""Errors of the database connection of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError, connections

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
UNREACHABLE = (InterfaceError, InternalError, OperationalError)
"""Errors that pass: no connection, a lock, a server that takes no writes just now."""


def is_too_much(error: Exception) -> bool:
    """Return True if the value is to blame: SQLSTATE class 54 of PostgreSQL, program limit exceeded."""
    return str(getattr(error.__cause__, "sqlstate", "")).startswith("54")


def in_sound_connection(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function; close its connection if that is broken."""
    try:
        return func(*args, **kwargs)
    except Error:
        connections.close_all()
        raise
