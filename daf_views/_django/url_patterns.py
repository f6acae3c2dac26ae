"""Private names of URL patterns: the texts that may be translations."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver, converters
from django.urls.resolvers import RegexPattern, RoutePattern


def depend_on_path_alone(patterns: Any) -> bool:
    """Return True if URL patterns match a path in one way, whatever the language, and have only Django's converters."""
    return all(map(_depends_on_path_alone, patterns))


def _depends_on_path_alone(pattern: Any) -> bool:
    kind, part = type(pattern), pattern.pattern
    if kind not in {URLPattern, URLResolver}:
        return False
    if type(part) is RoutePattern:
        text: Any = part._route  # type: ignore[attr-defined]
    elif type(part) is RegexPattern:
        text = part._regex  # type: ignore[attr-defined]
    else:
        return False
    if type(text) is not str or any(type(each).__module__ != converters.__name__ for each in part.converters.values()):
        return False
    return kind is URLPattern or depend_on_path_alone(pattern.url_patterns)
