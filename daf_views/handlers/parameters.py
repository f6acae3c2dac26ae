"""Metadata in a handler's annotations: where a parameter comes from, with which status to answer.

``limit: Annotated[int, Query(alias="max")]``, ``tag: Annotated[str, Header()]``, ``-> Annotated[Order, Status(201)]``.
Most parameters need none of these, see :mod:`daf_views.handlers.signature`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Query:
    """From the query string. A type with fields takes each of them from a parameter of its name."""

    alias: str | None = None
    """The parameter's name, where it is not that of the argument."""


@dataclass(frozen=True, slots=True)
class Header:
    """From a header: ``if_range`` from ``If-Range``."""

    alias: str | None = None
    """The header's name, where it is another."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """From a cookie."""

    alias: str | None = None
    """The cookie's name, where it is another."""


@dataclass(frozen=True, slots=True)
class Path:
    """From the path: the URLconf gives it."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body, as the view's parsers have it."""


@dataclass(frozen=True, slots=True)
class Status:
    """The status of what the handler returns, unless that is a response: 200 without, 204 for None."""

    code: int

    def __post_init__(self) -> None:
        if self.code not in set(HTTPStatus) or not 200 <= self.code < 300:  # noqa: PLR2004 - RFC 9110 §15.3
            raise TypeError(f"Status({self.code!r}) is not a success: raise an APIError for other statuses.")


Source = Query | Header | Cookie | Path | Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a handler, after ``request``."""

    name: str
    kind: Any
    """Its type; ``Parameter.empty`` of :mod:`inspect` if it has none that is known at run time."""
    source: Source | None
    """None: the path if the URL gives it, otherwise the query."""
    default: Any

    empty: ClassVar[Any] = inspect.Parameter.empty

    @property
    def is_required(self) -> bool:
        """Return True if the handler has no default for it."""
        return self.default is inspect.Parameter.empty

    @property
    def is_beside_body(self) -> bool:
        """Return True if it comes from a header or a cookie."""
        return isinstance(self.source, Header | Cookie)

    @property
    def alias(self) -> str:
        """The name that clients use."""
        if isinstance(self.source, Header):
            return self.source.alias or self.name.replace("_", "-").title()
        return (self.source.alias if isinstance(self.source, Query | Cookie) else None) or self.name
