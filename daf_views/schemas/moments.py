"""Datetimes that UTC or the current time zone cannot express, such as ``0001-01-01T00:00:00+14:00``.

Libraries take them, and a query with one raises OverflowError. So they are refused as mistakes of the client. The
places of datetimes in a type are found once; a type without any costs nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, get_args, get_origin

from django.conf import settings
from django.utils import timezone

from daf_views.schemas.annotations import Field, is_list, item_of, members
from daf_views.schemas.violations import MOST, SchemaError, Violation

Seeker = Callable[[Any, tuple[str | int, ...]], Iterator[Violation]]
Fields = Callable[[Any], Iterable[Field] | None]

_OF_PYDANTIC = frozenset({"AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime"})
_ENDS = frozenset({dt.MINYEAR, dt.MAXYEAR})
_LISTS = (list, tuple, set, frozenset, deque)
_PAIR = 2
"""Arguments of a mapping: its keys and values."""


def refuse_inexpressible(value: Any, seeker: Seeker) -> None:
    """Raise SchemaError with the datetimes in a value that no time zone can express."""
    if wrong := list(islice(seeker(value, ()), MOST)):
        raise SchemaError(wrong)


def seeker_of(kind: Any, fields_of: Fields, known: dict[Any, Seeker | None] | None = None) -> Seeker | None:
    """Return what finds such datetimes in values of a type; None for a type without datetimes."""
    known = {} if known is None else known
    found = [each for member in members(kind) if (each := _seeker_of_one(member, fields_of, known)) is not None]
    if len(found) < 2:  # noqa: PLR2004 - one is enough
        return found[0] if found else None
    return lambda value, place: (each for seek in found for each in seek(value, place))


def _seeker_of_one(kind: Any, fields_of: Fields, known: dict[Any, Seeker | None]) -> Seeker | None:
    if kind is dt.datetime or getattr(kind, "__name__", "") in _OF_PYDANTIC:
        return _moment
    if not isinstance(kind, Hashable):  # it has no fields
        return None
    if kind in known:
        return known[kind]
    known[kind] = _later(known, kind)  # for a type that refers to itself
    found: Seeker | None = None
    if (fields := fields_of(kind)) is not None:
        seekers = [(each, seeker_of(each.kind, fields_of, known)) for each in fields]
        found = _record([(each, seek) for each, seek in seekers if seek is not None])
    elif is_list(kind) and (item := item_of(kind)) is not None:
        found = _many(seeker_of(item, fields_of, known))
    elif isinstance(origin := get_origin(kind), type) and issubclass(origin, Mapping) and len(get_args(kind)) == _PAIR:
        found = _mapping(seeker_of(get_args(kind)[1], fields_of, known))
    known[kind] = found
    return found


def _later(known: Mapping[Any, Seeker | None], kind: Any) -> Seeker:
    def seek(value: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
        if (found := known[kind]) is not None:
            yield from found(value, place)

    return seek


def _moment(value: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
    if isinstance(value, dt.datetime) and value.year in _ENDS and not _is_expressible(value):
        yield Violation(place, "The datetime is out of range.", "out_of_range")


def _is_expressible(moment: dt.datetime) -> bool:
    try:
        if moment.tzinfo is None and settings.USE_TZ:
            moment = timezone.make_aware(moment)
        if moment.tzinfo is not None:
            moment.astimezone(dt.UTC)
            timezone.localtime(moment)
    except (OverflowError, ValueError):
        return False
    return True


def _record(parts: list[tuple[Field, Seeker]]) -> Seeker | None:
    def seek(value: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
        for field, inner in parts:
            part = value.get(field.name) if isinstance(value, Mapping) else getattr(value, field.attribute, None)
            if part is not None:
                yield from inner(part, (*place, field.name))

    return seek if parts else None


def _many(inner: Seeker | None) -> Seeker | None:
    def seek(value: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
        for index, each in enumerate(value if isinstance(value, _LISTS) else ()):
            yield from inner(each, (*place, index))  # type: ignore[misc] # it is there

    return None if inner is None else seek


def _mapping(inner: Seeker | None) -> Seeker | None:
    def seek(value: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
        for name, each in value.items() if isinstance(value, Mapping) else ():
            yield from inner(each, (*place, str(name)))  # type: ignore[misc] # it is there

    return None if inner is None else seek
