"""The database backends that plans are kept for: those of Django and DAF that the tests cover, unchanged."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from daf_orm._django.known_sql import BACKENDS, COMPILER_MODULES

if TYPE_CHECKING:
    from types import ModuleType


class Backend:
    """A backend that plans are kept for; part of the key of a query."""

    __slots__ = ("compiler", "ops", "update_compiler")

    def __init__(self, ops: type, compiler: type, update_compiler: type | None) -> None:
        self.ops = ops
        self.compiler = compiler
        self.update_compiler = update_compiler


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
    module = import_module(kind.ops_class.compiler_module)
    compiler, update_compiler = (_known_class(module, name) for name in ("SQLCompiler", "SQLUpdateCompiler"))
    if compiler is None:
        return None
    return _backends.setdefault(parts, Backend(kind.ops_class, compiler, update_compiler))


def _known_class(module: ModuleType, name: str) -> type | None:
    """Return a compiler of a backend, if its class is known."""
    found: type | None = getattr(module, name, None)
    known = found is not None and found.__module__ in COMPILER_MODULES and found.__qualname__ == name
    return found if known else None


def _is_known(kind: type) -> bool:
    module = f"{kind.__module__}."
    return module.startswith((*BACKENDS, "django.db.backends.base.", "daf_orm._leases.")) or kind is object
