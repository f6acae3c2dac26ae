"""A handler's arguments, taken from the request as its signature says.

All that is wrong with the query, the headers and the body is told at once, in one 422. What is wrong in the path is a
404: nothing is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from daf_views.exceptions import FieldError, InvalidDataError, NotFoundError, ParameterError, pointer_to
from daf_views.handlers.parameters import Body, Header, Path, Query
from daf_views.http.parsers import is_short
from daf_views.schemas import SchemaError, Violation
from daf_views.schemas.annotations import is_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.http import HttpRequest

    from daf_views.handlers.parameters import Parameter
    from daf_views.schemas import Schema

_CSRF_TOKEN = "csrfmiddlewaretoken"  # noqa: S105 - the name of a field in every form of Django's
_NUL = Violation((), "Null characters are not allowed.", "null_characters_not_allowed")


@dataclass(frozen=True, slots=True)
class Asked:
    """A parameter that a client gives, and the type of it, as a library has it."""

    parameter: Parameter
    schema: Schema


class ArgumentPlan:
    """Where the arguments of a handler come from, when the URL gives some of them."""

    def __init__(
        self,
        name: str,
        parameters: Iterable[Parameter],
        schema_for: Callable[[Parameter], Schema],
        given: frozenset[str],
    ) -> None:
        self._name = name  # of the handler, as errors give it
        self._schema_for = schema_for
        self.path: dict[str, Parameter] = {}
        """Those that the URL gives, and whose type is known."""
        self.query: list[Asked] = []
        self.headers: list[Asked] = []
        self.body: Asked | None = None
        for parameter in parameters:
            self._add(parameter, given)

    def _add(self, parameter: Parameter, given: frozenset[str]) -> None:
        name, has_type = parameter.name, parameter.kind is not parameter.empty
        if name in given and isinstance(parameter.source, Path | None):
            if has_type:
                self.path[name] = parameter
        elif isinstance(parameter.source, Path) or (not has_type and parameter.is_required):
            raise TypeError(
                f"{self._name}: {name!r} is not given by the URL, whose parameters are "
                f"{', '.join(sorted(given)) or 'none'}. To take it from the query, annotate it with its type, which "
                "must be imported when the module is run, not under TYPE_CHECKING."
            )
        elif has_type:
            asked = Asked(parameter, self._schema_for(parameter))
            if isinstance(parameter.source, Body):
                self.body = asked
            else:
                (self.headers if isinstance(parameter.source, Header) else self.query).append(asked)

    def is_quick(self, request: HttpRequest) -> bool:
        """Whether it takes no longer than the event loop can spare: it is the body that may be large."""
        return self.body is None or request.data is None or is_short(request)  # type: ignore[attr-defined] # what we add

    @property
    def takes_what_may_be_wrong(self) -> bool:
        """Whether it takes anything from the query, the headers or the body."""
        return bool(self.query or self.headers or self.body)

    def arguments(self, request: HttpRequest, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name. Raises InvalidDataError and NotFoundError, as above."""
        values = {**given, **{name: self._from_path(name, given[name]) for name in self.path}}
        errors: list[FieldError | ParameterError] = []
        for asked in self.query:
            _take(values, errors, asked, request.GET, "query")
        for asked in self.headers:
            _take(values, errors, asked, request.headers, "header")
        if self.body is not None:
            _take_body(values, errors, self.body, request)
        if errors:
            raise InvalidDataError(errors=errors)
        return values

    def _from_path(self, name: str, value: Any) -> Any:
        parameter = self.path[name]
        if isinstance(value, str) and "\0" in value:  # PostgreSQL would take it for an error, so nothing is there
            raise NotFoundError
        if isinstance(parameter.kind, type) and isinstance(value, parameter.kind):  # a converter has made it
            return value
        try:
            return self._schema_for(parameter).load(value, is_text=True)
        except SchemaError:
            raise NotFoundError from None


def _take(values: dict[str, Any], errors: list[Any], asked: Asked, source: Any, location: str) -> None:
    """Take one parameter, or one whose type has fields, from the query or the headers."""
    parameter, schema = asked.parameter, asked.schema
    fields = schema.fields() if isinstance(parameter.source, Query) else None
    if fields is not None and not parameter.is_required and not any(name in source for name in fields):
        return
    if fields is None and parameter.alias not in source:
        if parameter.is_required:
            errors.append(_of_parameter(parameter.alias, location, Violation((), "It is required.", "required")))
        return
    spelt = _spelt(source, fields, fields) if fields is not None else _value(source, parameter.alias, parameter.kind)
    try:
        values[parameter.name] = _loaded(schema, spelt)
    except SchemaError as error:
        for each in error.violations:
            name = parameter.alias if fields is None or not each.place else str(each.place[0])
            errors.append(_of_parameter(name, location, each))


def _take_body(values: dict[str, Any], errors: list[Any], asked: Asked, request: Any) -> None:
    parameter, schema, data = asked.parameter, asked.schema, request.data
    if data is None and not parameter.is_required:
        return
    try:
        if isinstance(data, QueryDict):
            names = [name for name in data if name != _CSRF_TOKEN]
            fields = schema.fields() or {}
            form = {**_spelt(data, fields, names), **_spelt(request.FILES, fields, request.FILES)}
            values[parameter.name] = _loaded(schema, form)
        else:
            values[parameter.name] = schema.load(data)
    except SchemaError as error:
        errors += [
            FieldError(pointer=pointer_to(*each.place), detail=each.detail, code=each.code) for each in error.violations
        ]


def _of_parameter(name: str, location: str, violation: Violation) -> ParameterError:
    return ParameterError(parameter=name, location=location, detail=violation.detail, code=violation.code)


def _spelt(source: Any, fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return what a query or a form holds: a list where the type wants one, and otherwise the last value."""
    return {name: _value(source, name, fields.get(name)) for name in names if name in source}


def _value(source: Any, name: str, kind: Any) -> Any:
    if not is_list(kind):
        return source[name]
    if isinstance(source, MultiValueDict):
        return source.getlist(name)
    return [each.strip() for each in source[name].split(",")]  # of a header (RFC 9110 §5.6.1)


def _loaded(schema: Schema, spelt: Any) -> Any:
    """Load what a client has spelt. No NUL: PostgreSQL takes none, nor do the forms of Django."""
    texts = spelt.items() if isinstance(spelt, dict) else [(None, spelt)]
    wrong = [
        Violation(() if name is None else (name,), _NUL.detail, _NUL.code)
        for name, value in texts
        if any("\0" in each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))
    ]
    if wrong:
        raise SchemaError(wrong)
    loaded = schema.load(spelt, is_text=True)
    if isinstance(loaded, float | Decimal) and not math.isfinite(loaded):  # "nan", which no JSON could answer with
        raise SchemaError([Violation((), "Expected a finite number.")])
    return loaded
