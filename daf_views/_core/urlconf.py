"""Walk a URLconf."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, StringConverter, UUIDConverter
from django.utils.regex_helper import normalize

_NAMED = 3
_KNOWN: Mapping[Any, type] = {IntConverter.to_python: int, UUIDConverter.to_python: uuid.UUID}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A pattern of the URLconf with what the ``include()`` s above it add."""

    pattern: URLPattern
    above: tuple[URLResolver, ...] = ()
    converters: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that the URLconf gives to the view."""

    @property
    def path(self) -> str:
        """Without the leading slash, ``%(name)s`` for parameters; of a regular expression, the simplest match.

        Raises ValueError for a regular expression that Django cannot reverse.
        """
        patterns: tuple[URLPattern | URLResolver, ...] = (*self.above, self.pattern)
        return "".join(map(_path, patterns))

    @property
    def view(self) -> Any:
        """The view function."""
        return self.pattern.callback

    @property
    def name(self) -> str:
        """The dotted path of the view."""
        return self.pattern.lookup_str


def routes(urlconf: Any = None) -> Iterator[Route]:
    """Yield the routes of a URLconf in its order, by default the site's; none where no setting names one."""
    if urlconf is not None or getattr(settings, "ROOT_URLCONF", None):
        yield from _below(get_resolver(urlconf), (), {}, {})


def made_by(converter: Any) -> type | None:
    """Return the class of the values that a path converter makes; None if its ``to_python()`` has no annotation."""
    if isinstance(converter, IntConverter | UUIDConverter) and type(converter).to_python in _KNOWN:
        return _KNOWN[type(converter).to_python]
    if type(converter).to_python is StringConverter.to_python:
        return str
    try:
        kind = get_type_hints(converter.to_python).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    return kind if isinstance(kind, type) else None


def shortened(names: Sequence[str]) -> str:
    """Return the first names and the number of the others, for a message."""
    some = ", ".join(names[:_NAMED])
    return some if len(names) <= _NAMED else f"{some} and {len(names) - _NAMED} more"


def _below(
    resolver: URLResolver, above: tuple[URLResolver, ...], converters: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        known = {**converters, **pattern.pattern.converters}
        if isinstance(pattern, URLResolver):
            yield from _below(pattern, (*above, pattern), known, {**defaults, **pattern.default_kwargs})
        else:
            yield Route(pattern=pattern, above=above, converters=known, defaults={**defaults, **pattern.default_args})


def _path(pattern: URLPattern | URLResolver) -> str:
    regex = pattern.pattern.regex.pattern
    [(path, _), *_] = normalize(regex) or [("", [])]
    return str(path)
