"""A driver's connection, or cursor, used by other code than Django's.

``connection.connection`` and ``cursor.cursor`` are the driver's own: Django's execute wrappers do not see how code uses
them. So the class of each becomes a subclass whose methods look at their caller. Calls of backends, drivers and DAF are
tracked elsewhere. Before any other call, the owner keeps the session, and the connection is closed in the end.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from django.db.backends.base.base import BaseDatabaseWrapper

_WATCHER: Final = "daf_orm_watcher"
_AS_WATCHED: Final = "daf_orm_watched"  # kept on the class itself: instrumentation makes one per connection
_OF_TYPES: Final = "psycopg.types."
"""Registers types on a connection at the request of other code."""
_known_packages: tuple[str, ...] = ("django.", "daf_orm.")
_known_modules: set[str] = set()
"""Names of modules that belong to known packages, backends and drivers."""
_instruments: set[str] = set()
"""Modules of proxies around a driver's connection, such as OpenTelemetry's: the code that calls the proxy counts."""


class Watcher(Protocol):
    """The session that has a driver's connection."""

    watched_of_cursor: tuple[str, ...]
    """Names of watched methods of the cursors that the connection makes."""

    def has(self, connection: Any) -> bool:
        """Return True if it has this very connection."""

    def use_past_django(self, connection: Any, sql: Any) -> None:
        """Allow other code than Django's to use it, or raise InterfaceError. ``sql`` is the statement, if known."""


def sends_unseen_statements(wrapper: BaseDatabaseWrapper) -> bool:
    """Return True if a backend that is not Django's may send statements past Django's cursors, like django-tenants."""
    return not all(
        str(getattr(getattr(type(wrapper), name, None), "__module__", "")).startswith("django.")
        for name in ("_cursor", "cursor")
    )


def watch_connection(wrapper: BaseDatabaseWrapper, watcher: Watcher, names: tuple[str, ...]) -> None:
    """Watch the callers of methods and properties of the driver's connection that a wrapper has just opened."""
    global _known_packages  # noqa: PLW0603 - one for each driver
    connection: Any = wrapper.connection
    driver: str = getattr(getattr(wrapper, "Database", None), "__name__", "")
    package = f"{driver.partition('.')[0]}."
    if driver and package not in _known_packages:
        _known_packages += (package,)
    _known_modules.update(kind.__module__ for kind in (*type(wrapper).__mro__, *connection.__class__.__mro__))
    if type(connection) is not connection.__class__:
        _instruments.update(kind.__module__ for kind in type(connection).__mro__)
        _known_modules.difference_update(_instruments)
    with contextlib.suppress(AttributeError, TypeError):  # its class is not Python's
        setattr(connection, _WATCHER, weakref.ref(watcher))
        connection.__class__ = _watched(connection.__class__, names)


def watch_cursor(cursor: Any, names: tuple[str, ...]) -> None:
    """Watch the callers of methods of a driver's cursor."""
    try:
        cursor.__class__ = _watched(cursor.__class__, names)
    except TypeError:  # its class is not Python's
        return


@contextlib.contextmanager
def unwatched(connection: Any) -> Iterator[None]:
    """Do not watch a driver's connection in the block, nor later if it is closed or given away."""
    attributes: dict[str, Any] = getattr(connection, "__dict__", {})
    reference = attributes.pop(_WATCHER, None)
    try:
        yield
    finally:
        watcher = None if reference is None else reference()
        if watcher is not None and watcher.has(connection):
            attributes[_WATCHER] = reference


def _watched(kind: type[Any], names: tuple[str, ...]) -> type[Any]:
    known: type[Any] | None = vars(kind).get(_AS_WATCHED)
    if known is not None:
        return known
    members: dict[str, Any] = {"__slots__": (), "__module__": kind.__module__}
    for name in names:
        found = getattr(kind, name, None)
        if isinstance(found, property):
            members[name] = property(_watched_method(found.fget, name), found.fset, found.fdel, found.__doc__)
        elif found is not None:
            members[name] = _watched_method(found, name)
    metaclass: Any = type(kind)
    watched: type[Any] = metaclass(kind.__name__, (kind,), members)
    for each in (kind, watched):
        setattr(each, _AS_WATCHED, watched)
    return watched


def _watched_method(method: Any, name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)  # noqa: SLF001 - the caller
        if frame.f_globals.get("__name__") not in _known_modules and not _is_known(frame):
            connection = getattr(self, "connection", self)
            watcher: Watcher | None = getattr(connection, _WATCHER, _nothing)()
            if watcher is not None:
                watcher.use_past_django(connection, args[0] if args and name == "execute" else None)
                made = method(self, *args, **kwargs)
                if name == "cursor":
                    watch_cursor(made, watcher.watched_of_cursor)
                return made
        return method(self, *args, **kwargs)

    return watched


def _nothing() -> None:
    """Stand in for a reference to the watcher, on a connection that has none."""


def _is_known(frame: FrameType | None) -> bool:
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name not in _instruments:
            if name.startswith(_known_packages) and not name.startswith(_OF_TYPES):
                _known_modules.add(name)
            return name in _known_modules
        frame = frame.f_back
    return False
