"""The matches of recent paths: Django's resolver tries the patterns of a project one after the other, for each request.

They are kept where the match depends on the path alone: not with patterns that a language translates or prefixes, nor
with converters, patterns or resolvers of a project. Like ``reverse()``, they need ``clear_url_caches()`` after a change
of ``urlpatterns`` at run time.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from django.urls import ResolverMatch, URLResolver

from daf_views._django.url_patterns import depends_on_path_alone

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
        self._are_kept = depends_on_path_alone(resolver)
        self._known: dict[str, dict[str, Any]] = {}
        self._tried: dict[tuple[str, int], list[Any]] = {}
        """The patterns before that of a route, and their number, which grows with the project: its paths share them."""

    def resolve(self, request: HttpRequest) -> ResolverMatch:
        """Return the match of a request's path, and set it on the request. Raises Resolver404."""
        path = str(request.path_info)  # as Django does: middleware may have set a lazy one
        known = self._known.get(path)
        match: Any
        if known is None or URLResolver.resolve is not _RESOLVE:
            match = self.resolver.resolve(path)
            self._keep(path, match)
        else:
            match = object.__new__(ResolverMatch)
            vars(match).update(known)
            match.kwargs, match.captured_kwargs = {**known["kwargs"]}, {**known["captured_kwargs"]}
            match.extra_kwargs = {**known["extra_kwargs"]}
            match.app_names, match.namespaces = [*known["app_names"]], [*known["namespaces"]]
        request.resolver_match = match
        return match  # type: ignore[no-any-return] # a copy, or Django's

    def _keep(self, path: str, match: Any) -> None:
        if not self._are_kept or type(match) is not ResolverMatch or len(path) > _MAX_LENGTH:
            return
        if len(self._known) >= _MAX_PATHS:
            self._known, self._tried = {}, {}
        kept = {name: copy(value) if type(value) in {dict, list} else value for name, value in vars(match).items()}
        route = kept["route"], len(kept["tried"])
        tried = self._tried.get(route)
        if tried != kept["tried"]:
            tried = self._tried[route] = [[*each] for each in kept["tried"]]
        self._known[path] = {**kept, "tried": tried}
