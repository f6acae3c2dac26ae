"""The API views that a URLconf leads to, and under which paths."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daf_views._core.description import Description
from daf_views._core.urlconf import Route, made_by, routes
from daf_views.api.view import AsyncAPIView
from daf_views.views.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONVERTERS: Mapping[str, dict[str, Any]] = {
    "IntConverter": {"type": "integer", "minimum": 0},
    "UUIDConverter": {"type": "string", "format": "uuid"},
    "SlugConverter": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
}
_FORMATS: Mapping[Any, str] = {dt.date: "date", dt.datetime: "date-time", uuid.UUID: "uuid"}
"""Formats of texts, by the type that a converter returns."""
_PYTHONS_OWN = ("(?P", "(?#", "(?i", "(?a", "(?x", "(?s", "(?m", "(?>", "(?(", "\\A", "\\Z", "++", "*+", "?+")
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A path with a DAF view."""

    path: str
    """As an OpenAPI document has it: ``/orders/{pk}/``."""
    view: type[AsyncAPIView]
    options: Mapping[str, Any]
    """The arguments of ``as_view()``."""
    parameters: Mapping[str, dict[str, Any]]
    """The JSON Schema of the text that each parameter's converter accepts."""

    defaults: Mapping[str, Any]
    """The further arguments that the URLconf gives: the third argument of ``path()``."""

    def option(self, name: str) -> Any:
        """Return an attribute of the view, as its instances have it."""
        return self.options.get(name, getattr(self.view, name))

    def described(self, method: str) -> Description:
        """Return the description of an operation by the features of the view."""
        signature = self.view.handler_signatures.get(method.lower())
        answers_list = signature is not None and signature.answers_list
        operation = Description(method=method, path=self.path, answers_list=answers_list)
        Pipeline.of(self.view).describe(self.view(**self.options), operation)
        return operation


def endpoints(urlconf: Any = None) -> list[Endpoint]:
    """Return those of a URLconf, by default the site's, in its order."""
    return [_endpoint(route, view) for route in routes(urlconf) if (view := _view_of(route.view)) is not None]


def _endpoint(route: Route, view: type[AsyncAPIView]) -> Endpoint:
    return Endpoint(
        path="/" + _PARAMETER.sub(r"{\1}", route.path),
        view=view,
        options=getattr(route.view, "view_initkwargs", {}),
        defaults=route.defaults,
        parameters={name: _schema(route.converters.get(name)) for name in _PARAMETER.findall(route.path)},
    )


def _view_of(function: Any) -> type[AsyncAPIView] | None:
    view = getattr(function, "view_class", None)
    return view if isinstance(view, type) and issubclass(view, AsyncAPIView) else None


def _schema(converter: Any) -> dict[str, Any]:
    """Return the JSON Schema of a converter: Django's own, one derived from them, or by its expression."""
    if converter is None:  # a parameter of a regular expression
        return {"type": "string", "minLength": 1}
    for known in type(converter).__mro__:
        if known.__module__ == "django.urls.converters" and vars(known)["regex"] == converter.regex:
            return _CONVERTERS.get(known.__name__, {"type": "string", "minLength": 1})
    pattern = {"pattern": f"^(?:{converter.regex})$"} if _is_portable(converter.regex) else {"minLength": 1}
    named = _FORMATS.get(made_by(converter))
    return {"type": "string", **({"format": named} if named is not None else {}), **pattern}


def _is_portable(regex: str) -> bool:
    """Return True if other languages, JSON Schema's among them, read a regular expression as Python does."""
    return not any(each in regex for each in _PYTHONS_OWN)
