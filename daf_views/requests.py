"""The request: Django's own, whose body may be received later, by whoever needs it first."""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING, NoReturn

from django.core.handlers.asgi import ASGIRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest


class UnreceivedBody:
    """Stands for a body that has not been received, and says so to who reads it."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(
            "The request's body has not been received: await daf_views.requests.load_body(request) first."
        )

    def close(self) -> None:
        """Do nothing: there is nothing open."""


class AsyncRequest(ASGIRequest):
    """An ASGI request that is made before its body has been received: :func:`load_body` does that."""

    receive_body: Callable[[int | None], Awaitable[IO[bytes]]] | None = None
    """Receives the body, as far as the given number of bytes, into a file. None once that has been done."""

    @property
    def body_is_loaded(self) -> bool:
        """Whether ``body``, ``POST`` and ``read()`` may be used."""
        return self.receive_body is None


async def load_body(request: HttpRequest, *, limit: int | None = None) -> None:
    """Receive the request's body, after which ``body``, ``POST``, ``FILES`` and ``read()`` work as in Django.

    Does nothing where it is there already, as under Django's own handler. Raises RequestDataTooBig if it has more than
    ``limit`` bytes. If the client hangs up, the request is cancelled.
    """
    if getattr(request, "receive_body", None) is None:
        return
    async with request.__dict__.setdefault("_body_lock", asyncio.Lock()):  # two tasks of a view may want it
        if (receive_body := request.receive_body) is not None:  # type: ignore[attr-defined]
            request._stream = await receive_body(limit)  # noqa: SLF001 - as ASGIRequest.__init__ does
            request.receive_body = None  # type: ignore[attr-defined]
