"""The headers in which requests of a ``ConditionalView`` say their conditions (RFC 9110 §13.1), and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daf_views.conditional import ConditionalView
from daf_views.http.methods import READING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_views.openapi.endpoints import Endpoint

_TAG = r'(W/)?"[!#-~\x80-\xff]*"'
# What conditional.parse_tags() takes: * or a list, in which elements may be empty.
_TAGS = {
    "type": "string",
    "pattern": rf"^[ \t]*(\*|[ \t,]*{_TAG}([ \t]*,[ \t,]*{_TAG})*[ \t,]*)[ \t]*$",
    "examples": ['"7"'],
}
ETAG = {"ETag": {"description": "The version (RFC 9110 §8.8.3).", "schema": {"type": "string"}}}


def is_conditional(endpoint: Endpoint) -> bool:
    """Whether the view looks at conditions."""
    return issubclass(endpoint.view, ConditionalView)


def is_read(endpoint: Endpoint, method: str) -> bool:
    """Whether the view tells the version of what it answers with."""
    return is_conditional(endpoint) and method in READING


def condition_parameters(endpoint: Endpoint, method: str) -> Iterator[dict[str, Any]]:
    """Yield the Parameter Objects. A client that reads has use for one, a client that writes for the other."""
    if not is_conditional(endpoint):
        return
    if method in READING:
        # Anything may stand there: what is no tag keeps nobody from reading, and is not looked at.
        anything = {"type": "string", "examples": _TAGS["examples"]}
        yield _parameter("If-None-Match", "Answer 304 if this is still the version.", anything, required=False)
    elif method in {"PUT", "PATCH", "DELETE"}:
        required = bool(endpoint.option("requires_if_match"))
        yield _parameter("If-Match", "Write over this version and no other, or answer 412.", _TAGS, required=required)


def _parameter(name: str, description: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}
