"""The database backends that plans are kept for: those of Django and DAF that the tests cover, unchanged."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from daf_orm._django.known_sql import BACKENDS, COMPILERS


class Backend:
    """A backend that plans are kept for; part of the key of a query."""

    __slots__ = ("compiler", "ops")

    def __init__(self, ops: type, compiler: type) -> None:
        self.ops = ops
        self.compiler = compiler


_known: Final[dict[type, Backend | None]] = {}
_backends: Final[dict[tuple[type, type], Backend]] = {}  # a leased wrapper's is that of its backend
_MAX_KNOWN: Final = 100


def backend_of(connection: Any) -> Backend | None:
    """Return the backend of a connection, or None where queries take Django's way."""
    kind = type(connection)
    try:
        return _known[kind]
    except KeyError:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        return _known.setdefault(kind, _examined(kind))


def _examined(kind: Any) -> Backend | None:
    parts = (kind.ops_class, kind.features_class)
    if not all(_is_known(each) for part in (kind, *parts) for each in part.__mro__):
        return None
    compiler = getattr(import_module(kind.ops_class.compiler_module), "SQLCompiler", None)
    if compiler is None or COMPILERS.get(compiler.__module__) != compiler.__qualname__:
        return None
    return _backends.setdefault(parts, Backend(kind.ops_class, compiler))


def _is_known(kind: type) -> bool:
    module = f"{kind.__module__}."
    return module.startswith((*BACKENDS, "django.db.backends.base.", "daf_orm._leases.")) or kind is object
