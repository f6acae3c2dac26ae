"""The ``DAF_ORM`` setting: one frozen value, its defaults and its rules in one place.

:func:`problems_in` reads ``DAF_VIEWS`` too. Its rules are the annotations of a dataclass, and the limits of its fields.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

POOL_MODES = ("auto", "session")
MODES = ("raise", "warn", "log", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The limits of a value of the right type. A time must be more than 0 seconds in any case."""

    least: int = 0
    """The least count."""
    unless: str = ""
    """The value to write instead of a smaller count, for the message: ``"None for no limit"``."""
    choices: Sequence[str] = ()
    check: Callable[[Any], str | None] | None = None
    """Returns the rest of a sentence that begins with "… must", for a wrong value."""


def limited(default: Any, **limit: Any) -> Any:
    """Return a dataclass field with a :class:`Limit`."""
    return field(default=default, metadata={"limit": Limit(**limit)})


def _waitable(seconds: float) -> str | None:
    """Return a sentence's end if a thread cannot wait for this long."""
    return f"be a time that a thread can wait for, not {seconds!r} seconds" if seconds > threading.TIMEOUT_MAX else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogSettings:
    """The keys of ``DAF_ORM["WATCHDOG"]``. Times are seconds."""

    THRESHOLD: float = limited(0.25, check=_waitable)
    """Time that an event loop may keep its callbacks waiting before that is a stall."""
    INTERVAL: float = limited(60.0, check=_waitable)
    """Time between two messages about the same line."""
    MAX_SITES: int = limited(1000, least=1)
    """Lines that are counted; beyond that number the one that stalled longest ago is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """The options of ``DAF_ORM["KEEP_PLANS"]``."""

    MAX_SIZE: int = limited(1000, least=2)
    """Structures of queries that are kept at most; past that number the least recently used go."""
    CHECK_EVERY: int = limited(1000, least=1)
    """The first use of a plan or filter, and one in so many after it, is made both ways and compared. 1: every use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The keys of ``DAF_ORM``. Sizes count leases; times are seconds."""

    MAX_SIZE: int | None = limited(None, least=1)
    """Leases in use at most, hence connections per alias. None: 10, or 1 where an alias is in-memory SQLite."""
    MIN_SIZE: int = 0
    """Leases that stay open however long they are idle."""
    TIMEOUT: float = limited(30.0, check=_waitable)
    """Time that a call waits for a lease, or for its turn on one, before it raises PoolTimeout."""
    MAX_WAITING: int = 0
    """Waiters at most before TooManyRequests is raised; 0 is no limit."""
    MAX_LIFETIME: float = limited(3600.0, check=_waitable)
    """Age at which a connection is closed when its lease ends (less up to 10 %, so that not all go at once)."""
    MAX_IDLE: float = limited(600.0, check=_waitable)
    """Time unused after which a connection is closed."""
    MAX_PINNED: int | None = limited(None, least=1)
    """Leases at most that owners keep because they have set something on their connection. None: all but one, so that
    one is left for owners that set nothing."""
    MAX_ITERATING: int | None = limited(None, least=1)
    """Leases at most that aiterator() has outside transactions: slow clients hold them. None: all but one."""
    POOL_MODE: str = limited("auto", choices=POOL_MODES)
    """When an owner keeps its connection: "auto", once it has set something on it; "session", from its first query."""
    CONFIGURE: str | None = None
    """Dotted path to a function without parameters. It returns the settings, by name, that the connection of the next
    call must have, such as a tenant's. It sees the caller's context variables. None: no settings."""
    SERVER_POOLED: bool = False
    """True if a proxy, such as PgBouncer in transaction mode, gives each transaction another session of PostgreSQL.
    Session state is then an error, nothing is reset, and CONFIGURE is set in each transaction."""
    ADAPT_DJANGO: bool = True
    """True if Django's own a… methods follow the execution rules."""
    BLOCKING: str | None = limited(None, choices=MODES)
    """Effect of a blocking call on an event loop: "raise", "warn", "log" or "off". None: "raise", or "warn" in a
    notebook."""
    BLOCKING_IO: bool = False
    """True to count blocking I/O too: files, sockets, sleeping, caches. Needs blockbuster: the extra "io"."""
    ALLOW_BLOCKING: Sequence[str] = ()
    """Patterns of callers that may block: "shop.legacy.*", "shop.views:report"."""
    WATCHDOG: WatchdogSettings | None = None
    """Log where an event loop was stalled, in production: a dict of what WatchdogSettings has. None: off."""
    KEEP_PLANS: PlanSettings | None = None
    """Use the SQL of a query again for the next one of the same structure: a dict of what PlanSettings has. None:
    off."""
    TRANSACTION_IDLE_WARNING: float | None = limited(1.0, check=_waitable)
    """Time that an atomic block may await something other than its database before it is logged. None: no limit."""


DEFAULT_MAX_SIZE = 10


def problems(raw: object) -> list[str]:
    """Return the errors of a ``DAF_ORM`` value, one sentence each; an empty list if it is valid."""
    found = problems_in(raw, Settings, "DAF_ORM")
    return found or _contradictions(raw)  # type: ignore[arg-type] # a mapping, if nothing is wrong


def problems_in(raw: object, kind: type[Any], where: str) -> list[str]:
    """Return the errors of a setting whose keys are the fields of ``kind``, one sentence each.

    A time, ``float``, is more than 0 seconds; a count, ``int``, is 0 or more, unless its :class:`Limit` says otherwise.
    """
    if not isinstance(raw, Mapping):
        return [f"{where} must be a dict, not {type(raw).__name__}."]
    types, known = get_type_hints(kind), {each.name: each for each in fields(kind)}
    found: list[str] = []
    for key, value in raw.items():
        if key not in known:
            found.append(_unknown(key, list(known), where))
        else:
            found += _wrong(value, types[key], known[key], f"{where}[{key!r}]")
    return found


def _unknown(key: object, known: Sequence[str], where: str) -> str:
    close = get_close_matches(str(key).upper(), known, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
    return f"{where}[{key!r}] is not a known key. {remedy}"


def _wrong(value: Any, annotation: Any, rules: Field[Any], where: str) -> Iterator[str]:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    kind = next((kind for kind in kinds if _fits(value, kind)), None)
    if kind is None:
        yield f"{where} must be {' or '.join(map(_name, kinds))}, not {value!r}."
    elif is_dataclass(kind):
        yield from problems_in(value, kind, where)  # type: ignore[arg-type] # never an instance
    elif (limit := _beyond(value, kind, rules.metadata.get("limit", Limit()))) is not None:
        yield f"{where} must {limit}."


def _fits(value: object, kind: Any) -> bool:
    if is_dataclass(kind):
        return isinstance(value, Mapping)
    if get_origin(kind) in {Mapping, Sequence}:
        return isinstance(value, Mapping if get_origin(kind) is Mapping else list | tuple)
    if isinstance(value, bool):  # a subclass of int, but no count
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _name(kind: Any) -> str:
    if is_dataclass(kind):
        return "dict"
    names = {Mapping: "dict", Sequence: "list or tuple", float: "int or float", NoneType: "None"}
    return names.get(get_origin(kind) or kind) or str(kind.__name__)


def _beyond(value: Any, kind: Any, limit: Limit) -> str | None:
    """Return the limit that a value of the right type is beyond, if any."""
    beyond = None
    if kind is float and not value > 0:  # NaN is not
        beyond = f"be more than 0 seconds, not {value!r}"
    elif kind is int and value < limit.least:
        beyond = f"be {limit.least} or more{limit.unless and f', or {limit.unless}'}, not {value!r}"
    elif limit.choices and kind is str and value not in limit.choices:
        beyond = f"be one of {', '.join(map(repr, limit.choices))}, not {value!r}"
    elif get_origin(kind) is Sequence and not all(isinstance(item, str) for item in value):
        beyond = f"be a list of str, not {value!r}"
    elif get_origin(kind) is Mapping and not all(isinstance(text, str) for item in value.items() for text in item):
        beyond = f"be a dict of str, not {value!r}"
    if beyond is None and limit.check is not None and kind is not NoneType:
        return limit.check(value)
    return beyond


def _contradictions(raw: Mapping[Any, Any]) -> list[str]:
    least, most = raw.get("MIN_SIZE", 0), raw.get("MAX_SIZE") or DEFAULT_MAX_SIZE
    found = [f"DAF_ORM['MIN_SIZE'] is {least}, more than DAF_ORM['MAX_SIZE'], which is {most}."] if least > most else []
    parts = {key: raw.get(key) or 0 for key in ("MAX_PINNED", "MAX_ITERATING")}
    found += [
        f"DAF_ORM[{key!r}] is {part}, more than DAF_ORM['MAX_SIZE'], which is {most}."
        for key, part in parts.items()
        if part > most
    ]
    if raw.get("SERVER_POOLED") and raw.get("POOL_MODE") == "session":
        found.append(
            "DAF_ORM['POOL_MODE'] is 'session', but with DAF_ORM['SERVER_POOLED'] a connection has another session in "
            "each transaction, so keeping it is useless. Remove one of them."
        )
    return found


@cache
def get_settings() -> Settings:
    """Return the settings in force. Raise ImproperlyConfigured, naming each wrong key, if any is wrong."""
    raw = getattr(django_settings, "DAF_ORM", {})
    if wrong := problems(raw):
        raise ImproperlyConfigured(" ".join(wrong))
    parts: dict[str, type[Any]] = {"WATCHDOG": WatchdogSettings, "KEEP_PLANS": PlanSettings}
    made = {key: kind(**raw[key]) for key, kind in parts.items() if raw.get(key) is not None}
    return Settings(**{**raw, **made})


def _forget(*, setting: str, **_: object) -> None:
    if setting == "DAF_ORM":
        get_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_orm.settings")
