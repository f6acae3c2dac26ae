"""Stores of keys and responses: ``get_store()`` returns the one that the settings, or a view, name."""

from __future__ import annotations

from functools import cache

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from daf_views.idempotency.stores.base import Claim, Record, Store
from daf_views.settings import get_settings

__all__ = ["STORES", "Claim", "Record", "Store", "get_store"]

STORES = {
    "cache": "daf_views.idempotency.stores.cache.CacheStore",
    "database": "daf_views.idempotency.stores.database.DatabaseStore",
}
"""Names that ``IDEMPOTENCY_STORE`` and ``IdempotencyKey(store=…)`` take."""


@cache
def get_store(name: str | None = None) -> Store:
    """Return the store of that name; None is the setting. Raise ImproperlyConfigured if it cannot be used."""
    settings = get_settings()
    name = settings.IDEMPOTENCY_STORE if name is None else name
    if name not in STORES:
        known = " or ".join(map(repr, sorted(STORES)))
        raise ImproperlyConfigured(f"DAF_VIEWS['IDEMPOTENCY_STORE'] must be {known}, not {name!r}.")
    kind: type[Store] = import_string(STORES[name])
    return kind.from_settings(settings)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DAF_VIEWS", "CACHES", "DEBUG", "INSTALLED_APPS"}:
        get_store.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.idempotency.stores")
