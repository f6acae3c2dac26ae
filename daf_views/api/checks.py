"""System checks of API views: annotations that no URL can satisfy."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.core.checks import CheckMessage, Error, register

from daf_views._core.urlconf import Route, made_by, routes
from daf_views.api.view import AsyncAPIView
from daf_views.handlers.parameters import Path
from daf_views.schemas import SchemaError, schema_of
from daf_views.schemas.annotations import bare

_MADE: Mapping[type, Any] = {
    int: 1,
    float: 1.5,
    Decimal: Decimal("1.5"),
    uuid.UUID: uuid.UUID(int=1),
    dt.datetime: dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
    dt.date: dt.date(2026, 1, 2),
    dt.time: dt.time(3, 4),
}
"""A value of each type that converters make; text may be anything."""
_PLAIN = frozenset({*_MADE, str, bool, bytes, dt.timedelta})
"""Types that are compared with those: the values that others take are unknown."""


@register("daf_views")
def check_converters(**_: Any) -> list[CheckMessage]:
    """``daf_views.E021``: an annotation that contradicts the URL's converter, so that every request is a 404."""
    return [message for route in routes() for message in _contradictions(route)]


def _contradictions(route: Route) -> Iterator[CheckMessage]:
    view = getattr(route.view, "view_class", None)
    if not (isinstance(view, type) and issubclass(view, AsyncAPIView)):
        return
    for signature in view.handler_signatures.values():
        for parameter in signature.parameters:
            converter = route.converters.get(parameter.name)
            if (
                converter is not None
                and isinstance(parameter.source, Path | None)
                and _contradicts(made_by(converter), bare(parameter.kind))
            ):
                yield Error(
                    f"{signature.name}: {parameter.name!r} is annotated with {parameter.kind!r}, and the URL's "
                    f"{type(converter).__name__} makes {made_by(converter)!r} of it, so every request is answered 404.",
                    hint="Annotate it with what the converter makes, or choose another converter.",
                    id="daf_views.E021",
                )


def _contradicts(made: type | None, wanted: Any) -> bool:
    """Return True if no value of a converter can become one of the expected type."""
    if made is None or made not in _MADE or not isinstance(wanted, type):
        return False
    if wanted not in _PLAIN or issubclass(made, wanted):
        return False
    try:
        schema_of(wanted).load(_MADE[made], is_text=True)
    except SchemaError:
        return True
    return False
