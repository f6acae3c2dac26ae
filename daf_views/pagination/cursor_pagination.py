"""``CursorPagination``: pages that begin beside a row, even if it has moved.

A cursor holds the values of the ordering columns of the row that a page ended with, and the next page has the rows
beyond them. So rows that are written or deleted meanwhile push no others over the edge of a page. No rows are read to
be skipped: a page costs the same, however far from the beginning it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daf_orm.sync import query_to_async
from daf_views.pagination.cursor import Position
from daf_views.pagination.keyset import Values, check_suitable, fetch
from daf_views.pagination.links import url_with
from daf_views.pagination.ordering import Key, check_names, keys_of
from daf_views.pagination.page import Page
from daf_views.pagination.paginator import Paginator, as_queryset
from daf_views.pagination.query_parameters import QueryParameter

if TYPE_CHECKING:
    from django.http import HttpRequest


@dataclass(frozen=True, kw_only=True)
class CursorPage(Page):
    """A page between two cursors."""

    def envelope(self, items: Sequence[Any]) -> dict[str, Any]:
        """Return ``{"next", "previous", "results"}``: absolute URLs, or None at an end."""
        return {"next": self.links.get("next"), "previous": self.links.get("prev"), "results": list(items)}


@dataclass(frozen=True, kw_only=True)
class CursorPagination(Paginator):
    """Pages by cursor, forward and backward: every row that exists all the time is on one page, once.

    ``ordering`` names fields, annotations, or fields over relations, as ``order_by()`` does; without it, the queryset's
    own ordering holds. The primary key is added where no column of it is unique. A cursor that was not made for the
    same path and ordering is answered 400. Other options: see :class:`~daf_views.pagination.paginator.Paginator`.
    """

    ordering: Sequence[str] = ()
    cursor_param: str = "cursor"

    def __post_init__(self) -> None:
        Paginator.__post_init__(self)
        check_names(self.ordering, f"{type(self).__qualname__}.ordering")
        object.__setattr__(self, "ordering", tuple(self.ordering))  # a list could be changed later

    async def paginate(self, request: HttpRequest, queryset: Any) -> CursorPage:
        """Return the page, by one query in one hop.

        Raises ValueError for a queryset, or an ordering, that cannot identify rows.
        """
        rows = as_queryset(queryset)
        check_suitable(rows)
        keys = keys_of(rows, self.ordering)
        size = self.read_size(request)
        salt = json.dumps([request.path_info, rows.model._meta.label, [key.name for key in keys]])  # noqa: SLF001 - public
        text = request.GET.get(self.cursor_param)
        start = None if text is None else Position.read(text, salt)
        found = await query_to_async(_fetch)(rows, keys, start, size + 1)
        before, after = _ends(found, start, size)
        links = {"first": url_with(request, **{self.cursor_param: None})}
        for rel, position in (("prev", before), ("next", after)):
            if position is not None:
                links[rel] = url_with(request, **{self.cursor_param: position.sign(salt)})
        return CursorPage(items=[row for row, _ in _in_order(found[:size], start)], links=links)

    def parameters(self) -> list[QueryParameter]:
        """Return the parameter for the cursor, and that for the page's size where clients may choose it."""
        text = "The position of the page, from the links of another page."
        cursor = QueryParameter(name=self.cursor_param, schema={"type": "string"}, description=text)
        return [cursor, *Paginator.parameters(self)]

    def envelope_schema(self, item_schema: dict[str, Any]) -> dict[str, Any]:
        """Return a JSON schema of the body, given that of an item."""
        url = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": url, "previous": url, "results": {"type": "array", "items": item_schema}}
        return {"type": "object", "required": list(properties), "properties": properties}


_Rows = list[tuple[Any, Values]]


def _fetch(queryset: Any, keys: Sequence[Key], start: Position | None, limit: int) -> _Rows:
    """Return the rows in the order of the query: from the position on, in its direction."""
    if start is None:
        return fetch(queryset, keys, None, inclusive=False, limit=limit)
    directed = [key.reversed() for key in keys] if start.is_backward else keys
    return fetch(queryset, directed, start.values, inclusive=start.is_inclusive, limit=limit)


def _in_order(rows: _Rows, start: Position | None) -> _Rows:
    return rows[::-1] if start is not None and start.is_backward else rows


def _ends(found: _Rows, start: Position | None, size: int) -> tuple[Position | None, Position | None]:
    """Return the positions of the page before this one and of the one after; None if there is none.

    The query asks for one row more than the page has, which shows if there is another page that way. The other way
    there is one: the page that the request came from.
    """
    rows = _in_order(found[:size], start)
    has_more, is_backward = len(found) > size, start is not None and start.is_backward
    has_before, has_after = (has_more, True) if is_backward else (start is not None, has_more)
    return _beside(rows[:1], start, is_backward=True) if has_before else None, (
        _beside(rows[-1:], start, is_backward=False) if has_after else None
    )


def _beside(edge: _Rows, start: Position | None, *, is_backward: bool) -> Position:
    """Return the position beside a row; on an empty page, that from which the page was looked for, turned round."""
    if edge:
        return Position(values=edge[0][1], is_backward=is_backward, is_inclusive=False)
    assert start is not None  # a first page that is empty has no neighbours
    return Position(values=start.values, is_backward=is_backward, is_inclusive=not start.is_inclusive)
