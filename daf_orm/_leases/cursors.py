"""Cursors on leased connections. Each knows its owner, and whether it is closed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.db import InterfaceError
from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from daf_orm._leases.session import Session


class Guest(Protocol):
    """The interface that a cursor needs of its wrapper's guest."""

    session: Session | None

    def note_cursor(self, cursor: Any) -> None:
        """Record an open cursor."""

    def forget_cursor(self, cursor: Any) -> None:
        """Record that the cursor has been closed."""

    def look_at(self, sql: Any, cursor: Any) -> None:
        """Check a statement before it is sent: keep the session if the statement may change it."""

    def look_again(self, sql: Any, cursor: Any) -> None:
        """Check a statement again if execute wrappers have changed it."""

    def touch_beyond_sql(self, cursor: Any) -> None:
        """Keep the session before a change that Django does not see."""

    @property
    def is_server_pooled(self) -> bool:
        """True if each transaction may be in another session of the server."""


class LeasedCursor(CursorWrapper):
    """Django's cursor on a leased connection, which reports when it is closed.

    Instrumentation may make one of a subclass that it derives from this, around the same driver's cursor.
    """

    daf_orm_guest: Guest

    def __init__(self, cursor: Any, db: Any) -> None:
        super().__init__(cursor, db)
        guest: Guest | None = vars(db).get("daf_orm_guest")
        if guest is not None:
            guest.note_cursor(self)

    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        self.daf_orm_guest.look_again(sql, self)
        return super()._execute(sql, params, *ignored)  # type: ignore[misc] # the stubs leave it out

    def _executemany(self, sql: Any, param_list: Any, *ignored: Any) -> Any:
        self.daf_orm_guest.look_again(sql, self)
        return super()._executemany(sql, param_list, *ignored)  # type: ignore[misc] # the stubs leave it out

    def close(self) -> None:
        """Close the cursor."""
        guest = self.daf_orm_guest
        guest.forget_cursor(self)
        vars(self).pop(FAILED, None)  # it cannot be used again
        self.cursor.close()

    def look_at_copy(self, sql: Any) -> None:
        """Check a COPY, which the driver sends, as every statement that Django sends."""
        guest = self.daf_orm_guest
        guest.look_at(sql, self)
        if guest.session is not None and guest.session.is_server_pooled:
            guest.session.begin_copy()

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure, which may leave anything on the session."""
        guest = self.daf_orm_guest
        call = functools.partial(super().callproc, *args, **kwargs)
        if guest.is_server_pooled:
            guest.look_at(f"SELECT {args[0] if args else ''}()", self)
            assert guest.session is not None
            return guest.session.execute("SELECT", call, many=True)
        guest.touch_beyond_sql(self)
        return call()

    def __getattr__(self, name: str) -> Any:
        if name in _PAST_DJANGO:
            guest = self.daf_orm_guest
            if guest.is_server_pooled:
                return functools.partial(self._send_past_django, name)
            guest.touch_beyond_sql(self)
        return super().__getattr__(name)

    def _send_past_django(self, name: str, sql: Any, *args: Any, **kwargs: Any) -> Any:
        self.look_at_copy(sql)
        return super().__getattr__(name)(sql, *args, **kwargs)


class RevokedCursor:
    """Replaces a driver's cursor whose connection serves another owner now."""

    def __init__(self, owner: str) -> None:
        self._message = (
            f"A cursor that {owner} had opened was used after its owner had ended: its connection serves others. Close "
            "cursors where you open them: `with connection.cursor() as cursor`."
        )

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            return lambda: None
        raise InterfaceError(self._message)

    def __iter__(self) -> Any:
        raise InterfaceError(self._message)


@functools.cache
def leased_kind(kind: type[Any]) -> type[Any] | None:
    """Return the class of a watched cursor; None for one that cannot be watched."""
    if not issubclass(kind, CursorWrapper) or issubclass(kind, LeasedCursor):
        return None
    return LeasedCursor if kind is CursorWrapper else type(kind.__name__, (LeasedCursor, kind), {})


FAILED: Final = "daf_orm_failed"
"""Name of an attribute: the cursor's last statement has failed, and it has no rows for a later call."""
_PAST_DJANGO: Final = frozenset({"copy", "stream", "copy_expert", "copy_from", "copy_to"})
"""Methods of drivers' cursors that send statements. Not ``connection``: instrumentation reads it at every statement."""
