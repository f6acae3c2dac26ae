"""New wrappers of one alias without their class's ``__init__``, which would make six helpers for each request.

A template has what ``__init__`` sets on a new wrapper. Wrappers share plain values; containers and locks are made anew,
and helpers when they are asked for. A backend that sets anything else, or whose ``__init__`` is not Django's or DAF's,
has no template.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from operator import call
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

from daf_orm._leases.attributes import PLAIN, not_set_by_code
from daf_orm._leases.leased_wrapper import be_prepared, is_leased

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

_LOCK: Final = type(threading.Lock())
_TRUSTED: Final = ("django.db.backends.", "daf_orm.backends.")
"""Packages of backends whose ``__init__`` does nothing but set attributes."""


class WrapperTemplate:
    """Makes wrappers for leases as :func:`~daf_orm._leases.leased_wrapper.be_prepared` leaves them.

    ``connected`` are the attributes that the backend sets when it connects. A wrapper has them from the start, so that
    connecting does not look as if code had set something.
    """

    def __init__(
        self, kind: type[Any], origin: dict[str, Any], first: BaseDatabaseWrapper, connected: dict[str, Any]
    ) -> None:
        self._kind, self._init = kind, kind.__init__
        self._origin, self._connected = _copied(origin), connected
        self._settings = first.settings_dict
        helpers = dict(cast("Any", kind).daf_orm_helpers)
        own = not_set_by_code(cast("Any", kind))  # a value that Django caches may be of earlier settings
        values: dict[str, Any] = {
            name: value for name, value in connected.items() if isinstance(value, PLAIN) and name not in own
        }
        values |= {name: value for name, value in vars(first).items() if type(value) is not helpers.get(name)}
        self._shared = {name: value for name, value in values.items() if isinstance(value, PLAIN)}
        makers = {name: _maker(value) for name, value in values.items() if name not in self._shared}
        makers |= {"settings_dict": self._make_settings, "_thread_ident": threading.get_ident}
        self.is_complete = None not in makers.values()
        """False if some value can neither be shared nor made."""
        self._names, self._makers = tuple(makers), cast("tuple[Callable[[], Any], ...]", tuple(makers.values()))

    def fits(self, origin: dict[str, Any], connected: dict[str, Any]) -> bool:
        """Return True if the settings, the last connection and ``__init__`` are still those of the template."""
        return connected is self._connected and self._kind.__init__ is self._init and origin == self._origin

    def make(self) -> BaseDatabaseWrapper:
        """Return a new wrapper."""
        wrapper: BaseDatabaseWrapper = object.__new__(self._kind)
        values = vars(wrapper)
        values.update(self._shared)
        values.update(zip(self._names, map(call, self._makers), strict=True))
        return wrapper

    def _make_settings(self) -> dict[str, Any]:
        return _copied(self._settings)


def template_of(kind: Any, origin: dict[str, Any], alias: str, connected: dict[str, Any]) -> WrapperTemplate | None:
    """Return a template for wrappers of a class; None if one cannot be made without its ``__init__``."""
    if not (is_leased(kind) and kind.__new__ is object.__new__ and all(map(_is_trusted, kind.__mro__))):
        return None
    template = WrapperTemplate(kind, origin, be_prepared(kind(origin, alias)), connected)
    return template if template.is_complete else None


def _copied(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "OPTIONS": dict(settings["OPTIONS"])}


def _maker(value: Any) -> Callable[[], Any] | None:
    """Return a function that makes an equal value for another wrapper; None if there is none."""
    if type(value) is _LOCK:
        return threading.Lock
    return value.copy if type(value) in (list, set, dict, deque) and not value else None


def _is_trusted(kind: type[Any]) -> bool:
    """Return True if the ``__init__`` of a class is the one in the source of Django or DAF, and no replacement."""
    init = vars(kind).get("__init__")
    if init is None or kind is object:
        return True
    module = sys.modules.get(kind.__module__)
    return (
        type(init) is FunctionType
        and kind.__module__.startswith(_TRUSTED)
        and init.__code__.co_filename == getattr(module, "__file__", None)
    )
