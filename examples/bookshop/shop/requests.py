"""What callers may ask: query strings and order bodies, parsed into values or refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig, ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest

from shop.errors import BodyTooLargeError, InvalidRequestError

MAX_LIMIT = 100
MAX_OFFSET = 1_000_000
MAX_SEARCH = 100
MAX_LINES = 50
MAX_QUANTITY = 100
MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A window on a list: `limit` rows after the first `offset`."""

    limit: int
    offset: int

    @classmethod
    def from_query(cls, query: Mapping[str, Any]) -> Page:
        """Read ``?limit=20&offset=0``."""
        return cls(
            limit=_query_integer(query, "limit", default=20, low=1, high=MAX_LIMIT),
            offset=_query_integer(query, "offset", default=0, low=0, high=MAX_OFFSET),
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
    def from_request(cls, request: HttpRequest) -> OrderRequest:
        """Read ``{"customer": "ada@example.com", "lines": [{"book": 1, "quantity": 2}]}``."""
        body = _json_object(_body(request))
        return cls(customer=_customer(body.get("customer")), quantities=_quantities(body.get("lines")))


def search_words(query: Mapping[str, Any]) -> str:
    """Read ``?q=...``."""
    words = str(query.get("q", "")).strip()
    if not words or len(words) > MAX_SEARCH or not words.isprintable():
        raise InvalidRequestError(f"'q' must be 1 to {MAX_SEARCH} printable characters.", field="q")
    return words


def _query_integer(query: Mapping[str, Any], name: str, *, default: int, low: int, high: int) -> int:
    try:
        value = int(query.get(name, default))
    except ValueError:
        raise InvalidRequestError(f"{name!r} must be a whole number.", field=name) from None
    if not low <= value <= high:
        raise InvalidRequestError(f"{name!r} must be from {low} to {high}.", field=name)
    return value


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig:
        raise BodyTooLargeError("The body is larger than any order the shop takes.") from None


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequestError("The body must be JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return value


def _customer(value: object) -> str:
    # Printable first: Django's address pattern lets lone surrogates through, and no database stores those.
    if isinstance(value, str) and value.isprintable():
        with suppress(ValidationError):
            validate_email(value)
            return value
    raise InvalidRequestError("'customer' must be an e-mail address.", field="customer")


def _quantities(lines: object) -> dict[int, int]:
    if not isinstance(lines, list) or not 1 <= len(lines) <= MAX_LINES:
        raise InvalidRequestError(f"'lines' must be a list of 1 to {MAX_LINES} lines.", field="lines")
    quantities: dict[int, int] = {}
    for line in lines:
        book, quantity = _line(line)
        if book in quantities:
            raise InvalidRequestError(f"Book {book} is listed twice.", field="lines", book=book)
        quantities[book] = quantity
    return quantities


def _line(line: object) -> tuple[int, int]:
    if not isinstance(line, dict):
        raise InvalidRequestError("Each line must be an object with 'book' and 'quantity'.", field="lines")
    return (
        _line_integer(line, "book", high=MAX_ID),
        _line_integer(line, "quantity", high=MAX_QUANTITY),
    )


def _line_integer(line: dict[str, Any], name: str, *, high: int) -> int:
    value = line.get(name)
    # bool is an int in Python, and no one orders `true` copies.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
        raise InvalidRequestError(f"{name!r} must be a whole number from 1 to {high}.", field=name)
    return value
