"""Stock Django's ORM in async code: nothing is lost, nothing leaks, nothing blocks.

Each name is loaded at its first use: pytest imports this package for its plugin, also in runs without Django.
Type checkers read ``__init__.pyi``.
"""

import sys as _sys
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import Any

__all__ = [
    "AsyncManager",
    "AsyncModel",
    "AsyncQuerySet",
    "BlockingCall",
    "BlockingCallError",
    "PoolClosed",
    "PoolTimeout",
    "TooManyRequests",
    "allow_blocking",
    "await_safe",
    "cursor",
    "database_sync_to_async",
    "get_pool",
    "notifications",
    "pinned",
    "runs_in_thread",
    "transaction",
]
__version__ = "0.1.0"
_HOMES = {
    "AsyncManager": "manager",
    "AsyncModel": "models",  # defining a model needs the settings
    "AsyncQuerySet": "query",
    "BlockingCall": "detection",
    "BlockingCallError": "_core.blocking_call",
    "PoolClosed": "exceptions",
    "PoolTimeout": "exceptions",
    "TooManyRequests": "exceptions",
    "allow_blocking": "detection",
    "await_safe": "sync",
    "cursor": "cursor",
    "database_sync_to_async": "sync",
    "get_pool": "_pool.process_pool",
    "notifications": "notifications",
    "pinned": "owners",
    "runs_in_thread": "sync",
}
_MODULES = frozenset(
    {"detection", "exceptions", "manager", "metrics", "owners", "patches", "query", "settings", "sync", "transaction"}
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(_ModuleType):
    """Keeps the names of two functions, which the import of the modules of the same names would replace."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in {"cursor", "notifications"} or not isinstance(value, _ModuleType):
            super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Package
