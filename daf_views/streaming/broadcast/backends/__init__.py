"""Backends that carry messages: ``get_backend()`` returns the one that the settings name."""

from __future__ import annotations

from functools import cache

from django.core.signals import setting_changed

from daf_views._core.backends import backend_class_of
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
    settings = get_settings()
    kind = backend_class_of(Backend, "BROADCAST_BACKEND", settings.BROADCAST_BACKEND, BACKENDS, "broadcasts")
    return kind.from_settings(settings)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DAF_VIEWS", "DATABASES", "DAF_ORM"}:
        get_backend.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.streaming.broadcast.backends")
