"""Backends that keep states: ``get_backend()`` returns the one that the settings name."""

from __future__ import annotations

import logging
from functools import cache

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from daf_views._core.backends import backend_class_of
from daf_views.settings import get_settings
from daf_views.throttling.backends.base import Backend

__all__ = ["BACKENDS", "Backend", "backend_class", "get_backend", "make_backend"]

logger = logging.getLogger("daf_views")

BACKENDS = {
    "cache": "daf_views.throttling.backends.cache.CacheBackend",
    "database": "daf_views.throttling.backends.database.DatabaseBackend",
    "memory": "daf_views.throttling.backends.memory.MemoryBackend",
    "redis": "daf_views.throttling.backends.redis.RedisBackend",
}
"""Short names of DAF's backends for ``THROTTLE_BACKEND``."""


@cache
def get_backend() -> Backend:
    """Return the backend of this process. Raise ImproperlyConfigured if the settings describe none."""
    backend = make_backend()
    if not (backend.is_shared or django_settings.DEBUG or get_settings().THROTTLE_PER_PROCESS):
        logger.warning("Throttles count in each process separately: see the check daf_views.E005.")
    return backend


def make_backend() -> Backend:
    """Return a new backend of the kind that the settings name."""
    return backend_class().from_settings(get_settings())


def backend_class() -> type[Backend]:
    """Return the kind that the settings name."""
    return backend_class_of(Backend, "THROTTLE_BACKEND", get_settings().THROTTLE_BACKEND, BACKENDS, "throttles")


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DAF_VIEWS", "CACHES", "INSTALLED_APPS"}:
        get_backend.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.throttling.backends")
