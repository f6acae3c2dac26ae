"""The stored form of a response, which is replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from django.http import HttpResponse

from daf_views.idempotency.exceptions import AnswerNotKeptError

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

REPLAYED = "Idempotency-Replayed"
_SERVER_ERROR = 500
_NOT_FINAL = frozenset({401, 403, 408, 425, 429})
"""Statuses after which a client retries with the same key: it must authenticate, or wait."""
_OF_ONE_RESPONSE = frozenset({"connection", "date", "keep-alive", "set-cookie", "transfer-encoding"})
"""Headers that would be wrong in a replay, or are secret (RFC 9110 §7.6.1, §6.6.1; RFC 6265)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """The stored part of a response."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """None: it was too large, or a stream. The store still knows that the request has been carried out."""

    @classmethod
    def of(cls, response: HttpResponseBase, max_size: int) -> Self:
        """Return the stored form of a response: only the status if it has more than ``max_size`` bytes."""
        if not isinstance(response, HttpResponse) or not getattr(response, "is_rendered", True):
            return cls(status=response.status_code)
        headers = tuple(item for item in response.headers.items() if item[0].lower() not in _OF_ONE_RESPONSE)
        body = response.content
        if len(body) + sum(len(name) + len(value) for name, value in headers) > max_size:
            return cls(status=response.status_code)
        return cls(status=response.status_code, headers=headers, body=body)

    def replay(self) -> HttpResponse:
        """Return the response, marked as a replay. Raises AnswerNotKeptError if it was not stored."""
        if self.body is None:
            detail = "The request with this Idempotency-Key was completed, but its response could not be stored."
            raise AnswerNotKeptError(detail, answered_with=self.status)
        response = HttpResponse(self.body, status=self.status)
        del response.headers["Content-Type"]  # the stored headers have it, if it had one
        for name, value in self.headers:
            response.headers[name] = value
        response.headers[REPLAYED] = "true"
        return response


def is_final(status: int) -> bool:
    """Return True if a retry would get the same status: success, a redirect, or an error that recurs."""
    return status < _SERVER_ERROR and status not in _NOT_FINAL
