"""Query parameters: their description, and how a number is read from one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daf_views.exceptions import BadRequestError

if TYPE_CHECKING:
    from django.http import HttpRequest

_DIGITS = 18
_NUMBER = re.compile(
    f"[0-9]{{1,{_DIGITS}}}"
)  # a database holds so many; int() would also take "1_0", " 1 " and other scripts' digits
LARGEST = 10**_DIGITS - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryParameter:
    """A parameter that a paginator reads, for OpenAPI."""

    name: str
    schema: dict[str, Any]
    """A JSON schema of its value."""
    description: str


def read_number(request: HttpRequest, name: str, *, default: int, at_most: int | None = None) -> int:
    """Return the whole number from 1 on that a parameter holds. Raise BadRequestError for anything else."""
    text = request.GET.get(name)
    if text is None:
        return default
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if number < 1 or (at_most is not None and number > at_most):
        limit = "of at most 18 digits, from 1 on" if at_most is None else f"from 1 to {at_most}"
        detail = f"The query parameter {name} must be a whole number {limit}."
        raise BadRequestError(detail, code="invalid_parameter", parameter=name)
    return number
