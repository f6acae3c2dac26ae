"""``tasks_overview``: running, waiting and failed tasks, as a page or as JSON. For staff only."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse
from django.template import Context, Engine
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache

from daf_orm import database_sync_to_async
from daf_views.auth.identity import user_of
from daf_views.errors.html import prefers_html
from daf_views.errors.problems import response_for
from daf_views.exceptions import ForbiddenError, NotAuthenticatedError
from daf_views.http.json import encode
from daf_views.tasks.compat import task_backends
from daf_views.tasks.in_process.backend import InProcessBackend
from daf_views.tasks.overview import process
from daf_views.tasks.overview.values import STATES, BackendOverview
from daf_views.views.atomic import OptedOut

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template import Template


@never_cache
async def tasks_overview(request: HttpRequest) -> HttpResponse:
    """Answer a member of staff with the tasks of every backend in ``TASKS``: HTML for browsers, JSON for the others.

    ``?format=json`` gives JSON to browsers, too.
    """
    if (refusal := await _refusal(request)) is not None:
        return refusal
    overviews = [await _overview(alias) for alias in task_backends.settings]
    if _wants_html(request):
        response = HttpResponse(await sync_to_async(_page, thread_sensitive=False)(overviews))
    else:
        response = HttpResponse(encode({"backends": overviews}), content_type="application/json")
    patch_vary_headers(response, ["Accept", "Cookie"])
    return response


async def _refusal(request: HttpRequest) -> HttpResponse | None:
    user = await user_of(request)
    if user.is_active and user.is_staff:
        return None
    if user.is_authenticated:
        return await response_for(request, ForbiddenError("This page is for staff."))
    if _wants_html(request):
        return redirect_to_login(request.get_full_path())
    return await response_for(request, NotAuthenticatedError(challenge="Session"))


def _wants_html(request: HttpRequest) -> bool:
    return request.GET.get("format") != "json" and prefers_html(request)


async def _overview(alias: str) -> BackendOverview:
    backend: Any = task_backends[alias]
    path = f"{type(backend).__module__}.{type(backend).__qualname__}"
    if isinstance(backend, InProcessBackend):  # in a thread: there may be ten thousand
        return await sync_to_async(process.overview, thread_sensitive=False)(backend, path)
    if _is_in_the_database(backend):
        from daf_views.tasks.overview import database  # noqa: PLC0415 - it imports the engine's models

        return await database_sync_to_async(database.overview)(alias, path)
    return BackendOverview(alias=alias, backend=path, scope="unknown here: use the tools of its engine")


def _is_in_the_database(backend: Any) -> bool:
    if not (find_spec("django_tasks_db") and apps.is_installed("django_tasks_db")):
        return False
    from django_tasks_db import DatabaseBackend  # noqa: PLC0415 - it need not be there

    return isinstance(backend, DatabaseBackend)


def _page(overviews: list[BackendOverview]) -> str:
    context = {"overviews": overviews, "states": STATES, "now": timezone.now()}
    return _template().render(Context(context))


@cache
def _template() -> Template:
    # A separate engine: those in TEMPLATES may not be Django's, or not look here.
    return Engine().from_string((Path(__file__).parent / "overview.html").read_text(encoding="utf-8"))


OptedOut.put_on(tasks_overview)  # it changes nothing, whatever ATOMIC_REQUESTS says
