"""The system checks of throttles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from daf_views._core.urlconf import routes, shortened
from daf_views.settings import get_settings, problems
from daf_views.throttling.backends import make_backend
from daf_views.throttling.middleware import path_throttles, throttle_middleware
from daf_views.throttling.throttle import AsyncThrottle

if TYPE_CHECKING:
    from collections.abc import Iterator

_THROTTLING = "daf_views.throttling.throttle_middleware"


@register("daf_views")
def check_throttles(**_: Any) -> list[CheckMessage]:
    """``daf_views.E004`` and ``E005``: throttles that could not count, or would count in each process separately."""
    if problems(getattr(django_settings, "DAF_VIEWS", {})):
        return []
    settings = get_settings()
    try:
        path_throttles(settings.THROTTLED_PATHS)
        throttled = [*settings.THROTTLED_PATHS, *dict.fromkeys(_throttled_views())]
        backend = make_backend() if throttled or settings.THROTTLE_BACKEND != "memory" else None
    except ImproperlyConfigured as error:
        return [Error(str(error), id="daf_views.E004")]
    if settings.THROTTLED_PATHS and not any(_is_throttling(path) for path in django_settings.MIDDLEWARE):
        message = "DAF_VIEWS['THROTTLED_PATHS'] is set, and no middleware reads it."
        return [Error(message, hint=f"Add {_THROTTLING!r} to MIDDLEWARE.", id="daf_views.E004")]
    if backend is None or not throttled or backend.is_shared or django_settings.DEBUG or settings.THROTTLE_PER_PROCESS:
        return []
    return [
        Error(
            "Throttles count in the memory of each process: with N processes, a client may send N times the requests "
            f"that a rate allows, and again after each restart. Throttled: {shortened(throttled)}.",
            hint=(
                'Set DAF_VIEWS["THROTTLE_BACKEND"] to "redis", "database" or "cache"; or, if this is intended, '
                'DAF_VIEWS["THROTTLE_PER_PROCESS"] to True.'
            ),
            id="daf_views.E005",
        )
    ]


def _throttled_views() -> list[str]:
    """Return the views with a DAF throttle that uses the backend of the settings."""
    return [
        route.name
        for route in routes()
        if any(isinstance(each, AsyncThrottle) and each.backend is None for each in _throttles(route.view))
    ]


def _is_throttling(path: str) -> bool:
    try:
        return import_string(path) is throttle_middleware
    except ImportError:  # Django reports it when it loads the middleware
        return False


def _throttles(view: Any) -> Iterator[Any]:
    yield from getattr(view, "throttles", ())  # decorators leave them there
    if (kind := getattr(view, "view_class", None)) is None:
        return
    given = view.view_initkwargs
    yield given.get("throttle", getattr(kind, "throttle", None))
    yield from given.get("throttles", getattr(kind, "throttles", ()))
    for method in kind.http_method_names:
        yield from getattr(getattr(kind, method, None), "throttles", ())
