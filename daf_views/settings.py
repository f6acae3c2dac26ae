"""The ``DAF_VIEWS`` setting: one frozen value, its defaults and its rules in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_network
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``DAF_VIEWS`` may hold. Times are seconds, and more than 0; counts are 0 or more."""

    LIFESPAN: Sequence[str] = ()
    """Dotted paths of what starts and stops with the server: functions, or async context managers."""
    DRAIN_TIMEOUT: float = 20.0
    """How long requests and background work may take to end once the server wants to stop."""
    MAX_IN_FLIGHT: int | None = None
    """Requests that are answered at the same time, at most, in one process. None: no limit."""
    MAX_WAITING: int = 100
    """Requests that wait for one of those places, at most; one more is answered 503."""
    WAIT_TIMEOUT: float = 5.0
    """How long a request waits for a place before it is answered 503."""
    RETRY_AFTER: int = 1
    """What a 503 asks a client to wait, in its Retry-After header."""
    THREAD_PER_REQUEST: bool = False
    """Whether the thread-sensitive calls of a request share one thread, which ends with it, as under Django's handler:
    for code that keeps data of a request in a ``threading.local``."""
    BODY_TIMEOUT: float = 60.0
    """How long a client may be silent in the middle of a body before it is answered 408."""
    HEARTBEAT: float = 15.0
    """Time after which a silent event stream sends a comment, so that no proxy takes it for dead."""
    OPENAPI: Mapping[str, str] = field(default_factory=dict)
    """The title, version and description of the API, for its OpenAPI document."""
    VALIDATE_OUTPUT: bool | None = None
    """Whether what typed handlers return is checked against their annotation. None: with DEBUG, and in tests."""
    TRUSTED_PROXIES: Sequence[str] = ()
    """Networks (CIDR) of proxies of our own, whose word on a client's address is believed; "unix" is a Unix socket."""
    FORWARDED_HEADER: str = "X-Forwarded-For"
    """The header in which they say it: X-Forwarded-For or Forwarded. The other one is anybody's."""
    THROTTLE_BACKEND: str = "memory"
    """Where throttles count: "memory", "cache", "database", "redis", or the dotted path of a Backend."""
    THROTTLE_LOCATION: str = ""
    """The URL of Redis; or the alias of the cache or the database, if it is not the default one."""
    THROTTLE_PREFIX: str = "daf-throttle:"
    """What keys in a cache or Redis begin with: two sites that share one need two prefixes."""
    THROTTLE_TIMEOUT: float = 1.0
    """How long a request waits, at most, to be counted."""
    THROTTLE_FAIL_OPEN: bool = False
    """Whether requests that cannot be counted are let through; otherwise they are answered 503."""
    THROTTLE_PER_PROCESS: bool = False
    """Whether it is meant that each process counts by itself, as the memory backend does."""
    THROTTLE_MAX_KEYS: int = 100_000
    """Keys that the memory backend counts at the same time, at most."""
    IDEMPOTENCY_STORE: str = "database"
    """Where answers to requests with an Idempotency-Key are kept: "database" or "cache"."""
    IDEMPOTENCY_LOCATION: str = ""
    """The alias of that database or cache, if it is not the default one."""
    IDEMPOTENCY_PREFIX: str = "daf-idempotency:"
    """What keys in a cache begin with: two sites that share one need two prefixes."""
    THROTTLED_PATHS: Mapping[str, str] = field(default_factory=dict)
    """What throttle_middleware does: paths, and a rate, or the dotted path of a throttle, for all requests below."""


_NOT_ZERO = {
    "MAX_IN_FLIGHT": ", or None for no limit, not 0: nobody would be answered",
    "THROTTLE_MAX_KEYS": ", not 0: nobody could be counted",
}


def problems(raw: object) -> list[str]:
    """Return what is wrong with a ``DAF_VIEWS`` value, one sentence each; an empty list if nothing is."""
    if not isinstance(raw, Mapping):
        return [f"DAF_VIEWS must be a dict, not {type(raw).__name__}."]
    return [problem for key, value in raw.items() if (problem := _problem(key, value))]


def _problem(key: object, value: object) -> str | None:
    types = get_type_hints(Settings)
    if key not in types:
        known = [each.name for each in fields(Settings)]
        close = get_close_matches(str(key).upper(), known, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
        return f"DAF_VIEWS[{key!r}] is not a known key. {remedy}"
    wanted = types[str(key)]
    if not _fits(value, wanted):
        name = getattr(wanted, "__name__", None) if get_origin(wanted) is None else None
        return f"DAF_VIEWS[{key!r}] must be {name or str(wanted).removeprefix('collections.abc.')}, not {value!r}."
    return _out_of_bounds(str(key), value, wanted)


def _out_of_bounds(key: str, value: Any, wanted: Any) -> str | None:
    if wanted is float and not value > 0:
        return f"DAF_VIEWS[{key!r}] must be more than 0 seconds, not {value!r}."
    if value == 0 and key in _NOT_ZERO:
        return f"DAF_VIEWS[{key!r}] must be 1 or more{_NOT_ZERO[key]}."
    if isinstance(value, int) and value < 0:
        return f"DAF_VIEWS[{key!r}] must be 0 or more, not {value!r}."
    if key == "FORWARDED_HEADER" and value.lower() not in {"x-forwarded-for", "forwarded"}:
        return f"DAF_VIEWS['FORWARDED_HEADER'] must be 'X-Forwarded-For' or 'Forwarded', not {value!r}."
    if key == "TRUSTED_PROXIES":
        return next(filter(None, map(_not_a_network, value)), None)
    return None


def _not_a_network(text: str) -> str | None:
    try:
        if text != "unix":
            ip_network(text)
    except ValueError as error:
        return f"DAF_VIEWS['TRUSTED_PROXIES'] must hold networks like '10.0.0.0/8', or 'unix': {error}."
    return None


def _fits(value: object, wanted: Any) -> bool:
    if isinstance(wanted, UnionType):
        return any(_fits(value, kind) for kind in get_args(wanted))
    if get_origin(wanted) is Mapping:
        return isinstance(value, Mapping) and all(isinstance(text, str) for item in value.items() for text in item)
    if get_origin(wanted) is Sequence:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):  # an int to Python, not to anyone else
        return wanted is bool
    return isinstance(value, int | float if wanted is float else wanted)


@cache
def get_settings() -> Settings:
    """Return the settings in force. Raise ImproperlyConfigured, naming each wrong key, if there are any."""
    raw = getattr(django_settings, "DAF_VIEWS", {})
    if wrong := problems(raw):
        raise ImproperlyConfigured(" ".join(wrong))
    return Settings(**raw)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "DAF_VIEWS":
        get_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.settings")
