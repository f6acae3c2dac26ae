"""The responses of an operation: those of the handler, and the problems that may come instead."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from daf_views import exceptions
from daf_views.errors.problems import CONTENT_TYPE
from daf_views.openapi.described import answers_of
from daf_views.openapi.raises import raised_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_views._core.description import Description
    from daf_views.handlers.arguments import ArgumentPlan
    from daf_views.handlers.signature import Signature
    from daf_views.openapi.components import Components
    from daf_views.openapi.described import Answer
    from daf_views.openapi.endpoints import Endpoint

_BINARY = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS = {
    401: ("WWW-Authenticate", "How to authenticate."),
    415: ("Accept", "The media types that are accepted."),
    429: ("Retry-After", "Seconds to wait."),
    503: ("Retry-After", "Seconds to wait."),
}


def responses(
    endpoint: Endpoint,
    described: Description,
    signature: Signature,
    plan: ArgumentPlan,
    components: Components,
) -> dict[str, Any]:
    """Return the Responses Object."""
    handler = getattr(endpoint.view, described.method.lower())
    problems = sorted(set(_problems(endpoint, described, handler, plan)))
    made = {str(status): _problem(status, components) for status in problems}
    said = answers_of(handler)
    own = {str(answer.status): _answer(answer, components) for answer in said}
    if any(answer.status < HTTPStatus.BAD_REQUEST for answer in said) and not signature.has_answer:
        return {**own, **{status: each for status, each in made.items() if status not in own}}
    return {**_success(described, signature, components), **made, **own}


def _answer(answer: Answer, components: Components) -> dict[str, Any]:
    """Return the Response Object of a ``@responds``."""
    response: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        response["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in answer.headers.items()
        }
    if answer.media_type is not None:
        schema = {} if answer.schema is None else components.schema(answer.schema, is_output=True)
        response["content"] = {answer.media_type: {"schema": schema}}
    return response


def _success(described: Description, signature: Signature, components: Components) -> dict[str, Any]:
    headers = {"headers": dict(sorted(described.response_headers.items()))} if described.response_headers else {}
    if not signature.has_answer:
        if signature.is_stream:
            return {"200": {"description": HTTPStatus.OK.phrase, **headers, "content": _BINARY}}
        return {"2XX": {"description": "Success", **headers}}
    response: dict[str, Any] = {"description": HTTPStatus(signature.status).phrase, **headers}
    if signature.answer is not None:
        schema = components.schema(signature.answer, is_output=True)
        if described.envelope is not None:
            schema = described.envelope(components.resolved(schema).get("items", {}))
        response["content"] = {"application/json": {"schema": schema}}
    return {str(signature.status): response}


def _problems(endpoint: Endpoint, described: Description, handler: Any, plan: ArgumentPlan) -> Iterator[int]:
    """Yield the statuses of the problems that DAF or the handler answers with."""
    yield from (500, 503)  # a bug; too many requests for the pool
    yield from (error.default_status for error in raised_by(handler))
    yield from described.statuses
    if plan.takes_client_data:
        yield 422
    if endpoint.parameters:
        yield 404


def _problem(status: int, components: Components) -> dict[str, Any]:
    """Return a reference to the problem of a status, which all operations share."""
    if status == HTTPStatus.NOT_MODIFIED:
        return {"description": HTTPStatus.NOT_MODIFIED.phrase}
    title = _title(status)
    example = {"type": "about:blank", "title": title, "status": status}
    response: dict[str, Any] = {
        "description": title,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
    if (header := _HEADERS.get(status)) is not None:
        name, description = header
        response["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return components.response("".join(filter(str.isalnum, title.title())), response)


def _title(status: int) -> str:
    return exceptions.APIError(status=status).title
