"""Private names of URL patterns: the texts that may be translations."""

from __future__ import annotations

from typing import Any

from django.urls import ResolverMatch, URLPattern, URLResolver, converters, resolvers
from django.urls.resolvers import RegexPattern, RoutePattern

from daf_views._django.handlers import is_defined_in


def depends_on_path_alone(resolver: Any) -> bool:
    """Return True if a resolver matches a path in one way, whatever the language, by Django's code alone."""
    steps = (URLResolver.resolve, URLPattern.resolve, RoutePattern.match, RegexPattern.match, ResolverMatch.__init__)
    if not all(is_defined_in(resolvers, step) for step in steps):
        return False
    known: set[int] = set()
    waiting = [resolver]
    while waiting:
        pattern = waiting.pop()
        if not _is_plain(pattern):
            return False
        if type(pattern) is URLPattern or id(pattern) in known:  # a URLconf may include itself
            continue
        known.add(id(pattern))
        try:
            patterns = pattern.url_patterns
        except Exception:  # noqa: BLE001 - Django raises it for the paths that lead there
            return False
        if type(patterns) not in {list, tuple}:  # another iterable may yield others later
            return False
        waiting.extend(patterns)
    return True


def _is_plain(pattern: Any) -> bool:
    """Return True if a pattern is Django's, is not translated, and has only Django's converters."""
    if type(pattern) not in {URLPattern, URLResolver}:
        return False
    part = pattern.pattern
    if type(part) is RoutePattern:
        text: Any = part._route  # type: ignore[attr-defined]
    elif type(part) is RegexPattern:
        text = part._regex  # type: ignore[attr-defined]
    else:
        return False
    return type(text) is str and all(type(each).__module__ == converters.__name__ for each in part.converters.values())
