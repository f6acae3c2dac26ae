"""The values that a type is made of, read from the text of queries, forms, headers and cookies.

Browsers send a form in this way: an empty input is an empty text, an empty file input a part without a filename. A
checked box is ``on``, an unchecked one is left out. In a form, an object or a list of objects is JSON
(OpenAPI 3.1, Encoding Object).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict

from daf_views.exceptions import ParseError
from daf_views.http.parsers import load_json
from daf_views.schemas import Schema, SchemaError, Violation
from daf_views.schemas.annotations import is_list, is_object, is_truth, item_of, members, takes_none

ABSENT: Final = object()
"""Stands for sent text that means that no value was given."""
_NEVER_EMPTY = (
    int,
    float,
    Decimal,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    UploadedFile,
)
_TRUTHS = {"on": True, "off": False}
_LARGEST_PART = 2**20
"""Bytes of a part that are read as JSON, at most."""


def value_of(values: list[Any], kind: Any) -> Any:
    """Return the value of a name for a type: a list of all its texts if the type is a list, otherwise the last."""
    if is_list(kind):
        item = item_of(kind)
        return [_single(each, item) for each in values if not _is_empty(each, item)]
    if _is_empty(values[-1], kind):
        return None if takes_none(kind) else ABSENT
    return _single(values[-1], kind)


def header_value(text: str, kind: Any) -> Any:
    """Return the value of a header: a list is separated by commas (RFC 9110 §5.6.1)."""
    return value_of([each.strip() for each in text.split(",")] if is_list(kind) else [text], kind)


def query_values(query: Any, schema: Schema, fields: Mapping[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """Return the values of a query for a type with fields; also other names, if the type looks at them."""
    names = [name for name in query if name in fields or (name not in taken and schema.takes_unknown())]
    return _given({name: value_of(query.getlist(name), fields.get(name)) for name in names})


def form_values(schema: Schema, form: Any, files: Any, but: str) -> dict[str, Any]:
    """Return the values of a form, except the field ``but``. Raises SchemaError for a part that is not JSON."""
    fields, wrong = schema.fields() or {}, list[Violation]()
    sent = MultiValueDict(
        {name: [*form.getlist(name), *files.getlist(name)] for name in (*form, *files) if name != but}
    )
    values = {name: _form_value(name, sent.getlist(name), fields.get(name), wrong) for name in sent}
    if wrong:
        raise SchemaError(wrong)
    for names in schema.unchecked():
        if names.isdisjoint(values):
            values[min(names)] = False
    return _given(values)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not ABSENT}


def _form_value(name: str, values: list[Any], kind: Any, wrong: list[Violation]) -> Any:
    try:
        if kind is not None and is_object(kind):
            return ABSENT if values[-1] == "" and not takes_none(kind) else _json(values[-1])
        if kind is not None and is_list(kind) and _is_structured(item_of(kind)):
            parts = [_json(each) for each in values if each != ""]
            return parts[0] if len(parts) == 1 and isinstance(parts[0], list) else parts
    except ParseError as error:
        wrong.append(Violation((name,), str(error.detail).replace("The body", "The part")))
        return ABSENT
    return value_of(values, kind)


def _is_structured(item: Any) -> bool:
    return item is not None and (is_object(item) or is_list(item))


def _json(part: Any) -> Any:
    """Return the value of a part that is JSON: a text, or a file."""
    if isinstance(part, UploadedFile):
        if (part.size or 0) > _LARGEST_PART:
            raise ParseError(f"The part is larger than {_LARGEST_PART} bytes.")
        return load_json(part.read())
    return None if part == "" else load_json(part.encode("utf-8", "surrogatepass"))


def _is_empty(value: Any, kind: Any) -> bool:
    """Return True for an empty text that can be no value of the type."""
    if value != "" or kind is None:
        return False
    return all(isinstance(each, type) and issubclass(each, _NEVER_EMPTY) for each in members(kind))


def _single(value: Any, kind: Any) -> Any:
    return _TRUTHS.get(value, value) if isinstance(value, str) and is_truth(kind) else value
