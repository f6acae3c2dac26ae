"""The conditions of a request (RFC 9110 §13), and the entity tags and dates that they compare."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from django.utils.http import http_date, parse_http_date_safe
from django.utils.timezone import is_naive, make_aware

from daf_views.exceptions import BadRequestError, PreconditionFailedError, PreconditionRequiredError
from daf_views.http.methods import OVERWRITING, READING

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

Version = str | int | datetime
"""A value that changes whenever the instance does: a number that counts, a digest, the time of the last change."""
Response = TypeVar("Response", bound="HttpResponseBase")

# One element of a list: there may be empty ones before it (RFC 9110 §5.6.1). A tag may hold commas.
_ELEMENT = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?=,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityTag:
    """An entity tag (RFC 9110 §8.8.3)."""

    opaque: str
    is_weak: bool = False

    @classmethod
    def of(cls, version: Version) -> EntityTag:
        """Return the strong tag of a version; of a time, to the microsecond, in UTC. Raises TypeError for others."""
        if isinstance(version, datetime):
            at = version if is_naive(version) else version.astimezone(UTC)
            return cls(opaque=at.isoformat(timespec="microseconds"))
        if isinstance(version, bool) or not isinstance(version, str | int):
            raise TypeError(f"A version is a str, an int or a datetime, not {type(version).__name__}.")
        # No quotes, and no commas, at which Django's parser would cut it.
        return cls(opaque=quote(str(version), safe="!$&'()*+:;=?@/"))

    def matches(self, other: EntityTag, *, strongly: bool) -> bool:
        """Compare two tags (RFC 9110 §8.8.3.2): strongly, no weak one matches."""
        return self.opaque == other.opaque and not (strongly and (self.is_weak or other.is_weak))

    def __str__(self) -> str:
        return f'{"W/" if self.is_weak else ""}"{self.opaque}"'


def parse_tags(field: str) -> list[EntityTag] | None:
    """Return the tags of a list, None for ``*``. Raises ValueError for anything else."""
    if field.strip() == "*":
        return None
    tags: list[EntityTag] = []
    end = 0
    while match := _ELEMENT.match(field, end):
        tags.append(EntityTag(opaque=match[2], is_weak=match[1] is not None))
        end = match.end()
    if not tags or field[end:].strip(" \t,"):
        raise ValueError(f"{field!r} is not a list of entity tags.")
    return tags


def check_preconditions(request: HttpRequest, version: Version | None, *, requires_if_match: bool = False) -> None:
    """Evaluate the conditions of a request against the version of what it is about, in the order of RFC 9110 §13.2.2.

    None: there is no such resource yet. Raises PreconditionFailedError, or NotModified for GET and HEAD. Raises
    PreconditionRequiredError for PUT, PATCH and DELETE without ``If-Match`` where that is required, and BadRequestError
    for a malformed field that was to keep the request from writing.
    """
    tag = None if version is None else EntityTag.of(version)
    modified = _timestamp(version)
    if "If-Match" in request.headers:
        _check(_is_among(request, "If-Match", tag, strongly=True))
    elif requires_if_match and tag is not None and request.method in OVERWRITING:
        raise PreconditionRequiredError
    elif modified is not None and (since := _date(request, "If-Unmodified-Since")) is not None:
        _check(modified <= since)
    if "If-None-Match" in request.headers:
        if _is_among(request, "If-None-Match", tag, strongly=False):
            _check(request.method in READING)
            raise NotModified(version)
    elif request.method in READING and modified is not None:
        since = _date(request, "If-Modified-Since")
        if since is not None and modified <= since:
            raise NotModified(version)


def tag_response(response: Response, version: Version) -> Response:
    """Return the response with the ``ETag`` of a version, and ``Last-Modified`` where that is a time."""
    response.headers["ETag"] = str(EntityTag.of(version))
    if (modified := _timestamp(version)) is not None:
        response.headers["Last-Modified"] = http_date(modified)
    return response


class NotModified(Exception):  # noqa: N818 - no error: the client has it already
    """Leaves a handler for the 304 that ConditionalView answers."""

    def __init__(self, version: Any) -> None:
        super().__init__()
        self.version = version


def _check(condition: bool) -> None:  # noqa: FBT001 - that is all it takes
    if not condition:
        raise PreconditionFailedError


def _is_among(request: HttpRequest, field: str, tag: EntityTag | None, *, strongly: bool) -> bool:
    """Return True if a field lists the tag, or is ``*`` and there is one."""
    try:
        tags = parse_tags(request.headers[field])
    except ValueError as error:
        if field == "If-None-Match" and request.method in READING:
            return False  # it could only have saved the client something
        detail = f'{field} must be * or a list of entity tags, as "7", "8".'
        raise BadRequestError(detail, code="malformed_precondition") from error
    if tags is None or tag is None:
        return tag is not None
    return any(tag.matches(each, strongly=strongly) for each in tags)


def _date(request: HttpRequest, field: str) -> int | None:
    """Return the seconds since 1970 of a field. One that is no date counts as none (RFC 9110 §13.1.3)."""
    return parse_http_date_safe(request.headers.get(field, ""))


def _timestamp(version: Version | None) -> int | None:
    """Return the seconds since 1970 of a version that is a time: HTTP knows no fractions."""
    if not isinstance(version, datetime):
        return None
    return math.floor((make_aware(version) if is_naive(version) else version).timestamp())
