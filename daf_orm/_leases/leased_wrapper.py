"""The class of wrappers that belong to an owner: a subclass of the backend's, whose methods ask their guest.

The methods are on the class, not on each wrapper: a request makes a wrapper, and one that refers to itself would be
freed late, by the garbage collector.
"""

from __future__ import annotations

import abc
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from daf_orm.databases import database_of
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

_HELPERS: Final = ("client", "creation", "features", "introspection", "ops", "validation")
"""The objects that a Django wrapper makes of its attributes ``…_class``. Each refers to the wrapper."""
_LEASED: Final = "daf_orm_leased"  # kept on the class itself: instrumentation may make one per connection
_METHODS: Final = frozenset(
    {
        *("connect", "commit", "set_autocommit", "close", "close_if_unusable_or_obsolete"),
        *("make_cursor", "make_debug_cursor"),
    }
)
"""The methods that a wrapper with a guest changes."""


class Guest(Protocol):
    """The interface that a wrapper needs of its guest."""

    def connect(self, connect: Callable[[], None]) -> None:
        """Get a lease's connection; ``connect`` opens one."""

    def commit(self, commit: Callable[[], None]) -> None:
        """Commit, if that is allowed."""

    def set_autocommit(self, set_autocommit: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Begin or end a transaction."""

    def close(self, close: Callable[[], None]) -> None:
        """Close the connection."""

    def watch(self, wrapped: Any) -> Any:
        """Make a new Django cursor a watched one, and record it."""

    def use_past_django(self, sql: Any) -> None:
        """Keep the session before other code than Django's uses the driver's connection."""


def be_prepared(wrapper: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """Make a new wrapper one for leases: any thread may use it, one at a time, and its settings are its own."""
    wrapper.inc_thread_sharing()
    wrapper.settings_dict = lease_settings(wrapper)
    return wrapper


def be_leased(wrapper: BaseDatabaseWrapper, guest: Guest) -> None:
    """Let a new wrapper ask a guest."""
    if not isinstance(wrapper, _Leased):
        wrapper.__class__ = _leased_class(cast("Any", type(wrapper)))
    values = vars(wrapper)
    values["daf_orm_guest"] = guest
    if not values.keys().isdisjoint(_METHODS):
        for name in _METHODS & values.keys():
            if not isinstance(values[name], _OwnMethod):
                values[name] = _OwnMethod(wrapper, name, values[name])


def is_leased(kind: type[Any]) -> bool:
    """Return True if a class has the methods that ask a guest."""
    return issubclass(kind, _Leased)


def guest_of(wrapper: BaseDatabaseWrapper) -> Guest | None:
    """Return the guest of a wrapper, if it has one."""
    guest: Guest | None = vars(wrapper).get("daf_orm_guest")
    return guest


def forget_helpers(wrapper: Any) -> None:
    """Delete the helpers that refer to the wrapper, except those that its backend makes in another way than Django.

    Django's ``wrap_database_errors`` refers to it, too. Code that still needs one gets a new one.
    """
    values, kinds = vars(wrapper), wrapper.daf_orm_helpers
    values.pop("wrap_database_errors", None)
    for name in kinds.keys() & values.keys():
        if type(values[name]) is kinds[name]:
            del values[name]


class _Helper:
    """Makes a helper again. Not used as long as the wrapper has one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Any, kind: Any = None) -> Any:
        if wrapper is None:
            return self
        made = vars(wrapper)[self._name] = getattr(wrapper, f"{self._name}_class")(wrapper)
        return made


class _OwnMethod:
    """Replaces a method that a backend has put on its wrapper itself, which hides that of the class."""

    def __init__(self, wrapper: BaseDatabaseWrapper, name: str, method: Callable[..., Any]) -> None:
        self._wrapper = wrapper
        self._name = name
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        guest = guest_of(self._wrapper)
        if guest is None:
            return self._method(*args, **kwargs)
        if self._name == "close_if_unusable_or_obsolete":
            return None
        if self._name.startswith("make_"):
            return guest.watch(self._method(*args, **kwargs))
        return getattr(guest, self._name)(self._method, *args, **kwargs)


_Backend: Any = object  # in the order of base classes a backend's wrapper follows this class


class _Leased(_Backend):  # type: ignore[misc] # it is any backend's
    """The methods of a backend's wrapper that a guest changes."""

    daf_orm_guest: Guest | None = None
    daf_orm_helpers: Mapping[str, Any] = MappingProxyType({})

    def __init_subclass__(cls, **_: Any) -> None:
        """Keep the subclass from the backend, whose own hook expects only its own subclasses."""

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
    """Return the subclass of a backend's wrapper, with its name. Without a guest it behaves like the backend's."""
    if issubclass(backend, _Leased):
        return backend
    if (known := vars(backend).get(_LEASED)) is not None:
        return known
    helpers = [name for name in _HELPERS if getattr(backend, name, None) is None]  # else it is the backend's property
    members: dict[str, Any] = {name: _Helper(name) for name in helpers}
    members |= {"__module__": backend.__module__, "__qualname__": backend.__qualname__, "__doc__": backend.__doc__}
    members |= {"daf_orm_helpers": {name: getattr(backend, f"{name}_class", None) for name in helpers}}
    # The backend's metaclass does not run either: it may register classes by name, or require attributes.
    make: Any = abc.ABCMeta.__new__ if isinstance(backend, abc.ABCMeta) else type.__new__
    leased = make(type(backend), backend.__name__, (_Leased, backend), members)
    setattr(backend, _LEASED, leased)
    return leased


def lease_settings(wrapper: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return the settings that a new wrapper has on a lease: a copy, since code may change them."""
    settings: dict[str, Any] = dict(wrapper.settings_dict)
    if settings["OPTIONS"].get("pool"):
        settings["OPTIONS"] = dict(settings["OPTIONS"])
        return settings
    settings["CONN_MAX_AGE"] = None  # MAX_LIFETIME and MAX_IDLE decide
    database = database_of(wrapper)
    if database.can_be_pooled_by_server and get_settings().SERVER_POOLED:
        settings["DISABLE_SERVER_SIDE_CURSORS"] = True  # such a cursor lives in one session
    settings["OPTIONS"] = {**database.options_for(wrapper), **settings["OPTIONS"]}
    return settings
