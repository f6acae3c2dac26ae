"""Make the return value of a typed handler into the response that its annotation promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.core import mail
from django.core.exceptions import SynchronousOnlyOperation
from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from daf_orm.detection.answers import reads_answers
from daf_orm.sync import query_to_async
from daf_views.http.json import encode, refuse_secrets
from daf_views.schemas import SchemaError, attributes_of
from daf_views.schemas.files import with_texts
from daf_views.schemas.rows import fetcher
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FrameType, FunctionType

    from daf_views.handlers.signature import Signature
    from daf_views.pagination import Page
    from daf_views.schemas import Schema


async def answer(signature: Signature, value: Any) -> Any:
    """Return the response. One that the handler has made, and a value without annotation, is returned unchanged.

    A queryset is evaluated in one call. Raises TypeError, a bug, for a value that is not as promised. A
    value that is of the right class already is checked only where :func:`validates`.
    """
    if isinstance(value, HttpResponseBase) or not signature.has_answer:
        return value
    if signature.answer is None:
        if value is not None:
            raise TypeError(f"{signature.name} returned {type(value).__name__}, but is annotated with None.")
        return without_content(signature.status)
    if isinstance(value, QuerySet):
        refuse_secrets(value)
        value = await query_to_async(fetcher(signature.answer.reader, value))()
    return HttpResponse(dumped(signature, value), status=signature.status, content_type="application/json")


def paged(signature: Signature, page: Page) -> HttpResponse:
    """Return the response of a page, whose items are those of the list that the handler promises."""
    schema = signature.answer
    assert schema is not None
    body = encode(page.envelope(schema.plain(_shaped(signature, schema, page.items))))
    return HttpResponse(body, status=signature.status, content_type="application/json", headers=page.headers)


def dumped(signature: Signature, value: Any) -> bytes:
    """Return what a handler has returned as JSON. Raises TypeError, as above."""
    schema = signature.answer
    assert schema is not None
    return schema.dump(_shaped(signature, schema, value))


def _shaped(signature: Signature, schema: Schema, value: Any) -> Any:
    try:
        return _shaped_with_files(schema, signature.returns, value)
    except SynchronousOnlyOperation as error:  # a relation that was not loaded: the note tells for what it was read
        error.add_note(f"It was read to convert the return value of {signature.name} to {signature.returns!r}.")
        raise
    except SchemaError as error:
        raise TypeError(f"The return value of {signature.name} is not {signature.returns!r}: {error}") from error


def _handler_of(frame: FrameType) -> tuple[CodeType, str] | None:
    """Return the handler whose return value a frame of :func:`_shaped` converts."""
    signature: Signature = frame.f_locals["signature"]
    return None if signature.code is None else (signature.code, signature.module)


reads_answers(cast("FunctionType", _shaped), _handler_of)


def _shaped_with_files(schema: Schema, kind: Any, value: Any) -> Any:
    """Return the value as one of the type. Only where it does not fit is it searched for files of models."""
    try:
        return schema.shape(value, is_checked=validates())
    except SchemaError:
        texts, has_files = with_texts(value, kind, attributes_of)
        if not has_files:
            raise
        return schema.shape(texts, is_checked=validates())


def validates() -> bool:
    """Return True if return values are checked whole: ``VALIDATE_OUTPUT``, by default with DEBUG and in tests."""
    wanted = get_settings().VALIDATE_OUTPUT
    return wanted if wanted is not None else settings.DEBUG or hasattr(mail, "outbox")  # test runners set the outbox up


def without_content(status: int, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a response that has no content, and so no type of it."""
    response = HttpResponse(status=status, headers=headers)
    response.headers.pop("Content-Type", None)
    return response
