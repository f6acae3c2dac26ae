"""The API views that a URLconf leads to, and under which paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize

from daf_views.api.view import AsyncAPIView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONVERTERS: Mapping[str, dict[str, Any]] = {
    "IntConverter": {"type": "integer", "minimum": 0},
    "UUIDConverter": {"type": "string", "format": "uuid"},
    "SlugConverter": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
}
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A path with a view of ours."""

    path: str
    """As an OpenAPI document has it: ``/orders/{pk}/``."""
    view: type[AsyncAPIView]
    options: Mapping[str, Any]
    """What ``as_view()`` was given."""
    parameters: Mapping[str, dict[str, Any]]
    """The JSON Schema of what each parameter's converter takes."""

    defaults: Mapping[str, Any]
    """What the URLconf gives beside those: the third argument of ``path()``."""

    def option(self, name: str) -> Any:
        """Return an attribute of the view's, as its instances have it."""
        return self.options.get(name, getattr(self.view, name))


def endpoints(urlconf: Any = None) -> list[Endpoint]:
    """Return those of a URLconf, by default the site's, in its order."""
    return list(_below(get_resolver(urlconf), "", {}, {}))


def _below(
    resolver: URLResolver, prefix: str, converters: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[Endpoint]:
    for pattern in resolver.url_patterns:
        route = prefix + _route(pattern)
        known = {**converters, **pattern.pattern.converters}
        if isinstance(pattern, URLResolver):
            yield from _below(pattern, route, known, {**defaults, **pattern.default_kwargs})
        elif (view := _view_of(pattern)) is not None:
            yield Endpoint(
                path="/" + _PARAMETER.sub(r"{\1}", route),
                view=view,
                options=getattr(pattern.callback, "view_initkwargs", {}),
                defaults={**defaults, **pattern.default_args},
                parameters={name: _schema(known.get(name)) for name in _PARAMETER.findall(route)},
            )


def _route(pattern: URLPattern | URLResolver) -> str:
    """Return a pattern's path, with ``%(name)s`` for parameters; of a regular expression, the simplest there is."""
    regex = pattern.pattern.regex.pattern
    [(route, _), *_] = normalize(regex) or [("", [])]
    return str(route)


def _view_of(pattern: URLPattern) -> type[AsyncAPIView] | None:
    view = getattr(pattern.callback, "view_class", None)
    return view if isinstance(view, type) and issubclass(view, AsyncAPIView) else None


def _schema(converter: Any) -> dict[str, Any]:
    kind = type(converter).__name__
    return _CONVERTERS.get(kind, {"type": "string", "minLength": 1})
