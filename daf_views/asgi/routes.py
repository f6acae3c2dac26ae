"""The matches of recent paths: Django's resolver tries the patterns of a project one after the other, for each request.

They are kept where the match depends on the path alone: not with patterns that a language translates or prefixes, nor
with converters, patterns or resolvers of a project. Like ``reverse()``, they need ``clear_url_caches()`` after a change
of ``urlpatterns`` at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import ResolverMatch, URLResolver

from daf_views._django.url_patterns import depend_on_path_alone

if TYPE_CHECKING:
    from django.http import HttpRequest

_MAX_PATHS: Final = 1000
_MAX_LENGTH: Final = 200
"""Characters of a path that is kept. A client chooses its length."""
_RESOLVE: Final = URLResolver.resolve


class Routes:
    """The matches of one URLconf."""

    def __init__(self, resolver: URLResolver) -> None:
        self.resolver = resolver
        self._are_kept = type(resolver) is URLResolver and depend_on_path_alone([resolver])
        self._known: dict[str, dict[str, Any]] = {}

    def resolve(self, request: HttpRequest) -> ResolverMatch:
        """Return the match of a request's path, and set it on the request. Raises Resolver404."""
        path = request.path_info
        known = self._known.get(path)
        match: Any
        if known is None or URLResolver.resolve is not _RESOLVE:
            match = self.resolver.resolve(path)
            self._keep(path, match)
        else:
            match = object.__new__(ResolverMatch)
            vars(match).update(known)
            match.kwargs, match.captured_kwargs = dict(known["kwargs"]), dict(known["captured_kwargs"])
        request.resolver_match = match
        return match  # type: ignore[no-any-return] # a copy, or Django's

    def _keep(self, path: str, match: Any) -> None:
        if not self._are_kept or type(match) is not ResolverMatch or len(path) > _MAX_LENGTH:
            return
        if len(self._known) >= _MAX_PATHS:
            self._known = {}
        self._known[path] = {name: dict(value) if type(value) is dict else value for name, value in vars(match).items()}
