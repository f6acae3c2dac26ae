"""Cursors on leased connections, which know when they are closed, and to whom they belong."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.db import InterfaceError
from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from daf_orm._leases.session import Session


class Guest(Protocol):
    """What a cursor tells, and asks."""

    session: Session | None

    def note_cursor(self, cursor: Any) -> None:
        """Take note of a cursor that is open."""

    def forget_cursor(self, cursor: Any) -> None:
        """Take note that it has been closed."""

    def look_at(self, sql: Any, cursor: Any) -> None:
        """Before a statement is sent: keep the session if it may change that."""

    def look_again(self, sql: Any, cursor: Any) -> None:
        """Look at what execute wrappers have made of a statement, if they have."""

    def touch_beyond_sql(self, cursor: Any) -> None:
        """Keep the session: what is done to it next is not seen by Django."""

    @property
    def is_server_pooled(self) -> bool:
        """Whether each transaction may be in another session of the server's."""


class LeasedCursor(CursorWrapper):
    """A cursor of Django's on a leased connection, which knows when it is closed.

    Instrumentation may make one of a subclass that it derives from ours, around the same cursor of the driver's.
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
        """Close it."""
        guest = self.daf_orm_guest
        guest.forget_cursor(self)
        vars(self).pop(FAILED, None)  # it is to be used no more
        self.cursor.close()

    def look_at_copy(self, sql: Any) -> None:
        """Do for a COPY, which the driver sends, what is done for every statement that Django sends."""
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
    """In the place of a driver's cursor whose connection is another's by now."""

    def __init__(self, owner: str) -> None:
        self._message = (
            f"A cursor that {owner} had opened was used after that had ended: its connection serves others. Close "
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
    """Return the class of a cursor that is watched; None for one that cannot be."""
    if not issubclass(kind, CursorWrapper) or issubclass(kind, LeasedCursor):
        return None
    return LeasedCursor if kind is CursorWrapper else type(kind.__name__, (LeasedCursor, kind), {})


FAILED: Final = "daf_orm_failed"
"""Name of an attribute: the cursor's last statement has failed, and it has no rows for a later call."""
_PAST_DJANGO: Final = frozenset({"copy", "stream", "copy_expert", "copy_from", "copy_to"})
"""Methods of drivers' cursors that send statements. Not ``connection``: instrumentation reads it at every statement."""
