"""The attributes that a Django wrapper has at first, so that later changes by code can be told from them."""

from __future__ import annotations

import functools
import operator
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from django.db.backends.signals import connection_created
from django.utils.functional import cached_property

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

PLAIN: Final = (str, int, float, bytes, type(None), tuple, frozenset)
"""Types of values that two wrappers may share."""
_STATE: Final = frozenset(
    """
    connection settings_dict alias queries_log force_debug_cursor autocommit in_atomic_block savepoint_state
    commit_on_exit needs_rollback rollback_exc close_at closed_in_transaction errors_occurred health_check_enabled
    health_check_done _thread_sharing_count _thread_ident run_commit_hooks_on_set_autocommit_on _named_cursor_idx
    """.split()
)
"""Attributes of a wrapper that belong to its present transaction and connection."""

_MADE: Final = frozenset(
    """
    client creation features introspection ops validation daf_orm_guest execute_wrappers savepoint_ids atomic_blocks
    run_on_commit _thread_sharing_lock
    """.split()
)
"""Attributes that each wrapper makes for itself, and that are not plain values."""
DJANGOS: Final = _STATE | {
    "savepoint_ids",
    "atomic_blocks",
    "run_on_commit",
    "execute_wrappers",
    "_thread_sharing_lock",
}
"""Attributes that Django changes itself, and that :mod:`daf_orm._leases.reset` resets."""
_MISSING: Final = object()
MANY: Final = 256
"""Number of classes, and of attribute names of one class, that are remembered."""


class Attributes:
    """The names of the attributes that a new wrapper of some class has."""

    def __init__(self, values: dict[str, Any], of_django: frozenset[str]) -> None:
        self.own = self.unpatched = _MADE | values.keys()
        """``unpatched`` grows by names that wrappers have got later, and that are no methods."""
        self.plain = self.own | of_django
        """With names of attributes that Django sets later."""
        self.shown = tuple(
            name for name, value in values.items() if name not in _STATE and name not in _MADE and not callable(value)
        )
        """The names of attributes whose changes another wrapper has to show."""
        self._get: Any = operator.itemgetter(*self.shown) if self.shown else _nothing_of

    def get_shown(self, values: dict[str, Any]) -> Any:
        """Return the values that another wrapper has to show. Raises KeyError if code has deleted one."""
        found = self._get(values)
        return found if len(self.shown) != 1 else (found,)


_known: dict[tuple[type[Any], str, int], Attributes] = {}


def attributes_of(kind: type[Any], alias: str, values: dict[str, Any]) -> Attributes:
    """Return the names of a new wrapper's attributes, remembered by class, because they are mostly the same."""
    key = (kind, alias, len(values))
    if (known := _known.get(key)) is None or not values.keys() <= known.own:
        if len(_known) >= MANY:  # instrumentation makes a class for each connection
            _known.clear()
        known = _known[key] = Attributes(values, not_set_by_code(cast("Any", kind)))
    return known


_set_by_backends: dict[tuple[type[Any], str], dict[str, Any]] = {}  # by class and alias, when it connected last


def set_on_connecting(wrapper: BaseDatabaseWrapper, before: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that a backend has just set on a wrapper, which had the attributes ``before``.

    Equal ones of an earlier connection are among them, and none that is the wrapper's own.
    """
    key = (type(wrapper), wrapper.alias)
    known = _set_by_backends.get(key, {})
    found = {
        name: value
        for name, value in vars(wrapper).items()
        if name not in DJANGOS
        and not is_of(value, wrapper)
        and (before.get(name, _MISSING) is not value or known.get(name, _MISSING) is value)
    }
    if len(_set_by_backends) >= MANY:
        _set_by_backends.clear()
    _set_by_backends[key] = found
    return found


def is_of(value: Any, wrapper: BaseDatabaseWrapper) -> bool:
    """Return True if an attribute's value is one wrapper's own, as its helpers and ``wrap_database_errors`` are."""
    if isinstance(value, PLAIN):
        return False
    return any(each is wrapper for each in getattr(value, "__dict__", {}).values())


def _nothing_of(values: dict[str, Any]) -> tuple[Any, ...]:  # noqa: ARG001 - the signature of an itemgetter
    """Stand in for an ``itemgetter`` of no names."""
    return ()


@functools.lru_cache(maxsize=64)
def not_set_by_code(kind: Any) -> frozenset[str]:
    """Return the names of attributes that belong to the present connection, or that Django computes and caches."""
    return _STATE | {name for name in dir(kind) if isinstance(getattr(kind, name, None), cached_property)}


@functools.lru_cache(maxsize=1024)
def is_method(kind: type[Any], name: str) -> bool:
    """Return True if a class has a method of this name."""
    return callable(getattr(kind, name, None))


def has_foreign_receivers() -> bool:
    """Return True if code other than Django's receives ``connection_created``, and may change each new connection."""
    return any(not _is_djangos(entry[1]) for entry in connection_created.receivers)


def _is_djangos(receiver: Any) -> bool:
    target = receiver() if isinstance(receiver, weakref.ReferenceType) else receiver
    return target is None or str(getattr(target, "__module__", "")).startswith("django.")
