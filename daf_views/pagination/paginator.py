"""The base of paginators: the number of rows on a page, and whether a client may choose it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from django.db.models import Manager, QuerySet

from daf_views.pagination.query_parameters import QueryParameter, read_number

if TYPE_CHECKING:
    from django.http import HttpRequest

    from daf_views._core.description import Description
    from daf_views.pagination.page import Page


@dataclass(frozen=True, kw_only=True)
class Paginator(ABC):
    """Cuts querysets into pages: one object, without a state, serves all requests of a view, concurrently.

    A page has ``size`` rows. With ``max_size``, clients may ask for another number, up to that, by ``size_param``.
    Raises ValueError, when made, for a size below 1 or above ``max_size``.
    """

    size: int = 50
    max_size: int | None = None
    size_param: str = "page_size"

    def __post_init__(self) -> None:
        name = type(self).__qualname__
        for option, value in (("size", self.size), ("max_size", self.max_size)):
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if not (is_number and value >= 1) and (option, value) != ("max_size", None):  # type: ignore[operator] # is_number
                raise ValueError(f"{name}.{option} must be a whole number from 1 on, not {value!r}.")
        if self.max_size is not None and self.size > self.max_size:
            raise ValueError(f"{name}.size is {self.size}, which is more than max_size, {self.max_size}.")
        names = [getattr(self, field.name) for field in fields(self) if field.name.endswith("_param")]
        if len(set(names)) < len(names) or not all(isinstance(each, str) and each for each in names):
            raise ValueError(f"{name} has query parameters called {names!r}: give each a different name.")

    @abstractmethod
    async def paginate(self, request: HttpRequest, queryset: Any) -> Page:
        """Return the page that the request asks for. Raise an APIError if it does not exist."""

    @abstractmethod
    def envelope_schema(self, item_schema: dict[str, Any]) -> dict[str, Any]:
        """Return a JSON schema of the body, given that of an item."""

    def parameters(self) -> list[QueryParameter]:
        """Return the query parameters that requests may have."""
        if self.max_size is None:
            return []
        schema = {"type": "integer", "minimum": 1, "maximum": self.max_size, "default": self.size}
        return [QueryParameter(name=self.size_param, schema=schema, description="The number of results on a page.")]

    def describe(self, operation: Description) -> None:
        """Add the parameters, the envelope and the links, and the responses for a missing page."""
        for parameter in self.parameters():
            operation.add_parameter({"in": "query", "required": False, **asdict(parameter)})
        operation.wrap_items(self.envelope_schema)
        operation.add_response_header("Link", "Other pages (RFC 8288).")
        operation.add_status(400, 404)

    def read_size(self, request: HttpRequest) -> int:
        """Return the number of rows of the page. Raise BadRequestError for too many, or for an invalid number."""
        if self.max_size is None:
            return self.size
        return read_number(request, self.size_param, default=self.size, at_most=self.max_size)


def as_queryset(rows: Any) -> QuerySet[Any]:
    """Return a queryset, also of a manager. Raises TypeError for anything else."""
    queryset = rows.all() if isinstance(rows, Manager) else rows
    if not isinstance(queryset, QuerySet):
        raise TypeError(f"Pages are made of a queryset, not of {type(rows).__name__}.")
    return queryset
