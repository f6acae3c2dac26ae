"""A handler's arguments, taken from the request as its signature says.

All mistakes in the query, the headers and the body are reported at once, in one 422. A mistake in the path is a 404:
no resource is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from daf_views.exceptions import FieldError, InvalidDataError, NotFoundError, ParameterError, pointer_to
from daf_views.handlers.parameters import Body, Cookie, Header, Path, Query
from daf_views.handlers.spelling import ABSENT, form_values, header_value, query_values, value_of
from daf_views.http.parsers import is_short
from daf_views.schemas import SchemaError, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from django.http import HttpRequest

    from daf_views.handlers.parameters import Parameter
    from daf_views.schemas import Schema

_CSRF_TOKEN = "csrfmiddlewaretoken"  # noqa: S105 - the name of a field in every Django form
_NUL = Violation((), "Null characters are not allowed.", "null_characters_not_allowed")


@dataclass(frozen=True, slots=True)
class Asked:
    """A parameter that a client gives, and the type of it, as a library has it."""

    parameter: Parameter
    schema: Schema
    fields: Mapping[str, Any] | None
    """Of a type that is spelt in several parameters of the query: their types, by name."""


class ArgumentPlan:
    """The sources of a handler's arguments, when the URL gives some of them."""

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
        self.cookies: list[Asked] = []
        self.body: Asked | None = None
        for parameter in parameters:
            self._add(parameter, given)
        self.names = frozenset(name for asked in self.query for name in asked.fields or (asked.parameter.alias,))
        """The names of all parameters that it takes from the query."""

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
            schema = self._schema_for(parameter)
            asked = Asked(parameter, schema, schema.fields() if isinstance(parameter.source, Query) else None)
            if isinstance(parameter.source, Body):
                self.body = asked
            elif isinstance(parameter.source, Header):
                self.headers.append(asked)
            else:
                (self.cookies if isinstance(parameter.source, Cookie) else self.query).append(asked)

    def is_quick(self, request: HttpRequest) -> bool:
        """Return True if it takes no longer than the event loop can spare: only the body may be large."""
        return self.body is None or request.data is None or is_short(request)  # type: ignore[attr-defined] # DAF adds it

    @property
    def takes_client_data(self) -> bool:
        """Return True if it takes anything from the query, the headers, the cookies or the body."""
        return bool(self.query or self.headers or self.cookies or self.body)

    @cached_property
    def takes_unknown(self) -> bool:
        """Return True if a type of the query looks at names that it has no field for."""
        return any(asked.fields is not None and asked.schema.takes_unknown() for asked in self.query)

    def arguments(self, request: HttpRequest, given: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, Any]:
        """Return the arguments by name; ``others`` are names in the query that other features of the view read.

        Raises InvalidDataError and NotFoundError, as above.
        """
        values = {**given, **{name: self._from_path(name, given[name]) for name in self.path}}
        errors: list[FieldError | ParameterError] = []
        for asked in self.query:
            if asked.fields is None:
                _take(values, errors, asked, request.GET, "query")
            else:
                _take_fields(values, errors, asked, request.GET, self.names.union(others))
        for asked in self.headers:
            _take(values, errors, asked, request.headers, "header")
        for asked in self.cookies:
            _take(values, errors, asked, request.COOKIES, "cookie")
        if self.body is not None:
            _take_body(values, errors, self.body, request)
        if errors:
            raise InvalidDataError(errors=errors)
        return values

    def _from_path(self, name: str, value: Any) -> Any:
        parameter = self.path[name]
        if isinstance(value, str) and "\0" in value:  # PostgreSQL would refuse it, so no resource matches
            raise NotFoundError
        if isinstance(parameter.kind, type) and isinstance(value, parameter.kind):  # a converter has made it
            return value
        try:
            return self._schema_for(parameter).load(value, is_text=True)
        except SchemaError:
            raise NotFoundError from None


def _take(values: dict[str, Any], errors: list[Any], asked: Asked, source: Any, location: str) -> None:
    """Take one parameter from the query, the headers or the cookies."""
    parameter, value = asked.parameter, ABSENT
    if parameter.alias in source:
        value = _spelt(source, parameter.alias, parameter.kind)
    if value is ABSENT:
        if parameter.is_required:
            errors.append(
                _of_parameter(parameter.alias, location, Violation((), "This parameter is required.", "required"))
            )
        return
    try:
        values[parameter.name] = _loaded(asked.schema, value)
    except SchemaError as error:
        errors += [_of_parameter(parameter.alias, location, each) for each in error.violations]


def _take_fields(
    values: dict[str, Any], errors: list[Any], asked: Asked, query: QueryDict, taken: AbstractSet[str]
) -> None:
    """Take a parameter whose type has fields: each of them from a parameter of its name."""
    parameter, fields = asked.parameter, asked.fields or {}
    spelt = query_values(query, asked.schema, fields, taken)
    if not spelt and not parameter.is_required:
        return
    try:
        values[parameter.name] = _loaded(asked.schema, spelt)
    except SchemaError as error:
        errors += [
            _of_parameter(str(each.place[0]) if each.place else parameter.alias, "query", each)
            for each in error.violations
        ]


def _take_body(values: dict[str, Any], errors: list[Any], asked: Asked, request: Any) -> None:
    parameter, schema, data = asked.parameter, asked.schema, request.data
    if data is None and not parameter.is_required:
        return
    try:
        if isinstance(data, QueryDict):
            values[parameter.name] = _loaded(schema, form_values(schema, data, request.FILES, _CSRF_TOKEN))
        else:
            values[parameter.name] = schema.load(data)
    except SchemaError as error:
        errors += [
            FieldError(pointer=pointer_to(*each.place), detail=each.detail, code=each.code) for each in error.violations
        ]


def _spelt(source: Any, name: str, kind: Any) -> Any:
    if isinstance(source, MultiValueDict):
        return value_of(source.getlist(name), kind)
    return header_value(source[name], kind)


def _of_parameter(name: str, location: str, violation: Violation) -> ParameterError:
    return ParameterError(parameter=name, location=location, detail=violation.detail, code=violation.code)


def _loaded(schema: Schema, spelt: Any) -> Any:
    """Load a client's text. It may have no NUL: PostgreSQL and Django's forms refuse it."""
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
