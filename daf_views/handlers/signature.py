"""The parameters and the response of a handler, by its signature: read once, when its class is made.

``async def post(self, request, body: OrderIn, page: int = 1) -> OrderOut``: a parameter that the URL gives is from the
path, as in Django. Of the others, ``body``, and one whose type has fields, is the body; the rest are from the query.
:mod:`daf_views.handlers.parameters` says it otherwise. A handler without annotations is called as in Django.
"""

from __future__ import annotations

import functools
import inspect
import operator
from contextlib import suppress
from functools import cached_property
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from django.http.response import HttpResponseBase, StreamingHttpResponse

from daf_views.handlers.arguments import ArgumentPlan
from daf_views.handlers.decorated import hints_of, refuse_wrapper, signature_seen
from daf_views.handlers.parameters import Body, Cookie, Header, Parameter, Query, Source, Status
from daf_views.handlers.type_variables import OpenTypeVariableError, owner_of, substituted, type_parameters
from daf_views.http.methods import WITHOUT_CONTENT
from daf_views.schemas import Schema, schema_of
from daf_views.schemas.annotations import has_fields, is_list
from daf_views.schemas.generics import refuse_unsound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

    from django.http import HttpRequest

_NONE = inspect.Parameter.empty
_WITHOUT_CONTENT = frozenset({204, 205})
_LEAST = 2  # self and request
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """The signature of one handler."""

    def __init__(self, name: str, parameters: Iterable[Parameter], returns: Any, status: int | None) -> None:
        self.name = name
        """Of the handler, as errors give it."""
        self.parameters = tuple(parameters)
        self.returns = returns
        """The type of the response, None if there is no content, ``Parameter.empty`` without an annotation."""
        self.status = status or (204 if returns is None else 200)
        self.code: CodeType | None = None
        """The code of the handler, if it is written in Python."""
        self.module = ""
        self.is_stream = False
        """True if it is annotated to return a file or a stream."""
        self._schemas: dict[str, Schema] = {}
        self._plans: dict[frozenset[str], ArgumentPlan] = {}

    @property
    def is_typed(self) -> bool:
        """Return True if anything is to be converted."""
        return self.has_answer or any(each.kind is not _NONE for each in self.parameters)

    @property
    def has_answer(self) -> bool:
        """Return True if its return value is annotated."""
        return self.returns is not _NONE

    @cached_property
    def answer(self) -> Schema | None:
        """The schema of what it answers with."""
        if not self.has_answer or self.returns is None:
            return None
        refuse_unsound(self.returns, is_output=True)
        schema = schema_of(self.returns)
        schema.prepare_output()
        return schema

    @cached_property
    def answers_list(self) -> bool:
        """Return True if it answers with any number of values, which may come in pages."""
        return self.has_answer and is_list(self.returns)

    @cached_property
    def body(self) -> Parameter | None:
        """The parameter that is the body."""
        return next((each for each in self.parameters if isinstance(each.source, Body)), None)

    def beside_body(self, request: HttpRequest) -> list[str | None]:
        """Return each header and cookie that it takes, as the request has it: its kind, its name and its text."""
        taken = sorted((type(each.source).__name__, each.alias) for each in self.parameters if each.is_beside_body)
        sources = {"Header": request.headers, "Cookie": request.COOKIES}
        return [text for kind, name in taken for text in (kind, name, sources[kind].get(name))]

    def prepare(self) -> None:
        """Make the schemas, so that an impossible one is an error before the first request."""
        for parameter in self.parameters:
            if isinstance(parameter.source, Body | Query | Header | Cookie) and parameter.kind is not _NONE:
                try:
                    refuse_unsound(parameter.kind)
                    self.schema(parameter)
                except TypeError as error:
                    raise TypeError(f"{self.name}: {parameter.name!r}: {error}") from error
        try:
            _ = self.answer
        except TypeError as error:
            raise TypeError(f"{self.name} returns {self.returns!r}: {error}") from error

    def plan(self, given: Iterable[str]) -> ArgumentPlan:
        """Return the plan for a URL that gives those names. It is cached: a URLconf has few sets of them."""
        names = frozenset(given)
        if (plan := self._plans.get(names)) is None:
            plan = self._plans[names] = ArgumentPlan(self.name, self.parameters, self.schema, names)
        return plan

    def schema(self, parameter: Parameter) -> Schema:
        """Return the schema of a parameter's type, made when it is first wanted."""
        if (schema := self._schemas.get(parameter.name)) is None:
            schema = self._schemas[parameter.name] = schema_of(parameter.kind)
        return schema


def signatures_of(cls: Any) -> dict[str, Signature]:
    """Read the signatures of a view class's handlers, and return those that are typed, by method.

    Those of a generic class that leaves a type variable to its subclasses are not among them: see :func:`refuse_open`.
    """
    found = {}
    for name in _methods(cls):
        with suppress(OpenTypeVariableError):
            if (signature := signature_of(cls, name)).is_typed:
                found[name] = signature
    return found


def refuse_open(cls: Any) -> None:
    """Raise TypeError for a generic view class whose handlers have type variables without a type."""
    for name in _methods(cls) if getattr(cls, "__parameters__", ()) else []:
        signature_of(cls, name)


def _methods(cls: Any) -> list[str]:
    return [name for name in cls.http_method_names if name != "options" and hasattr(cls, name)]


def signature_of(cls: type, method: str) -> Signature:
    """Read the signature of a class's handler. Raises TypeError, which names it, for an impossible one."""
    handler = getattr(cls, method)
    name = f"{cls.__module__}.{cls.__qualname__}.{method}()"
    found = signature_seen(handler)
    parameters = list(found.parameters.values())
    if len(parameters) < _LEAST and all(each.kind in _NAMED for each in parameters):
        raise TypeError(f"{name} takes no request: write `async def {method}(self, request, …)`.")
    parameters = parameters[_LEAST:]
    refuse_wrapper(name, handler, {each.name for each in parameters if each.kind in _NAMED})
    owner = owner_of(cls, method)
    written = hints_of(name, handler, found.replace(parameters=parameters), type_parameters(owner))
    hints = {each: substituted(cls, owner, hint, name) for each, hint in written.items()}
    read = [_read(name, method, each, hints.get(each.name, _NONE)) for each in parameters if each.kind in _NAMED]
    returns, status = _answer(hints.get("return", _NONE))
    made = Signature(name, read, returns, status)
    made.code, made.module = getattr(inspect.unwrap(handler), "__code__", None), cls.__module__
    made.is_stream = isinstance(hints.get("return"), type) and issubclass(hints["return"], StreamingHttpResponse)
    if sum(isinstance(each.source, Body) for each in read) > 1:
        raise TypeError(f"{name} has two parameters that are the body: give one of them Annotated[…, Query()].")
    made.prepare()
    return made


def _read(name: str, method: str, parameter: inspect.Parameter, hint: Any) -> Parameter:
    sources = [each for each in get_args(hint)[1:] if isinstance(each, Source)] if _is_annotated(hint) else []
    if len(sources) > 1:
        raise TypeError(f"{name}: {parameter.name!r} has more than one source.")
    source = sources[0] if sources else _default_source(parameter.name, hint)
    if isinstance(source, Body) and method.upper() in WITHOUT_CONTENT:
        raise TypeError(
            f"{name}: {parameter.name!r} would be the body, which {method.upper()} does not have: "
            "write Annotated[…, Query()] to take its fields from the query."
        )
    return Parameter(name=parameter.name, kind=hint, source=source, default=parameter.default)


def _default_source(name: str, hint: Any) -> Source | None:
    if hint is not _NONE and (name == "body" or has_fields(hint)):
        return Body()
    return None


def _answer(hint: Any) -> tuple[Any, int | None]:
    """Return the type of the response's content, without response classes, and its status."""
    status = None
    if _is_annotated(hint):
        status = next((each.code for each in get_args(hint)[1:] if isinstance(each, Status)), None)
    kinds = _members(hint)
    said = [kind for kind in kinds if not _is_response(kind)]
    if hint is _NONE or hint is Any or not said:
        return _NONE, status
    if said == [NoneType]:
        return None, status
    if status in _WITHOUT_CONTENT:
        raise TypeError(f"Status({status}) has no content, and {hint!r} is some: annotate it with None.")
    return (hint if len(said) == len(kinds) else functools.reduce(operator.or_, said)), status


def _members(hint: Any) -> list[Any]:
    kind = get_args(hint)[0] if _is_annotated(hint) else hint
    return list(get_args(kind)) if get_origin(kind) in {Union, UnionType} else [kind]


def _is_response(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, HttpResponseBase)


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated
