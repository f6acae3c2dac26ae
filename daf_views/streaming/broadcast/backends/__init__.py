"""Backends that carry messages: ``get_backend()`` returns the one that the settings name."""

from __future__ import annotations

from functools import cache

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from daf_views.settings import get_settings
from daf_views.streaming.broadcast.backends.base import Backend, Receiver

__all__ = ["BACKENDS", "Backend", "Receiver", "get_backend", "make_backend"]

BACKENDS = {
    "memory": "daf_views.streaming.broadcast.backends.memory.MemoryBackend",
    "postgresql": "daf_views.streaming.broadcast.backends.postgresql.PostgreSQLBackend",
    "redis": "daf_views.streaming.broadcast.backends.redis.RedisBackend",
}
"""Short names of DAF's backends for ``BROADCAST_BACKEND``."""


@cache
def get_backend() -> Backend:
    """Return the backend of this process. Raise ImproperlyConfigured if the settings describe none."""
    return make_backend()


def make_backend() -> Backend:
    """Return a new backend of the kind that the settings name."""
    return _backend_class(get_settings().BROADCAST_BACKEND).from_settings(get_settings())


def _backend_class(name: str) -> type[Backend]:
    path = BACKENDS.get(name, name)
    try:
        kind = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(_cannot_import(name, error)) from error
    if not (isinstance(kind, type) and issubclass(kind, Backend)):
        raise ImproperlyConfigured(f"DAF_VIEWS['BROADCAST_BACKEND'] names {path!r}, which is no Backend.")
    return kind


def _cannot_import(name: str, error: ImportError) -> str:
    if name == "redis":
        return f'The redis backend of broadcasts needs a client ({error}): pip install "django-daf[redis]".'
    return (
        f"DAF_VIEWS['BROADCAST_BACKEND'] names {name!r}, which cannot be imported: {error}. "
        f"Ours are {', '.join(sorted(BACKENDS))}."
    )


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DAF_VIEWS", "DATABASES", "DAF_ORM"}:
        get_backend.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.streaming.broadcast.backends")
