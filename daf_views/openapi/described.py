"""Details of an operation beside its annotations: other responses, its id, its tags, that it is deprecated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from daf_views.schemas import Schema, schema_of

F = TypeVar("F")

_ANSWERS, _DETAILS = "daf_views_responds", "daf_views_operation"
_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response of a handler."""

    status: int
    schema: Schema | None
    media_type: str | None
    headers: Mapping[str, str]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The details that an operation states."""

    id: str | None = None
    tags: Sequence[str] | None = None
    deprecated: bool = False


def responds(
    status: int,
    kind: Any = None,
    *,
    media_type: str | None = None,
    headers: Mapping[str, str] | None = None,
    description: str = "",
) -> Callable[[F], F]:
    """Document a further response: ``@responds(202, Job)``, ``@responds(200, media_type="text/csv")``.

    ``kind`` is the type of the data, JSON unless ``media_type`` says otherwise; without either there is no content.
    ``headers`` are their descriptions, by name. For several statuses, decorate several times; where any is a success,
    they replace the response of the return annotation. Raises TypeError for an invalid status or type.
    """
    if status not in set(HTTPStatus):
        raise TypeError(f"responds({status!r}): there is no such status.")
    answer = Answer(
        status=status,
        schema=None if kind is None else schema_of(kind),
        media_type=media_type or (None if kind is None else _JSON),
        headers=headers or {},
        description=description or HTTPStatus(status).phrase,
    )

    def mark(handler: F) -> F:
        setattr(handler, _ANSWERS, (answer, *getattr(handler, _ANSWERS, ())))
        return handler

    return mark


def operation(
    *,
    id: str | None = None,  # noqa: A002 - the word of OpenAPI
    tags: Sequence[str] | None = None,
    deprecated: bool = False,
) -> Callable[[F], F]:
    """Set the id, tags and deprecation of an operation: on a handler, or on a view class for all its handlers."""
    if isinstance(tags, str):
        raise TypeError(f"operation(tags={tags!r}): give a list of tags.")
    details = Details(id=id, tags=None if tags is None else tuple(tags), deprecated=deprecated)

    def mark(target: F) -> F:
        if isinstance(target, type) and id is not None:
            raise TypeError(f"{target.__qualname__} has several handlers: give each operation its id on the handler.")
        setattr(target, _DETAILS, details)
        return target

    return mark


def answers_of(handler: Any) -> tuple[Answer, ...]:
    """Return the documented responses of a handler."""
    answers: tuple[Answer, ...] = getattr(handler, _ANSWERS, ())
    return answers


def details_of(view: type, handler: Any) -> Details:
    """Return the details of a handler, completed by those of its view."""
    own, shared = (getattr(each, _DETAILS, Details()) for each in (handler, view))
    return Details(
        id=own.id,
        tags=shared.tags if own.tags is None else own.tags,
        deprecated=own.deprecated or shared.deprecated,
    )
