"""What callers may ask: query strings and orders, checked and made into values, or refused with a reason.

A wrong query string is a 400 that names the parameter. A wrong order is a 422 that points into the body (RFC 9457 §3).
That the body is JSON, and not too large, has been seen to by ``request.data``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest

from daf_views.exceptions import BadRequestError, FieldError, InvalidDataError

MAX_LIMIT = 100
MAX_OFFSET = 1_000_000
MAX_SEARCH = 100
MAX_CUSTOMER = 254  # the column's length
MAX_LINES = 50
MAX_QUANTITY = 100
MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A window on a list: `limit` rows after the first `offset`."""

    limit: int
    offset: int

    @classmethod
    def from_request(cls, request: HttpRequest) -> Page:
        """Read ``?limit=20&offset=0``."""
        return cls(
            limit=_query_integer(request.GET, "limit", default=20, low=1, high=MAX_LIMIT),
            offset=_query_integer(request.GET, "offset", default=0, low=0, high=MAX_OFFSET),
        )

    @property
    def window(self) -> slice:
        """The page as the slice of a queryset."""
        return slice(self.offset, self.offset + self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A checked order: who buys, and how many copies by book id."""

    customer: str
    quantities: dict[int, int]

    @classmethod
    def from_data(cls, data: object) -> OrderRequest:
        """Read ``{"customer": "ada@example.com", "lines": [{"book": 1, "quantity": 2}]}``."""
        if not isinstance(data, dict):
            raise _wrong("#", "An order is a JSON object.")
        return cls(customer=_customer(data.get("customer")), quantities=_quantities(data.get("lines")))


def search_words(request: HttpRequest) -> str:
    """Read ``?q=...``."""
    words = request.GET.get("q", "").strip()
    if not words or len(words) > MAX_SEARCH or not words.isprintable():
        raise BadRequestError(f"'q' must be 1 to {MAX_SEARCH} printable characters.", parameter="q")
    return words


def _query_integer(query: Mapping[str, Any], name: str, *, default: int, low: int, high: int) -> int:
    try:
        value = int(query.get(name, default))
    except ValueError:
        raise BadRequestError(f"{name!r} must be a whole number.", parameter=name) from None
    if not low <= value <= high:
        raise BadRequestError(f"{name!r} must be from {low} to {high}.", parameter=name)
    return value


def _customer(value: object) -> str:
    # Printable first: Django's address pattern lets control characters through, and no page should show those.
    if isinstance(value, str) and value.isprintable() and len(value) <= MAX_CUSTOMER:
        with suppress(ValidationError):
            validate_email(value)
            return value
    raise _wrong("#/customer", "This must be an e-mail address.")


def _quantities(lines: object) -> dict[int, int]:
    if not isinstance(lines, list) or not 1 <= len(lines) <= MAX_LINES:
        raise _wrong("#/lines", f"This must be a list of 1 to {MAX_LINES} lines.")
    quantities: dict[int, int] = {}
    for number, line in enumerate(lines):
        book, quantity = _line(line, f"#/lines/{number}")
        if book in quantities:
            raise _wrong(f"#/lines/{number}/book", f"Book {book} is listed twice.")
        quantities[book] = quantity
    return quantities


def _line(line: object, pointer: str) -> tuple[int, int]:
    if not isinstance(line, dict):
        raise _wrong(pointer, "A line is an object with 'book' and 'quantity'.")
    return (
        _line_integer(line.get("book"), f"{pointer}/book", high=MAX_ID),
        _line_integer(line.get("quantity"), f"{pointer}/quantity", high=MAX_QUANTITY),
    )


def _line_integer(value: object, pointer: str, *, high: int) -> int:
    # bool is an int in Python, and no one orders `true` copies.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
        raise _wrong(pointer, f"This must be a whole number from 1 to {high}.")
    return value


def _wrong(pointer: str, detail: str) -> InvalidDataError:
    return InvalidDataError(f"{pointer}: {detail}", errors=[FieldError(pointer=pointer, detail=detail)])
