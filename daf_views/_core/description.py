"""The part of an OpenAPI operation that the features of a view describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Description:
    """One operation: a method of a view at a path. A feature's ``describe(operation)`` adds its part.

    A feature that describes itself has that method: an authentication, a permission, a throttle, a parser, a paginator,
    an ``IdempotencyKey``. A :class:`~daf_views.views.Stage` has a function of the view and the operation.
    """

    def __init__(self, *, method: str, path: str, answers_list: bool = False) -> None:
        self.method = method
        """In upper case."""
        self.path = path
        """As an OpenAPI document has it: ``/orders/{pk}/``."""
        self.answers_list = answers_list
        """True if the handler answers with a list, which may come in pages."""
        self.is_open = True
        """False once a permission may refuse the request."""
        self.statuses: set[int] = set()
        self.parameters: list[Mapping[str, Any]] = []
        self.security: list[tuple[str, Mapping[str, Any]]] = []
        self.media_types: list[str] = []
        self.response_headers: dict[str, Any] = {}
        self.envelope: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def add_status(self, *statuses: int) -> None:
        """Add statuses that a request may be answered with instead of the handler's: 304, or those of problems."""
        self.statuses.update(statuses)

    def add_parameter(self, parameter: Mapping[str, Any]) -> None:
        """Add a Parameter Object (OpenAPI 3.1 §4.8.12), unless the handler takes one of its place and name itself."""
        self.parameters.append(parameter)

    def add_security(self, name: str, scheme: Mapping[str, Any]) -> None:
        """Add a Security Scheme Object (§4.8.27) under a name: one way to authenticate. It may be answered 401."""
        self.security.append((name, scheme))
        self.add_status(401)

    def require_permission(self) -> None:
        """Say that a permission may refuse the request, with a 403. Authentication is then required."""
        self.is_open = False
        self.add_status(403)

    def add_media_types(self, *media_types: str) -> None:
        """Add media types that a body may have."""
        self.media_types += media_types

    def add_response_header(self, name: str, description: str) -> None:
        """Add a header of the handler's response, a text."""
        self.response_headers[name] = {"description": description, "schema": {"type": "string"}}

    def wrap_items(self, envelope: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Set the body of a list response: ``envelope`` makes its schema from that of an item."""
        self.envelope = envelope


def describe(policy: object, operation: Description, by_default: Callable[[Any, Description], None]) -> None:
    """Let a policy describe itself, or add the default of its kind."""
    own = getattr(policy, "describe", None)
    if own is None:
        by_default(policy, operation)
    else:
        own(operation)
