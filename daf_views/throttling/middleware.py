"""``throttle_middleware``: throttles by path, before anything else has looked at a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.decorators import async_only_middleware
from django.utils.module_loading import import_string

from daf_views.errors.problems import response_for
from daf_views.exceptions import APIError
from daf_views.settings import get_settings
from daf_views.throttling.headers import with_limits
from daf_views.throttling.rate_throttle import AsyncRateThrottle
from daf_views.throttling.throttle import AsyncThrottle

_OWN_PATH = "daf_views.throttling.throttle_middleware"
_REFUSED = "daf_views_refused"

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views._core.description import Description


@async_only_middleware
def throttle_middleware(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Count requests by ``DAF_VIEWS["THROTTLED_PATHS"]``: each throttle whose path a request is at or below is asked.

    Put it before expensive middleware, and after the middleware that its keys need: ``keys.user`` needs the
    authentication middleware. Its refusals pass through the CORS middleware wherever that stands. A preflight counts
    only if it reaches a view.
    """
    rules = path_throttles(get_settings().THROTTLED_PATHS)
    refuse: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = _through(_cors_below(), _respond)

    async def count(request: HttpRequest) -> HttpResponseBase | None:
        try:
            for path, throttle in rules.items():
                if is_below(request.path_info, path):
                    await throttle.check(request, path)
        except APIError as error:
            setattr(request, _REFUSED, error)
            return with_limits(await refuse(request), request)
        return None

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        refused = None if _is_preflight(request) else await count(request)
        return with_limits(await get_response(request), request) if refused is None else refused

    async def process_view(request: HttpRequest, view: Any, *_: Any) -> HttpResponseBase | None:
        # A preflight that no middleware has answered: anything that looks like one reaches views.
        return await count(request) if _is_preflight(request) and not _only_says_methods(view) else None

    middleware.process_view = process_view  # type: ignore[attr-defined] # as Django looks for it
    return middleware


async def _respond(request: HttpRequest) -> HttpResponseBase:
    return await response_for(request, getattr(request, _REFUSED))


def _is_preflight(request: HttpRequest) -> bool:
    """Return True for a preflight of a browser, which a page's script neither sends nor sees (Fetch, §4.8)."""
    return (
        request.method == "OPTIONS"
        and "HTTP_ORIGIN" in request.META
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
    )


def _only_says_methods(view: Any) -> bool:
    options = getattr(getattr(view, "view_class", None), "options", None)
    return getattr(options, "__module__", None) in {"daf_views.views.base", "django.views.generic.base"}


def _cors_below() -> list[Any]:
    """Return the CORS middleware after this one: other sites then can read a refusal."""
    paths = list(settings.MIDDLEWARE)
    below = paths[paths.index(_OWN_PATH) + 1 :] if _OWN_PATH in paths else []
    found = [import_string(path) for path in below if path.rpartition(".")[2].lower().startswith("cors")]
    return [each for each in found if getattr(each, "async_capable", False)]


def _through(factories: list[Any], respond: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> Any:
    for factory in reversed(factories):
        respond = factory(respond)
    return respond


def path_throttles(paths: Mapping[str, str]) -> dict[str, AsyncThrottle]:
    """Return the throttles that ``THROTTLED_PATHS`` names. Raise ImproperlyConfigured, saying which is wrong."""
    return {path: _throttle(path, text) for path, text in paths.items()}


def describe_path(operation: Description) -> None:
    """Let the throttles of an operation's path describe themselves."""
    for path, throttle in path_throttles(get_settings().THROTTLED_PATHS).items():
        if is_below(operation.path, path):
            throttle.describe(operation)


def is_below(path: str, top: str) -> bool:
    """Return True if a path is ``top`` or below: ``/login`` and ``/login/`` are at ``/login``, ``/logins`` is not."""
    return path.startswith(top) and (top.endswith("/") or path[len(top) : len(top) + 1] in {"", "/"})


def _throttle(path: str, text: str) -> AsyncThrottle:
    where = f"DAF_VIEWS['THROTTLED_PATHS'][{path!r}]"
    if not path.startswith("/"):
        raise ImproperlyConfigured(f"{where}: a path begins with a slash.")
    try:
        if "/" in text:
            return AsyncRateThrottle(text)
        found: Any = import_string(text)
        throttle = found() if isinstance(found, type) else found
    except (ImportError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    if not isinstance(throttle, AsyncThrottle):
        raise ImproperlyConfigured(f"{where} names {text!r}, which is no throttle.")
    return throttle
