"""The system check of idempotency keys."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from daf_views._core.urlconf import routes, shortened
from daf_views.idempotency.policy import IdempotencyKey
from daf_views.settings import problems


@register("daf_views")
def check_idempotency(**_: Any) -> list[CheckMessage]:
    """``daf_views.E008``: a view with idempotency keys whose store cannot be used, or would not keep them."""
    if problems(getattr(settings, "DAF_VIEWS", {})):
        return []
    found: dict[str, list[str]] = {}
    for route in routes():
        if (problem := _store_problem(route.view)) is not None:
            found.setdefault(problem, []).append(route.name)
    return [Error(f"{problem} Views: {shortened(views)}.", id="daf_views.E008") for problem, views in found.items()]


def _store_problem(view: Any) -> str | None:
    given = getattr(view, "view_initkwargs", {})
    idempotency = given.get("idempotency", getattr(getattr(view, "view_class", None), "idempotency", None))
    if not isinstance(idempotency, IdempotencyKey):
        return None
    try:
        idempotency.get_store()
    except ImproperlyConfigured as error:
        return str(error)
    return None
