"""System checks of settings that cost async requests threads, or make async views fail.

They run wherever ``"daf_views"`` is installed: a project that installs it serves async requests.
"""

from __future__ import annotations

import sys
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.db import connections
from django.utils.module_loading import import_string

from daf_views._core.urlconf import routes, shortened
from daf_views._django.handlers import non_atomic_aliases
from daf_views.api import checks as _api_checks  # noqa: F401 - registers them
from daf_views.idempotency import checks as _idempotency_checks  # noqa: F401 - the same
from daf_views.middleware import checks as _middleware_checks  # noqa: F401 - the same
from daf_views.settings import problems
from daf_views.streaming.broadcast import checks as _broadcast_checks  # noqa: F401 - the same
from daf_views.throttling import checks as _throttling_checks  # noqa: F401 - the same
from daf_views.views import url_checks as _url_checks  # noqa: F401 - the same


@register("daf_views")
def check_settings(**_: Any) -> list[CheckMessage]:
    """``daf_views.E001``: an unknown key or a wrong value in ``DAF_VIEWS``."""
    return [Error(problem, id="daf_views.E001") for problem in problems(getattr(django_settings, "DAF_VIEWS", {}))]


@register("daf_views")
def check_apps(**_: Any) -> list[CheckMessage]:
    """``daf_views.E002``: ``daf_orm`` is not installed, so nothing adapts Django's async methods."""
    if apps.is_installed("daf_orm"):
        return []
    message = '"daf_views" is in INSTALLED_APPS without "daf_orm", which it requires.'
    return [Error(message, hint='Add "daf_orm" to INSTALLED_APPS.', id="daf_views.E002")]


@register("daf_views")
def check_lifespan(**_: Any) -> list[CheckMessage]:
    """``daf_views.E003``: a startup hook that cannot be imported, so that no server would start."""
    if problems(raw := getattr(django_settings, "DAF_VIEWS", {})):
        return []
    return [
        Error(f"DAF_VIEWS['LIFESPAN'] names {path!r}, which cannot be imported: {error}.", id="daf_views.E003")
        for path in raw.get("LIFESPAN", ())
        if (error := _import_error(path)) is not None
    ]


@register("daf_views")
def check_atomic_requests(**_: Any) -> list[CheckMessage]:
    """``daf_views.W002``: async views that Django will refuse to call because of ``ATOMIC_REQUESTS``."""
    aliases = [alias for alias, database in connections.settings.items() if database.get("ATOMIC_REQUESTS")]
    if not aliases:
        return []
    views = [route.name for route in routes() if _is_refused(route.view, aliases)]
    if not views:
        return []
    return [
        CheckWarning(
            f"ATOMIC_REQUESTS is on for {', '.join(map(repr, aliases))}, and Django raises RuntimeError for every "
            f"request to an async view: {shortened(views)}.",
            hint=(
                "Derive the view from daf_views.AsyncView with `atomic = True`; or decorate it with "
                "@django.db.transaction.non_atomic_requests and use `async with daf_orm.transaction.atomic():` in it."
            ),
            id="daf_views.W002",
        )
    ]


@register("daf_views")
def check_tasks(**_: Any) -> list[CheckMessage]:
    """``daf_views.E006``, ``E007``, ``E015`` and ``E016``: wrong options of a backend, tasks it cannot run or keep."""
    backends = getattr(django_settings, "TASKS", {})
    is_ours = any(str(each.get("BACKEND", "")).startswith("daf_views.tasks") for each in backends.values())
    if not is_ours and "daf_views.tasks.task" not in sys.modules:
        return []
    from daf_views.tasks import checks  # noqa: PLC0415 - on Django 5.2 it needs a package that others need not have

    found = (checks.check_options(), checks.check_durability(), checks.check_features(), checks.check_placement())
    return [message for each in found for message in each]


def _import_error(path: str) -> ImportError | None:
    try:
        import_string(path)
    except ImportError as error:
        return error
    return None


def _is_refused(view: Any, aliases: list[str]) -> bool:
    """Return True if ``BaseHandler.make_view_atomic()`` refuses it."""
    exempt = non_atomic_aliases(view)
    return iscoroutinefunction(view) and any(alias not in exempt for alias in aliases)
