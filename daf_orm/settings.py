"""The ``DAF_ORM`` setting: one frozen value, its defaults and its rules in one place."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogSettings:
    """What ``DAF_ORM["WATCHDOG"]`` may hold. Times are seconds."""

    THRESHOLD: float = 0.25
    """How long an event loop may keep its callbacks waiting before that is a stall."""
    INTERVAL: float = 60.0
    """Time between two messages about the same line."""
    MAX_SITES: int = 1000
    """Lines that are kept count of; past that number the one that stalled longest ago is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``DAF_ORM`` may hold. Sizes count leases; times are seconds."""

    MAX_SIZE: int | None = None
    """Leases lent at most, hence connections per alias. None: 10, or 1 where an alias is in-memory SQLite."""
    MIN_SIZE: int = 0
    """Leases that stay open however long they are idle."""
    TIMEOUT: float = 30.0
    """How long a call waits for a lease, or for its turn on one, before it raises PoolTimeout."""
    MAX_WAITING: int = 0
    """Waiters at most before TooManyRequests is raised; 0 is no limit."""
    MAX_LIFETIME: float = 3600.0
    """Age at which a connection is closed when its lease ends (less up to 10 %, so that not all go at once)."""
    MAX_IDLE: float = 600.0
    """Time unused after which a connection is closed."""
    ADAPT_DJANGO: bool = True
    """Whether Django's own a… methods follow the execution rules."""
    BLOCKING: str | None = None
    """What becomes of a blocking call on an event loop: "raise", "warn", "log" or "off". None: "raise", or "warn" in a
    notebook."""
    BLOCKING_IO: bool = False
    """Whether that holds for blocking I/O too: files, sockets, sleeping, caches. Needs blockbuster: the extra "io"."""
    ALLOW_BLOCKING: Sequence[str] = ()
    """Patterns of callers that may block: "shop.legacy.*", "shop.views:report"."""
    WATCHDOG: WatchdogSettings | None = None
    """Log where an event loop was stalled, in production: a dict of what WatchdogSettings has. None: off."""
    TRANSACTION_IDLE_WARNING: float | None = 1.0
    """Time that an atomic block may await something other than its database before that is logged. None: any."""


DEFAULT_MAX_SIZE = 10
_TYPES: Mapping[str, tuple[type, ...]] = {
    "MAX_SIZE": (int, type(None)),
    "MIN_SIZE": (int,),
    "TIMEOUT": (int, float),
    "MAX_WAITING": (int,),
    "MAX_LIFETIME": (int, float),
    "MAX_IDLE": (int, float),
    "ADAPT_DJANGO": (bool,),
    "BLOCKING": (str, type(None)),
    "BLOCKING_IO": (bool,),
    "ALLOW_BLOCKING": (list, tuple),
    "WATCHDOG": (dict, type(None)),
    "TRANSACTION_IDLE_WARNING": (int, float, type(None)),
    "THRESHOLD": (int, float),
    "INTERVAL": (int, float),
    "MAX_SITES": (int,),
}
_LEAST: Mapping[str, float] = {"MAX_SIZE": 1, "MIN_SIZE": 0, "MAX_WAITING": 0, "MAX_SITES": 1}
_CHOICES: Mapping[str, Sequence[str]] = {"BLOCKING": ("raise", "warn", "log", "off")}
_ABOVE: Mapping[str, float] = {
    "TIMEOUT": 0,
    "MAX_LIFETIME": 0,
    "MAX_IDLE": 0,
    "TRANSACTION_IDLE_WARNING": 0,
    "THRESHOLD": 0,
    "INTERVAL": 0,
}


def problems(raw: object) -> list[str]:
    """Return what is wrong with a ``DAF_ORM`` value, one sentence each; an empty list if nothing is."""
    if not isinstance(raw, Mapping):
        return [f"DAF_ORM must be a dict, not {type(raw).__name__}."]
    found = _problems_in(raw, Settings, "DAF_ORM")
    if isinstance(watchdog := raw.get("WATCHDOG"), dict):
        found += _problems_in(watchdog, WatchdogSettings, "DAF_ORM['WATCHDOG']")
    return found or _contradictions(raw)


def _problems_in(raw: Mapping[Any, Any], kind: type[Settings | WatchdogSettings], where: str) -> list[str]:
    known = [field.name for field in fields(kind)]
    return [problem for key, value in raw.items() if (problem := _problem(key, value, known, where))]


def _problem(key: object, value: object, known: Sequence[str], where: str) -> str | None:
    if key not in known:
        close = get_close_matches(str(key).upper(), known, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
        return f"{where}[{key!r}] is not a known key. {remedy}"
    name = str(key)
    allowed = _TYPES[name]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in allowed)
        return f"{where}[{name!r}] must be {wanted}, not {value!r}."
    outside = None if value is None else _out_of_range(name, value)
    return f"{where}[{name!r}] must be {outside}." if outside else None


def _out_of_range(name: str, value: Any) -> str | None:
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"one of {', '.join(map(repr, _CHOICES[name]))}, not {value!r}"
    if isinstance(value, list | tuple) and not all(isinstance(item, str) for item in value):
        return f"a list of str, not {value!r}"
    if name in _LEAST and value < _LEAST[name]:
        return f"{_LEAST[name]} or more, not {value!r}"
    if name in _ABOVE and not value > _ABOVE[name]:
        return f"more than {_ABOVE[name]} seconds, not {value!r}"
    if name in _ABOVE and value > threading.TIMEOUT_MAX:
        return f"a time that can be waited for, not {value!r} seconds"
    return None


def _contradictions(raw: Mapping[Any, Any]) -> list[str]:
    least, most = raw.get("MIN_SIZE", 0), raw.get("MAX_SIZE") or DEFAULT_MAX_SIZE
    if least > most:
        return [f"DAF_ORM['MIN_SIZE'] is {least}, more than DAF_ORM['MAX_SIZE'], which is {most}."]
    return []


@cache
def get_settings() -> Settings:
    """Return the settings in force. Raise ImproperlyConfigured, naming each wrong key, if there are any."""
    raw = getattr(django_settings, "DAF_ORM", {})
    if wrong := problems(raw):
        raise ImproperlyConfigured(" ".join(wrong))
    watchdog = raw.get("WATCHDOG")
    return Settings(**{**raw, "WATCHDOG": None if watchdog is None else WatchdogSettings(**watchdog)})


def _forget(*, setting: str, **_: object) -> None:
    if setting == "DAF_ORM":
        get_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_orm.settings")
