"""``tasks_overview``: running, waiting and failed tasks, as a page or as JSON. For staff only."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.apps import apps

from daf_orm import database_sync_to_async
from daf_views.staff import page_template, staff_page
from daf_views.tasks.compat import task_backends
from daf_views.tasks.in_process.backend import InProcessBackend
from daf_views.tasks.overview import process
from daf_views.tasks.overview.values import BackendOverview

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template import Template


@cache
def _template() -> Template:
    return page_template(Path(__file__).parent / "overview.html")


@staff_page(_template)
async def tasks_overview(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - a view's
    """Answer a member of staff with the tasks of every backend in ``TASKS``: HTML for browsers, JSON for the others.

    ``?format=json`` gives JSON to browsers, too.
    """
    return {"backends": [await _overview(alias) for alias in task_backends.settings]}


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
