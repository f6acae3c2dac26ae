"""Private names of handlers and signals."""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from django.core.handlers import asgi, base

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from django.dispatch import Signal


def call_of_django() -> Any:
    """Return Django's own ``ASGIHandler.__call__``; None if other code, such as a tracer, has replaced it already."""
    call = vars(asgi.ASGIHandler)["__call__"]
    return call if is_defined_in(asgi, call) else None


def resolve_request_of_django() -> Any:
    """Return Django's own ``BaseHandler.resolve_request``; None if other code has replaced it already."""
    resolve_request = vars(base.BaseHandler)["resolve_request"]
    return resolve_request if is_defined_in(base, resolve_request) else None


def is_defined_in(module: ModuleType, method: Any) -> bool:
    """Return True if a module's own source defines a method. A wrapper may have taken its name and ``__module__``."""
    return type(method) is FunctionType and method.__globals__ is vars(module)


def live_receivers(signal: Signal, sender: type) -> tuple[list[Any], list[Any]]:
    """Return the receivers of a signal, weak references resolved: the synchronous and the asynchronous ones."""
    sync_receivers, async_receivers = signal._live_receivers(sender)
    return sync_receivers, async_receivers


def non_atomic_aliases(view: object) -> AbstractSet[str]:
    """Return the aliases that ``non_atomic_requests`` has named for a view."""
    aliases: AbstractSet[str] = getattr(view, "_non_atomic_requests", frozenset())
    return aliases


def set_non_atomic_aliases(view: Any, aliases: AbstractSet[str]) -> None:
    """Replace the set that Django's handler asks, and to which ``non_atomic_requests`` adds."""
    view._non_atomic_requests = aliases
