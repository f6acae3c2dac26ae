"""``throttle_middleware``: throttles by path, before anything else has looked at a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.decorators import async_only_middleware
from django.utils.module_loading import import_string

from daf_views.errors.problems import response_for
from daf_views.exceptions import APIError
from daf_views.settings import get_settings
from daf_views.throttling.headers import with_limits
from daf_views.throttling.rate_throttle import AsyncRateThrottle
from daf_views.throttling.throttle import AsyncThrottle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


@async_only_middleware
def throttle_middleware(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Count requests by ``DAF_VIEWS["THROTTLED_PATHS"]``: each throttle whose path a request is at or below is asked.

    Put it before what costs much, and after what its keys need: ``keys.user`` needs the authentication middleware.
    """
    rules = path_throttles(get_settings().THROTTLED_PATHS)

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        try:
            for path, throttle in rules.items():
                if is_below(request.path_info, path):
                    await throttle.check(request, path)
        except APIError as error:
            return with_limits(await response_for(request, error), request)
        return with_limits(await get_response(request), request)

    return middleware


def path_throttles(paths: Mapping[str, str]) -> dict[str, AsyncThrottle]:
    """Return the throttles that ``THROTTLED_PATHS`` names. Raise ImproperlyConfigured, saying which is wrong."""
    return {path: _throttle(path, text) for path, text in paths.items()}


def is_below(path: str, top: str) -> bool:
    """Whether a path is ``top`` or further down: ``/login`` and ``/login/`` are at ``/login``, ``/logins`` is not."""
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
