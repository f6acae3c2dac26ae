"""The wrapper for Django's PostgreSQL backend, with connections that can wait on the event loop."""

from __future__ import annotations

import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base as django_backend
from django.db.backends.postgresql.operations import DatabaseOperations as DjangoOperations

from daf_orm._core import bridge as bridges

try:
    import greenlet  # noqa: F401 - to report it early
    import psycopg

    from daf_orm.backends.postgresql import driver
except ImportError as error:
    raise ImproperlyConfigured(
        f"ENGINE 'daf_orm.backends.postgresql' needs greenlet and psycopg 3 ({error}). Install django-daf[native], or "
        "use 'django.db.backends.postgresql', whose calls run on threads."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable

_GUARDED: Final = (
    *("connect", "ensure_connection", "cursor", "commit", "rollback", "close", "savepoint", "savepoint_rollback"),
    *("savepoint_commit", "clean_savepoints", "get_new_connection", "create_cursor", "chunked_cursor"),
)
"""Methods that Django refuses on an event loop, since they would block it."""


def _freed(backend: type[Any], name: str) -> Callable[..., Any]:
    """Return a method that Django's guard checks only where it would block."""
    guarded = getattr(backend, name)
    plain = inspect.unwrap(guarded)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = getattr(backend, name)  # instruments and tests replace it
        return (found if bridges.thread.bridge is None or found is not guarded else plain)(self, *args, **kwargs)

    # Code that reads stacks, as the guard does, finds Django's name.
    method.__code__ = method.__code__.replace(co_name=plain.__name__, co_qualname=plain.__qualname__)
    return functools.update_wrapper(method, plain)


def _freed_methods(backend: type[Any]) -> dict[str, Callable[..., Any]]:
    return {name: _freed(backend, name) for name in _GUARDED}


class DatabaseOperations(DjangoOperations):
    """Django's operations, whose results let the event loop do other things at intervals."""

    compiler_module = "daf_orm.backends.postgresql.compiler"


_Driver = types.ModuleType(psycopg.__name__, psycopg.__doc__)
vars(_Driver).update(vars(psycopg), connect=driver.Connection.connect)


class DatabaseWrapper(django_backend.DatabaseWrapper):
    """Django's wrapper. In a bridge (:mod:`daf_orm._core.bridge`) every wait for the server is awaited."""

    Database = _Driver
    ops_class = DatabaseOperations
    runs_on_event_loop = True

    locals().update(_freed_methods(django_backend.DatabaseWrapper))

    def get_connection_params(self) -> dict[str, Any]:
        """Return Django's parameters, with DAF's cursor classes."""
        params: dict[str, Any] = super().get_connection_params()
        if self.settings_dict["OPTIONS"].get("pool"):  # its connections are psycopg's
            return params
        kind = params["cursor_factory"]
        params["cursor_factory"] = {
            django_backend.Cursor: driver.Cursor,
            django_backend.ServerBindingCursor: driver.ServerBindingCursor,
        }.get(kind, kind)
        return params
