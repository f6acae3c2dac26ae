"""The class of wrappers that belong to an owner: a subclass of the backend's, whose methods ask their guest.

Methods on the class, not on each wrapper: a request makes one, and what refers to itself is freed late, as garbage.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

_HELPERS: Final = ("client", "creation", "features", "introspection", "ops", "validation")
"""What a wrapper of Django's makes of its attributes ``…_class``. Each refers to the wrapper."""
_LEASED: Final = "daf_orm_leased"  # kept on the class itself: instrumentation may make one per connection


class Guest(Protocol):
    """What a wrapper asks before it does what changes its connection."""

    def connect(self, connect: Callable[[], None]) -> None:
        """Have a connection of a lease's; ``connect`` opens one."""

    def commit(self, commit: Callable[[], None]) -> None:
        """Commit, if that may be."""

    def set_autocommit(self, set_autocommit: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Begin or end a transaction."""

    def close(self, close: Callable[[], None]) -> None:
        """Close the connection."""

    def watch(self, wrapped: Any) -> Any:
        """Let a new cursor of Django's be one that is known."""

    def use_past_django(self, sql: Any) -> None:
        """Before code uses the driver's connection by itself: keep the session."""


def be_leased(wrapper: BaseDatabaseWrapper, guest: Guest) -> None:
    """Let a wrapper, just made, ask a guest."""
    kind = _leased_class(cast("Any", type(wrapper)))
    if type(wrapper) is not kind:
        wrapper.__class__ = kind
    wrapper.daf_orm_guest = guest  # type: ignore[attr-defined]


def guest_of(wrapper: BaseDatabaseWrapper) -> Guest | None:
    """Return the guest that a wrapper asks, if it has one."""
    guest: Guest | None = vars(wrapper).get("daf_orm_guest")
    return guest


def forget_helpers(wrapper: BaseDatabaseWrapper) -> None:
    """Let go of what refers to the wrapper. Who still wants it gets it made again."""
    values = vars(wrapper)
    for name in cast("Any", wrapper).daf_orm_helpers:
        values.pop(name, None)


class _Helper:
    """Makes a helper again. Not used as long as the wrapper has one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Any, kind: Any = None) -> Any:
        if wrapper is None:
            return self
        made = vars(wrapper)[self._name] = getattr(wrapper, f"{self._name}_class")(wrapper)
        return made


_Backend: Any = object  # a backend's wrapper comes behind this class


class _Leased(_Backend):  # type: ignore[misc] # it is any backend's
    """What a backend's wrapper does otherwise if it has a guest."""

    daf_orm_guest: Guest | None = None
    daf_orm_helpers: tuple[str, ...] = ()

    def connect(self) -> None:
        if (guest := self.daf_orm_guest) is None:
            super().connect()
        else:
            guest.connect(super().connect)

    def commit(self) -> None:
        if (guest := self.daf_orm_guest) is None:
            super().commit()
        else:
            guest.commit(super().commit)

    def set_autocommit(self, *args: Any, **kwargs: Any) -> None:
        if (guest := self.daf_orm_guest) is None:
            super().set_autocommit(*args, **kwargs)
        else:
            guest.set_autocommit(super().set_autocommit, *args, **kwargs)

    def close(self) -> None:
        if (guest := self.daf_orm_guest) is None:
            super().close()
        else:
            guest.close(super().close)

    def close_if_unusable_or_obsolete(self) -> None:
        # close_old_connections(), which libraries call around their queries, must not end a transaction.
        if self.daf_orm_guest is None:
            super().close_if_unusable_or_obsolete()

    def make_cursor(self, cursor: Any) -> Any:
        made = super().make_cursor(cursor)
        return made if (guest := self.daf_orm_guest) is None else guest.watch(made)

    def make_debug_cursor(self, cursor: Any) -> Any:
        made = super().make_debug_cursor(cursor)
        return made if (guest := self.daf_orm_guest) is None else guest.watch(made)


def _leased_class(backend: Any) -> Any:
    """Return the subclass of a backend's wrapper, under its name. Without a guest it does what the backend's does."""
    if issubclass(backend, _Leased):
        return backend
    if (known := vars(backend).get(_LEASED)) is not None:
        return known
    helpers = [name for name in _HELPERS if hasattr(backend, f"{name}_class") and not _works_out(backend, name)]
    members: dict[str, Any] = {name: _Helper(name) for name in helpers}
    members |= {"__module__": backend.__module__, "__qualname__": backend.__qualname__, "__doc__": backend.__doc__}
    members |= {"daf_orm_helpers": tuple(helpers)}
    leased = type(backend)(backend.__name__, (_Leased, backend), members)
    setattr(backend, _LEASED, leased)
    return leased


def _works_out(backend: Any, name: str) -> bool:
    """Whether a backend has a property of its own there."""
    return hasattr(inspect.getattr_static(backend, name, None), "__get__")
