"""Errors for clients whose ``Idempotency-Key`` cannot be served.

Source: draft-ietf-httpapi-idempotency-key-header-07 §2.7.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from daf_views.exceptions import APIError, BadRequestError, ConflictError


class MissingKeyError(BadRequestError):
    """400: the view requires a key, and there is none."""

    default_code = "idempotency_key_missing"
    default_detail = (
        "This request requires an Idempotency-Key header. Send a new key, such as a UUID, for each new request."
    )


class MalformedKeyError(BadRequestError):
    """400: the header has no valid key."""

    default_code = "idempotency_key_malformed"


class InFlightError(ConflictError):
    """409: the first request with this key has not been answered yet."""

    default_code = "idempotency_key_in_flight"
    default_detail = "A request with this Idempotency-Key is still being processed. Retry later."

    def __init__(self, detail: str | None = None, **kwargs: Any) -> None:
        super().__init__(detail, headers={"Retry-After": "1"}, **kwargs)


class AnswerNotKeptError(ConflictError):
    """409: the first request with this key has had its effect, and its response cannot be replayed."""

    default_code = "idempotency_answer_not_kept"


class ReusedKeyError(APIError):
    """422: the key has been used for another request."""

    default_status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_title = "Unprocessable Content"  # RFC 9110's name; Python's has it from 3.13 on
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used for a different request. Send a new key."
