"""The responses of an operation: what the handler answers, and the problems that may come instead."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from daf_views import exceptions
from daf_views.errors.problems import CONTENT_TYPE
from daf_views.http.methods import READING, WITHOUT_CONTENT
from daf_views.http.parsers import MultiPartParser
from daf_views.openapi.conditional import ETAG, is_conditional, is_read
from daf_views.openapi.described import answers_of
from daf_views.openapi.raises import raised_by
from daf_views.openapi.security import is_open
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_views.handlers.arguments import ArgumentPlan
    from daf_views.handlers.signature import Signature
    from daf_views.openapi.components import Components
    from daf_views.openapi.described import Answer
    from daf_views.openapi.endpoints import Endpoint

_BINARY = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS = {
    401: ("WWW-Authenticate", "How to prove who one is."),
    415: ("Accept", "The media types that are read."),
    429: ("Retry-After", "Seconds to wait."),
    503: ("Retry-After", "Seconds to wait."),
}


def responses(
    endpoint: Endpoint, method: str, signature: Signature, plan: ArgumentPlan, components: Components
) -> dict[str, Any]:
    """Return the Responses Object."""
    problems = sorted(set(_problems(endpoint, method, signature, plan)))
    made = {str(status): _problem(status, components) for status in problems}
    said = answers_of(getattr(endpoint.view, method.lower()))
    own = {str(answer.status): _answer(answer, components) for answer in said}
    if any(answer.status < HTTPStatus.BAD_REQUEST for answer in said) and not signature.has_answer:
        return {**own, **{status: each for status, each in made.items() if status not in own}}
    return {**_success(endpoint, method, signature, components), **made, **own}


def _answer(answer: Answer, components: Components) -> dict[str, Any]:
    """Return the Response Object of what ``@responds`` says."""
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


def _success(endpoint: Endpoint, method: str, signature: Signature, components: Components) -> dict[str, Any]:
    headers = {"headers": {**ETAG}} if is_read(endpoint, method) else {}
    if not signature.has_answer:
        if signature.is_stream:
            return {"200": {"description": HTTPStatus.OK.phrase, **headers, "content": _BINARY}}
        return {"2XX": {"description": "Success", **headers}}
    response: dict[str, Any] = {"description": HTTPStatus(signature.status).phrase, **headers}
    if signature.answer is not None:
        schema = components.schema(signature.answer, is_output=True)
        if is_paged(endpoint, signature):
            schema = endpoint.option("pagination").envelope_schema(components.resolved(schema).get("items", {}))
            link = {"Link": {"description": "Other pages (RFC 8288).", "schema": {"type": "string"}}}
            response["headers"] = {**response.get("headers", {}), **link}
        response["content"] = {"application/json": {"schema": schema}}
    return {str(signature.status): response}


def is_paged(endpoint: Endpoint, signature: Signature) -> bool:
    """Whether what is answered comes in pages."""
    return endpoint.option("pagination") is not None and signature.answers_list


def _problems(endpoint: Endpoint, method: str, signature: Signature, plan: ArgumentPlan) -> Iterator[int]:
    """Yield the statuses of the problems that DAF or the handler answers with."""
    yield from (500, 503)  # a bug; too many requests for the pool
    yield from (error.default_status for error in raised_by(getattr(endpoint.view, method.lower())))
    yield from _of_who_asks(endpoint, method)
    yield from _of_what_is_sent(endpoint, method, plan)
    yield from _of_what_is_there(endpoint, method, signature)
    if endpoint.option("deadline"):
        yield 504


def _of_who_asks(endpoint: Endpoint, method: str) -> Iterator[int]:
    if endpoint.option("authentication"):
        yield 401
    if not is_open(endpoint, method) or (method not in READING and endpoint.option("enforces_csrf")):
        yield 403
    if endpoint.option("throttle") or endpoint.option("throttles") or _is_throttled(endpoint.path):
        yield 429


def _of_what_is_sent(endpoint: Endpoint, method: str, plan: ArgumentPlan) -> Iterator[int]:
    if plan.takes_what_may_be_wrong:
        yield 422
    if method not in WITHOUT_CONTENT:
        yield from (400, 408, 413, 415)
        if any(isinstance(parser, MultiPartParser) for parser in endpoint.option("parsers")):
            yield 411
    if (idempotency := endpoint.option("idempotency")) is not None and method in idempotency.methods:
        yield from idempotency.extra_statuses


def _of_what_is_there(endpoint: Endpoint, method: str, signature: Signature) -> Iterator[int]:
    if endpoint.parameters:
        yield 404
    if is_paged(endpoint, signature):
        yield from (400, 404)
    if is_conditional(endpoint):
        yield from (304,) if method in READING else (400, 412)
        if method not in READING and endpoint.option("requires_if_match"):
            yield 428


def _is_throttled(path: str) -> bool:
    return any(path == each or path.startswith(each.rstrip("/") + "/") for each in get_settings().THROTTLED_PATHS)


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
