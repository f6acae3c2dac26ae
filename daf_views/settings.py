"""The ``DAF_VIEWS`` setting: one frozen value, its defaults and its rules in one place."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from ipaddress import ip_network
from types import ModuleType

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from daf_orm.settings import limited, problems_in

MIN_TOKEN_LENGTH = 16
"""Characters of ``METRICS_TOKEN``, at least."""


def _no_forwarded_header(name: str) -> str | None:
    if name.lower() in {"x-forwarded-for", "forwarded"}:
        return None
    return f"be 'X-Forwarded-For' or 'Forwarded', not {name!r}"


def _not_networks(texts: Sequence[str]) -> str | None:
    for text in texts:
        try:
            if text != "unix":
                ip_network(text)
        except ValueError as error:
            return f"hold networks like '10.0.0.0/8', or 'unix': {error}"
    return None


def _not_ip_networks(texts: Sequence[str]) -> str | None:
    if "unix" in texts:
        return "hold networks like '10.0.0.0/8', and not 'unix': all requests through a Unix socket look alike"
    return _not_networks(texts)


def _too_short(token: str) -> str | None:
    if len(token) >= MIN_TOKEN_LENGTH:
        return None
    return f"have {MIN_TOKEN_LENGTH} characters or more: take secrets.token_urlsafe()"


@cache
def zstd() -> ModuleType | None:
    """Return the module that decodes zstd, Python's own from 3.14 on; None if there is none."""
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(name)
    return None


def _not_codings(names: Sequence[str]) -> str | None:
    if not set(names) <= {"gzip", "deflate", "zstd"}:
        return f"hold some of 'gzip', 'deflate' and 'zstd', not {list(names)!r}"
    if "zstd" in names and zstd() is None:
        return "hold no 'zstd' here: it takes Python 3.14, or the package backports.zstd"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in ``DAF_VIEWS``. Times are seconds, and more than 0; counts are 0 or more."""

    LIFESPAN: Sequence[str] = ()
    """Dotted paths of startup hooks: functions, or context managers that are left at the end."""
    DRAIN_TIMEOUT: float = 20.0
    """Seconds that requests and background work may take to end once the server wants to stop."""
    MAX_IN_FLIGHT: int | None = limited(None, least=1, unless="None for no limit")
    """Requests that are answered at the same time, at most, in one process. None: no limit."""
    MAX_WAITING: int = 100
    """Requests that wait for a slot, at most; one more is answered 503."""
    WAIT_TIMEOUT: float = 5.0
    """Seconds that a request waits for a slot before it is answered 503."""
    RETRY_AFTER: int = 1
    """Seconds that a 503 asks a client to wait, in its Retry-After header."""
    THREAD_PER_REQUEST: bool = False
    """True if the thread-sensitive calls of a request share one thread, which ends with it, as under Django's handler:
    for code that keeps data of a request in a ``threading.local``."""
    BODY_TIMEOUT: float = 60.0
    """Seconds that a client may take to send its whole body before it is answered 408."""
    CONTENT_CODINGS: Sequence[str] = limited((), check=_not_codings)
    """Content codings that the bodies of requests are decoded from: gzip, deflate, zstd. Any other is answered 415."""
    HEARTBEAT: float = 15.0
    """Seconds after which a silent event stream sends a comment, so that no proxy closes it."""
    PROBLEM_PATHS: Sequence[str] = ()
    """Paths at and below which ``async_error_middleware`` answers every error with a problem, like "/api/"; "/" is
    all. Elsewhere it does so for DAF views, and leaves the rest to Django and the project's error handlers."""
    BROADCAST_BACKEND: str = "memory"
    """The carrier of broadcasts: "memory", "postgresql", "redis", or the dotted path of a Backend."""
    BROADCAST_LOCATION: str = ""
    """The URL of Redis; or the alias of the PostgreSQL database, if it is not the default one."""
    BROADCAST_PREFIX: str = "daf-broadcast"
    """The channel of PostgreSQL, or the prefix of those of Redis: two sites that share a server need two."""
    BROADCAST_TIMEOUT: float = 5.0
    """Seconds that a subscription waits for its process to be connected, at most, and a message to be published."""
    BROADCAST_PER_PROCESS: bool = False
    """True if there is one process, or if broadcasts are meant to stay within each, as with the memory backend."""
    OPENAPI: Mapping[str, str] = field(default_factory=dict)
    """The title, version and description of the API, for its OpenAPI document."""
    VALIDATE_OUTPUT: bool | None = None
    """True if return values of typed handlers are checked against their annotation. None: with DEBUG, and in tests."""
    TRUSTED_PROXIES: Sequence[str] = limited((), check=_not_networks)
    """Networks (CIDR) of trusted proxies, which state the address of a client; "unix" is a Unix socket."""
    FORWARDED_HEADER: str = limited("X-Forwarded-For", check=_no_forwarded_header)
    """The header in which they state the address: X-Forwarded-For or Forwarded. Any client may send the other one."""
    THROTTLE_BACKEND: str = "memory"
    """The backend of throttles: "memory", "cache", "database", "redis", or the dotted path of a Backend."""
    THROTTLE_LOCATION: str = ""
    """The URL of Redis; or the alias of the cache or the database, if it is not the default one."""
    THROTTLE_PREFIX: str = "daf-throttle:"
    """The prefix of keys in a cache or Redis: two sites that share one need two prefixes."""
    THROTTLE_TIMEOUT: float = 1.0
    """Seconds that a request waits, at most, to be counted."""
    THROTTLE_FAIL_OPEN: bool = False
    """True if requests that cannot be counted are let through; otherwise they are answered 503."""
    THROTTLE_PER_PROCESS: bool = False
    """True if each process is meant to count separately, as the memory backend does."""
    THROTTLE_MAX_KEYS: int = limited(100_000, least=1)
    """Keys that the memory backend counts at the same time, at most."""
    IDEMPOTENCY_STORE: str = "database"
    """The store of responses to requests with an Idempotency-Key: "database" or "cache"."""
    IDEMPOTENCY_LOCATION: str = ""
    """The alias of that database or cache, if it is not the default one."""
    IDEMPOTENCY_PREFIX: str = "daf-idempotency:"
    """The prefix of keys in a cache: two sites that share one need two prefixes."""
    METRICS_TOKEN: str | None = limited(None, check=_too_short)
    """The bearer token with which Prometheus may read the metrics view. None: no token is accepted."""
    METRICS_NETWORKS: Sequence[str] = limited((), check=_not_ip_networks)
    """Networks (CIDR) from which the metrics view may be read without a token."""
    THROTTLED_PATHS: Mapping[str, str] = field(default_factory=dict)
    """For throttle_middleware: paths, and a rate, or the dotted path of a throttle, for all requests below."""


def problems(raw: object) -> list[str]:
    """Return the mistakes in a ``DAF_VIEWS`` value, one sentence each; an empty list if there are none."""
    return problems_in(raw, Settings, "DAF_VIEWS")


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
