"""The error boundary: a middleware that answers whatever is raised inside of it, under Django's own handler too.

Django wraps every middleware and the view chain in ``convert_exception_to_response``, so an outer middleware never sees
an exception, only Django's response to it. All those wrappers look up one function at the moment they need it,
``response_for_exception``. The middleware marks each request that it lets in; while the patch below is active, that
function answers marked requests by :mod:`daf_views.errors.problems`, and leaves all others to Django.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.handlers import exception as django_exceptions
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from daf_orm.patches import Patch, PatchTable
from daf_views._core.cancellation import refuse_stray_cancellation
from daf_views.errors.problems import respond, response_for

_MARK = "daf_views_answers_errors"
_respond_as_django = django_exceptions.response_for_exception


def response_for_exception(request: HttpRequest, exc: Exception) -> HttpResponseBase:
    """Answer with a problem inside the boundary, as Django outside of it."""
    if getattr(request, _MARK, False):
        return respond(request, exc)
    return _respond_as_django(request, exc)


PATCHES = PatchTable(
    Patch(
        owner=django_exceptions,
        name="response_for_exception",
        replacement=response_for_exception,
        why="what a resolver, a view or a middleware raises is turned into a response before any middleware sees it",
    ),
)


def activate() -> None:
    """Apply the table. Idempotent; the middleware does it when it is made."""
    PATCHES.activate()


def deactivate() -> None:
    """Put Django back as it was."""
    PATCHES.deactivate()


@sync_and_async_middleware
def async_error_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer with RFC 9457 problems what views, resolvers and the middleware after this one raise. Put it first.

    Browsers that ask for HTML get Django's pages. Nothing of an exception is shown outside DEBUG.
    """
    activate()
    return _async_boundary(get_response) if iscoroutinefunction(get_response) else _sync_boundary(get_response)


def _async_boundary(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        setattr(request, _MARK, True)
        try:
            return await _unless_stray(get_response(request))
        except Exception as exc:  # noqa: BLE001 - a handler that converts nothing: answered, and logged, here
            return await response_for(request, exc)

    return middleware


async def _unless_stray(answer: Awaitable[HttpResponseBase]) -> HttpResponseBase:
    try:
        return await answer
    except asyncio.CancelledError as error:
        refuse_stray_cancellation(error)
        raise


def _sync_boundary(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        setattr(request, _MARK, True)
        try:
            return get_response(request)
        except Exception as exc:  # noqa: BLE001 - the same
            return respond(request, exc)

    return middleware
