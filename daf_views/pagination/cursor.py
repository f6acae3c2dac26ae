"""Positions in an ordering, as the text of a cursor: signed, so that only cursors issued by this site are accepted.

Signed is not encrypted: a client can read the values in a cursor, those of the last row's ordering columns.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core import signing

from daf_views.exceptions import BadRequestError

_SEPARATOR = "."  # needs no escape in a URL

_FORMS: tuple[tuple[str, type | tuple[type, ...], Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    ("datetime", datetime, datetime.isoformat, datetime.fromisoformat),  # before date, which it is, too
    ("date", date, date.isoformat, date.fromisoformat),
    ("time", time, time.isoformat, time.fromisoformat),
    ("duration", timedelta, lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)),
    ("decimal", Decimal, str, Decimal),
    ("uuid", UUID, lambda v: v.hex, UUID),
    ("bytes", (bytes, memoryview), lambda v: base64.b64encode(v).decode(), base64.b64decode),
)
"""Types that JSON lacks: a tag, the type, and how it is written and read, exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The place beside a row, and the direction of the page that begins there."""

    values: tuple[Any, ...]
    is_backward: bool
    is_inclusive: bool
    """True if a row with these values is on the page: only where the page on the other side was empty."""

    def sign(self, salt: str) -> str:
        """Return the text of a cursor. Raises TypeError for values that cannot be written exactly."""
        content = [self.is_backward + 2 * self.is_inclusive, *map(_encoded, self.values)]
        return _signer(salt).sign_object(content, serializer=_Serializer)

    @classmethod
    def read(cls, text: str, salt: str) -> Position:
        """Return the position that was signed with the same salt. Raise BadRequestError for any other text."""
        try:
            flags, *values = _signer(salt).unsign_object(text, serializer=_Serializer)
        except signing.BadSignature:
            raise BadRequestError(
                "Invalid cursor: it was not issued for this list and ordering. Follow the links of a page, or omit it.",
                code="invalid_cursor",
            ) from None
        return cls(values=tuple(map(_decoded, values)), is_backward=bool(flags & 1), is_inclusive=bool(flags & 2))


class _Serializer:
    """Compact JSON. The salt of the signature decides over the version of the format."""

    def dumps(self, obj: Any) -> bytes:
        return json.dumps(obj, separators=(",", ":")).encode("ascii")

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


def _signer(salt: str) -> signing.Signer:
    return signing.Signer(salt=f"daf_views.pagination.1:{salt}", sep=_SEPARATOR)


def _encoded(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for tag, kind, write, _ in _FORMS:
        if isinstance(value, kind):
            return {tag: write(value)}
    raise TypeError(
        f"A cursor cannot hold a {type(value).__name__}, which the queryset is ordered by: order it by another column."
    )


def _decoded(written: Any) -> Any:
    if not isinstance(written, dict):
        return written
    ((tag, value),) = written.items()
    return next(read for known, _, _, read in _FORMS if known == tag)(value)
