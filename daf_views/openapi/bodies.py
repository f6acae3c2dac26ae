"""The body of an operation, in the media types that it can come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.files.uploadedfile import UploadedFile

from daf_views.schemas.annotations import is_list, is_object, item_of, members

if TYPE_CHECKING:
    from daf_views.handlers.arguments import ArgumentPlan, Asked
    from daf_views.openapi.components import Components
    from daf_views.openapi.endpoints import Endpoint

_JSON, _URLENCODED, _MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
_FORMS = frozenset({_URLENCODED, _MULTIPART})


def request_body(endpoint: Endpoint, method: str, plan: ArgumentPlan, components: Components) -> dict[str, Any] | None:
    """Return the Request Body Object; None if the handler's annotations have no body."""
    asked = plan.body
    if asked is None and (method == "DELETE" or method.lower() in endpoint.view.handler_signatures):
        return None
    media_types = [
        each for each in endpoint.described(method).media_types if asked is None or _may_come_in(asked, each)
    ]
    if not media_types:
        return None
    content = {each: {"schema": {} if asked is None else _schema(asked, each, components)} for each in media_types}
    return {"content": content, "required": asked is not None and asked.parameter.is_required}


def _may_come_in(asked: Asked, media_type: str) -> bool:
    """Return True if a type can be sent as a media type: files only in a multipart form, objects not urlencoded."""
    fields = asked.schema.fields()
    if fields is None:
        return media_type not in _FORMS
    if any(_is_file(kind) for kind in fields.values()):
        return media_type == _MULTIPART
    return media_type != _URLENCODED or not any(_is_structured(kind) for kind in fields.values())


def _schema(asked: Asked, media_type: str, components: Components) -> dict[str, Any]:
    """Return the schema. In a form a box that is not checked is left out, so it is not required there."""
    schema = components.schema(asked.schema)
    unchecked = frozenset[str]().union(*asked.schema.unchecked())
    if media_type not in _FORMS or not unchecked:
        return schema
    resolved = components.resolved(schema)
    return {**resolved, "required": [name for name in resolved.get("required", ()) if name not in unchecked]}


def _is_file(kind: Any) -> bool:
    kinds = members(item_of(kind) if is_list(kind) else kind)
    return any(isinstance(each, type) and issubclass(each, UploadedFile) for each in kinds)


def _is_structured(kind: Any) -> bool:
    return is_object(kind) or (is_list(kind) and (is_object(item_of(kind)) or is_list(item_of(kind))))
