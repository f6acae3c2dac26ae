"""An OpenAPI 3.1 document of the API views that a URLconf leads to, read off their handlers' annotations.

Source: the OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.core.signals import setting_changed
from django.utils.translation import get_language

from daf_views.http.json import encode
from daf_views.openapi.components import Components
from daf_views.openapi.endpoints import endpoints
from daf_views.openapi.operations import path_item
from daf_views.settings import get_settings

VERSION = "3.1.1"


def document(urlconf: Any = None) -> dict[str, Any]:
    """Return the document. Raises TypeError, which names the handler, for an impossible signature."""
    components = Components()
    paths: dict[str, Any] = {}
    for endpoint in endpoints(urlconf):
        paths.setdefault(endpoint.path, path_item(endpoint, components))  # the first, as the resolver takes it
    info = {"title": "API", "version": "0.1.0", **get_settings().OPENAPI}
    return {"openapi": VERSION, "info": info, "paths": paths, "components": components.as_dict()}


def as_json(urlconf: Any = None, *, prefix: str = "") -> bytes:
    """Return it as JSON, made once for each language, which may be part of paths, and each URL prefix of the server."""
    return _as_json(urlconf, prefix, get_language())


@lru_cache(maxsize=64)
def _as_json(urlconf: Any, prefix: str, language: str | None) -> bytes:  # noqa: ARG001 - the thread's, and the key's
    servers = {"servers": [{"url": prefix}]} if prefix else {}
    return encode({**document(urlconf), **servers})


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"ROOT_URLCONF", "DAF_VIEWS"}:
        _as_json.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.openapi")
