"""A guest that replaces another whose owner has ended, for code that has kept the wrapper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import InterfaceError

if TYPE_CHECKING:
    from collections.abc import Callable


class RetiredGuest:
    """Lets a wrapper commit and close, and refuses all other calls. ``name`` is the owner's."""

    def __init__(self, alias: str, name: str) -> None:
        self._alias, self._name = alias, name

    def connect(self, connect: Callable[[], None]) -> None:  # noqa: ARG002 - of every guest
        raise ended(self._alias, self._name)

    def commit(self, commit: Callable[[], None]) -> None:
        commit()

    def set_autocommit(self, set_autocommit: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        set_autocommit(*args, **kwargs)

    def close(self, close: Callable[[], None]) -> None:
        close()

    def watch(self, wrapped: Any) -> Any:
        return wrapped

    def note_cursor(self, cursor: Any) -> None:  # noqa: ARG002 - of every guest
        raise ended(self._alias, self._name)

    def use_past_django(self, sql: Any) -> None:  # noqa: ARG002 - of every guest
        raise ended(self._alias, self._name)


def ended(alias: str, owner: str) -> InterfaceError:
    """Return the error for a wrapper whose owner has ended."""
    return InterfaceError(
        f"Connection {alias!r} of {owner} was used after its owner had ended. Take django.db.connection where you "
        "query, and keep no connection, cursor or iterator for later."
    )
