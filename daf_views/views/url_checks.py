"""The system check of handlers that cannot be called with the arguments of their URL."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls.resolvers import RoutePattern, URLPattern, URLResolver

from daf_views._core.urlconf import Route, routes
from daf_views.views.base import AsyncView

_GIVEN = 2
"""``self`` and the request."""


@register("daf_views")
def check_arguments(**_: Any) -> list[CheckMessage]:
    """``daf_views.E025``: a handler that does not take what its URL gives, so that every request is a TypeError."""
    return [message for route in routes() for message in _impossible_calls(route)]


def _impossible_calls(route: Route) -> Iterator[CheckMessage]:
    view = getattr(route.view, "view_class", None)
    patterns: tuple[URLPattern | URLResolver, ...] = (*route.above, route.pattern)
    if not (isinstance(view, type) and issubclass(view, AsyncView)) or _changes_arguments(view):
        return
    if not all(isinstance(each.pattern, RoutePattern) for each in patterns):  # groups of a regex may be unnamed
        return
    given = {*route.converters, *route.defaults}
    for name in view.http_method_names:
        handler = getattr(view, name, None)
        if handler is None or name == "options" or hasattr(handler, "__wrapped__"):  # a decorator may change them
            continue
        yield from _problems(f"{view.__module__}.{view.__qualname__}.{name}()", view, name, given, route)


def _problems(name: str, view: Any, method: str, given: set[str], route: Route) -> Iterator[CheckMessage]:
    parameters = list(inspect.signature(getattr(view, method)).parameters.values())[_GIVEN:]
    named = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    is_typed = method in getattr(view, "handler_signatures", ())
    required = {each.name for each in parameters if each.name in named and each.default is each.empty}
    path = f"/{route.path}"
    if not takes_all and (unknown := sorted(given - named)):
        yield Error(
            f"{name} does not take {', '.join(map(repr, unknown))}, which the URL {path!r} gives it: every request "
            "raises TypeError.",
            hint=f"Write `async def {method}(self, request, {', '.join(unknown)})`.",
            id="daf_views.E025",
        )
    if not is_typed and (missing := sorted(required - given)):
        yield Error(
            f"{name} takes {', '.join(map(repr, missing))}, which the URL {path!r} does not give: every request "
            "raises TypeError.",
            hint=f"Add it to the URL, as in `<int:{missing[0]}>`, or annotate it, so that the query gives it.",
            id="daf_views.E025",
        )


def _changes_arguments(view: type[AsyncView]) -> bool:
    """Return True if the project's code may call the handlers with other arguments than the URL's."""
    return any(
        {"dispatch", "setup"} & vars(klass).keys()
        for klass in view.__mro__
        if klass.__module__.partition(".")[0] not in {"django", "daf_views", "builtins"}
    )
