"""The request: Django's own, whose body may be received later, by its first reader."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    Completion = Callable[[HttpResponseBase, HttpRequest], object]

COMPLETIONS = "daf_views_completions"
"""The attribute of a request that holds the functions to call with its response."""


class UnreceivedBody:
    """Stands for a body that has not been received, and raises an error when it is read."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError("The request's body has not been received: await daf_views.http.load_body(request) first.")

    def close(self) -> None:
        """Do nothing: there is nothing open."""


def take_body_itself(view: Callable[..., object]) -> None:
    """Mark a view that asks for its body by :func:`load_body`, and before that does not look at it."""
    view.takes_body_itself = view  # type: ignore[attr-defined] # a copy by functools.wraps() names the original


def takes_body_itself(view: object) -> bool:
    """Return True if a view is marked; not if only a view that it wraps is: the wrapper may want the body first."""
    return getattr(view, "takes_body_itself", None) is view


async def load_body(request: HttpRequest, *, limit: int | None = None) -> None:
    """Receive the request's body, after which ``body``, ``POST``, ``FILES`` and ``read()`` work as in Django.

    Does nothing where it is there already, as under Django's own handler. Raises RequestDataTooBig if it has more than
    ``limit`` bytes. If the client hangs up, the request is cancelled.
    """
    if getattr(request, "receive_body", None) is None:
        return
    async with request.__dict__.setdefault("_body_lock", asyncio.Lock()):  # two tasks of a view may want it
        if (receive_body := request.receive_body) is not None:  # type: ignore[attr-defined]
            request.body_has_come(await receive_body(limit))  # type: ignore[attr-defined]


def call_when_closed(request: HttpRequest, func: Callable[[], object]) -> None:
    """Call ``func`` too when the request is closed: Django's handlers do that with the response that is sent."""
    close = request.close

    def both() -> None:
        try:
            close()
        finally:
            func()

    request.close = both  # type: ignore[method-assign] # looked up on the instance


def call_with_response(request: HttpRequest, func: Completion) -> None:
    """Call ``func(response, request)`` once, when a DAF view has any response to the request."""
    completions: list[Completion] = request.__dict__.setdefault(COMPLETIONS, [])
    if func not in completions:
        completions.append(func)
