"""``@raises``: the problems that a handler answers with, beside DAF's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from daf_views.exceptions import APIError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F")

_NAME = "daf_views_raises"


def raises(*errors: type[APIError]) -> Callable[[F], F]:
    """Document errors that a handler may raise: ``@raises(ConflictError)``. They become responses of its operation."""
    kinds: Any = errors
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, APIError) for kind in kinds):
        raise TypeError(f"raises{errors!r}: name one or more subclasses of APIError.")

    def mark(handler: F) -> F:
        setattr(handler, _NAME, errors)
        return handler

    return mark


def raised_by(handler: Any) -> tuple[type[APIError], ...]:
    """Return the documented errors of a handler."""
    errors: tuple[type[APIError], ...] = getattr(handler, _NAME, ())
    return errors
