"""Private names of responses: their closers, the source of a stream, the flag that they have been logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase


def closers_of(response: HttpResponseBase) -> list[Callable[[], object]]:
    """Return the list of functions that ``response.close()`` calls, to be read or changed."""
    closers: list[Callable[[], object]] = response._resource_closers  # type: ignore[attr-defined]
    return closers


def iterator_of(response: Any) -> Any:
    """Return the iterator that a streaming response was given, None for any other.

    ``streaming_content`` wraps it anew each time. Middleware that replaces ``streaming_content`` puts its own here.
    """
    return getattr(response, "_iterator", None)


def mark_logged(response: HttpResponseBase) -> None:
    """Keep Django's ``log_response()`` from logging the response again."""
    response._has_been_logged = True  # type: ignore[attr-defined]
