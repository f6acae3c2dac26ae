"""A process that :mod:`benchmarks.sessions` measures: ``python -m benchmarks.sessions_worker KIND DATABASE``.

Each line on its input is ``{"requests": 200, "at_once": true, "upstream": 0.2}``. It answers with the seconds and CPU
seconds of all of them, the most connections that were pinned, and the number of refused requests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextvars import ContextVar
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.handler_worker import request

POOL_SIZE = 10
WARM_UP = 50
upstream = 0.0
pinned = 0
tenant: ContextVar[str] = ContextVar("tenant", default="")
DAF_ORM: dict[str, dict[str, Any]] = {
    "untouched": {},
    "CONFIGURE": {"CONFIGURE": "benchmarks.sessions_worker.settings_now"},
    "set_config": {},
    "session": {"POOL_MODE": "session"},
}


def settings_now() -> dict[str, str]:
    """Return what each call of a request needs."""
    return {"app.tenant": tenant.get()}


def names_tenant(get_response: Any) -> Any:
    """Let row-level security know of the request's tenant, by what DAF sets."""

    async def middleware(request: HttpRequest) -> Any:
        tenant.set(f"t{time.perf_counter_ns() % 100}")
        return await get_response(request)

    return middleware


def sets_tenant(get_response: Any) -> Any:
    """Do so by a separate statement."""
    from daf_orm import database_sync_to_async  # noqa: PLC0415 - after setup()

    async def middleware(request: HttpRequest) -> Any:
        await database_sync_to_async(set_tenant)(f"t{time.perf_counter_ns() % 100}")
        return await get_response(request)

    return middleware


for each in (names_tenant, sets_tenant):
    each.sync_capable, each.async_capable = False, True  # type: ignore[attr-defined] # as Django's decorators do
MIDDLEWARE = {"CONFIGURE": "names_tenant", "set_config": "sets_tenant"}


def set_tenant(name: str) -> None:
    """Set it on the session."""
    from django.db import connection  # noqa: PLC0415 - after setup()

    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', %s, false)", [name])


async def view(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view takes one
    """Query, wait for something else, and query again."""
    global pinned  # noqa: PLW0603 - this process has one measurement
    from daf_orm import get_pool  # noqa: PLC0415 - after setup()
    from tests.scenarios.packages.rows.models import Row  # noqa: PLC0415

    await Row.objects.afirst()
    pinned = max(pinned, get_pool().get_stats()["connections_pinned"])
    if upstream:
        await asyncio.sleep(upstream)
    await Row.objects.afirst()
    return HttpResponse("done")


urlpatterns = [path("", view)]


async def measure(app: Any, requests: int, *, at_once: bool) -> dict[str, float]:
    """Send the requests, at once or one after the other."""
    started, cpu, refused = time.perf_counter(), time.process_time(), 0
    if at_once:
        answers = await asyncio.gather(*(request(app) for _ in range(requests)), return_exceptions=True)
        refused = sum(isinstance(answer, AssertionError) for answer in answers)  # by a status other than 200
    else:
        for _ in range(requests):
            await request(app)
    return {
        "wall": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "pinned": pinned,
        "refused": refused,
    }


def main(kind: str, database: str) -> None:
    """Obey until the input ends."""
    global upstream, pinned
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        DAF_ORM={"MAX_SIZE": POOL_SIZE, "TIMEOUT": 120.0, **DAF_ORM[kind]},
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **json.loads(database)}},
        INSTALLED_APPS=["daf_orm", "tests.scenarios.packages.rows"],
        MIDDLEWARE=[f"{__name__}.{MIDDLEWARE[kind]}"] if kind in MIDDLEWARE else [],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
    )
    django.setup()
    from daf_views.asgi import get_asgi_application  # noqa: PLC0415

    app = get_asgi_application()
    with asyncio.Runner() as runner:
        runner.run(measure(app, WARM_UP, at_once=True))
        for line in sys.stdin:
            order = json.loads(line)
            upstream, pinned = order["upstream"], 0
            print(json.dumps(runner.run(measure(app, order["requests"], at_once=order["at_once"]))), flush=True)


if __name__ == "__main__":
    sys.modules["benchmarks.sessions_worker"] = sys.modules["__main__"]  # the URLconf, by its name
    __name__ = "benchmarks.sessions_worker"
    main(*sys.argv[1:])
