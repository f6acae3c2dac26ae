"""The system checks of views whose every request would be an error."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import connections
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


@register("daf_views")
def check_aliases(**_: Any) -> list[CheckMessage]:
    """``daf_views.E026``: a view whose ``atomic`` is no alias of a database, so that every request is an error."""
    found = {(_class_of(route), alias): None for route in routes() if isinstance(alias := _alias_of(route), str)}
    return [
        Error(
            f"{view.__module__}.{view.__qualname__}.atomic is {alias!r}, which is no database: every request raises "
            "ConnectionDoesNotExist.",
            hint=f"DATABASES has {', '.join(map(repr, connections))}.",
            id="daf_views.E026",
        )
        for view, alias in found
        if alias not in connections
    ]


def _class_of(route: Route) -> Any:
    return getattr(route.view, "view_class", None)


def _alias_of(route: Route) -> Any:
    """Return ``atomic`` of a route's view, which as_view() may give it; None if it is no view of DAF."""
    view = _class_of(route)
    if not (isinstance(view, type) and issubclass(view, AsyncView)):
        return None
    return getattr(route.view, "view_initkwargs", {}).get("atomic", view.atomic)
