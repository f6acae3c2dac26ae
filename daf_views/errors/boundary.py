"""The error boundary: a middleware that answers errors with problems where they are wanted, under any handler.

Django wraps every middleware and the view chain in ``convert_exception_to_response``, so an outer middleware never sees
an exception, only Django's response to it. All those wrappers look up one function at the moment they need it,
``response_for_exception``. The middleware marks each request that it lets in. While the patch below is active, that
function answers a marked request by :mod:`daf_views.errors.problems` where a problem is wanted. It leaves the rest to
Django: the project's ``handler404`` and its like, and Django's own pages.

An API view needs no middleware: it lets a bug out, so that ``process_exception`` of middleware hears of it, after
:func:`let_out`, which has the patch answer that one exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers import exception as django_exceptions
from django.http import Http404, HttpRequest, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.urls import get_resolver, get_urlconf
from django.utils.decorators import sync_and_async_middleware

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.patches import Patch, PatchTable
from daf_views._core.cancellation import refuse_stray_cancellation
from daf_views.errors import html
from daf_views.errors.problems import respond, response_for
from daf_views.exceptions import APIError
from daf_views.settings import get_settings

_MARK, _LET_OUT = "daf_views_answers_errors", "daf_views_let_out"
_OURS = "daf_views_is_api"  # on a view function: True for an API view, False for another AsyncView
_WITHOUT_DJANGOS_ANSWER = (APIError, PoolTimeout, TooManyRequests, PoolClosed)
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (Http404, 404),
    (PermissionDenied, 403),
    (MultiPartParserError, 400),
    (BadRequest, 400),
    (SuspiciousOperation, 400),
)
"""The statuses that Django's ``response_for_exception`` has error handlers for; anything else is a 500."""

Finish = Callable[[HttpResponseBase], HttpResponseBase]
_respond_as_django = django_exceptions.response_for_exception


def response_for_exception(request: HttpRequest, exc: Exception) -> HttpResponseBase:
    """Answer with a problem where one is wanted, and otherwise as Django."""
    released: tuple[Exception, Finish] | None = getattr(request, _LET_OUT, None)
    if released is not None and released[0] is exc:
        return released[1](respond(request, exc))
    if getattr(request, _MARK, False) and wants_problem(request, exc):
        return respond(request, exc)
    return _respond_as_django(request, exc)


def mark_as_ours(view: Any, *, is_api: bool) -> None:
    """Mark a view function of a DAF class: errors of an API view are problems, also around the view."""
    setattr(view, _OURS, is_api)


def let_out(request: HttpRequest, exc: Exception, finish: Finish) -> None:
    """Answer this exception with a problem, which ``finish`` completes, when the handler has caught it."""
    activate()
    setattr(request, _LET_OUT, (exc, finish))


def wants_problem(request: HttpRequest, exc: Exception) -> bool:
    """Return True if an error is answered with a problem, rather than by Django and the project's error handlers.

    It is for API views, for paths in ``PROBLEM_PATHS`` and for errors that Django has no answer to. Where the project
    does not define its own handler, it is also for other DAF views, and for clients that name JSON in ``Accept``.
    """
    if isinstance(exc, _WITHOUT_DJANGOS_ANSWER) or is_below_any(request.path_info, get_settings().PROBLEM_PATHS):
        return True
    is_api = getattr(_view_of(request), _OURS, None)
    if is_api is None:
        return html.names_json(request) and not html.has_own_handler(_status(exc))
    return is_api or not html.has_own_handler(_status(exc))


def is_below_any(path: str, tops: Any) -> bool:
    """Return True if a path is one of ``tops`` or further down."""
    return any(path == top or path.startswith(top.rstrip("/") + "/") for top in tops)


def _status(exc: Exception) -> int:
    return next((status for kind, status in _STATUSES if isinstance(exc, kind)), 500)


def _view_of(request: HttpRequest) -> Any:
    """Return the view that the request is for; None if there is none."""
    if (match := request.resolver_match) is not None:
        return match.func
    try:  # a middleware has failed before the URL was resolved
        return get_resolver(getattr(request, "urlconf", None) or get_urlconf()).resolve(request.path_info).func
    except Exception:  # noqa: BLE001 - Resolver404, or what a converter raises, which may be what is being answered
        return None


PATCHES = PatchTable(
    Patch(
        owner=django_exceptions,
        name="response_for_exception",
        replacement=response_for_exception,
        why="exceptions of resolvers, views and middleware are turned into responses before any middleware sees them",
    ),
)


def activate() -> None:
    """Apply the table. Idempotent; the middleware does it when it is made."""
    PATCHES.activate()


def deactivate() -> None:
    """Remove the patch from Django."""
    PATCHES.deactivate()


@sync_and_async_middleware
def async_error_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer errors of views, resolvers and the middleware after this one with RFC 9457 problems. Put it first.

    It does so where :func:`wants_problem` says; the project's own error handlers answer the rest. Browsers that ask for
    HTML get Django's pages. Nothing of an exception is shown outside DEBUG.
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
            return await _answer(request, exc)

    return middleware


async def _answer(request: HttpRequest, exc: Exception) -> HttpResponseBase:
    if wants_problem(request, exc):
        return await response_for(request, exc)
    return await sync_to_async(_respond_as_django, thread_sensitive=False)(request, exc)


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
            return response_for_exception(request, exc)

    return middleware
