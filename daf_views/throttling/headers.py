"""The header fields with the remaining quota: ``RateLimit`` and ``RateLimit-Policy``.

Source: draft-ietf-httpapi-ratelimit-headers-10, in the syntax of RFC 9651 (structured fields).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from daf_views.http.request import call_with_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views.throttling.quota import Quota

PROBLEM_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_NOTES, _ANSWERED = "daf_views_limits", "daf_views_answered"

Response = TypeVar("Response", bound="HttpResponseBase")


def note(request: HttpRequest, policy: str, limit: str) -> None:
    """Remember an item of either field for the response to a request."""
    call_with_response(request, with_limits)
    request.__dict__.setdefault(_NOTES, []).append((policy, limit))


def note_quotas(request: HttpRequest, names: Sequence[str], quotas: Sequence[Quota]) -> None:
    """Remember quotas for the response to a request."""
    for name, quota in zip(names, quotas, strict=True):
        policy, remaining = (
            f"{quoted(name)};q={quota.limit};w={quota.rate.period}",
            f"{quoted(name)};r={quota.remaining}",
        )
        note(request, policy, f"{remaining};t={math.ceil(quota.reset_after)}")


def with_limits(response: Response, request: HttpRequest) -> Response:
    """Return the response with the fields that were noted for its request."""
    request.__dict__[_ANSWERED] = True
    if notes := request.__dict__.get(_NOTES):
        response.headers["RateLimit-Policy"] = ", ".join(policy for policy, _ in notes)
        response.headers["RateLimit"] = ", ".join(limit for _, limit in notes)
    return response


def is_answered(request: HttpRequest) -> bool:
    """Return True if there has been a response: the code that sends it closes the request."""
    return _ANSWERED in request.__dict__


def quoted(text: str) -> str:
    r"""Return a String of structured fields. Raises ValueError for other characters than printable ASCII."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{text!r} cannot be the name of a limit in a header: use printable ASCII characters.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
