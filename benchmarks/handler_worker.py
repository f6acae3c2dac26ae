"""A process that :mod:`benchmarks.handler` measures: ``python -m benchmarks.handler_worker HANDLER MIDDLEWARE``.

Each line on its input is a number of requests; it answers with the CPU seconds and the thread hops that one took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

DEFAULT_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "scheme": "http",
    "headers": [(b"host", b"localhost"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")],
    "client": ("127.0.0.1", 50_000),
    "server": ("127.0.0.1", 80),
}
FIRST = {"type": "http.request", "body": b"", "more_body": False}
WARM_UP = 100


async def view(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view takes one
    """Answer at once."""
    return HttpResponse("hello")


urlpatterns = [path("", view)]


def application(handler: str, *, middleware: bool) -> Any:
    """Return the application of a contestant, Django set up for it."""
    wanted = DEFAULT_MIDDLEWARE if middleware else []
    if handler == "DAF":
        from daf_views.middleware import thread_free  # noqa: PLC0415 - no DAF code in a stock process

        wanted = thread_free(wanted)
    apps = ["auth", "contenttypes", "sessions", "messages"]
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), *(["daf_orm"] if handler == "DAF" else [])],
        MIDDLEWARE=wanted,
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
    )
    django.setup()
    if handler == "DAF":
        from daf_views.asgi import get_asgi_application  # noqa: PLC0415

        return get_asgi_application()
    from django.core.asgi import get_asgi_application as get_stock_application  # noqa: PLC0415

    return get_stock_application()


async def request(app: Any) -> None:
    """Send one request, in a new task as a server would, and wait for its end."""
    messages, statuses = [FIRST], []

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: MutableMapping[str, Any]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    await asyncio.create_task(app(SCOPE.copy(), receive, send))
    assert statuses == [200]


async def cpu_of(app: Any, number: int) -> float:
    """Return the CPU seconds of one request, of all threads."""
    started = time.process_time()
    for _ in range(number):
        await request(app)
    return (time.process_time() - started) / number


async def hops_of(app: Any) -> int:
    """Return the thread hops of one request."""
    from asgiref.sync import SyncToAsync  # noqa: PLC0415 - patched for this one request

    hops, original = 0, SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal hops
        hops += 1
        return await original(self, *args, **kwargs)

    SyncToAsync.__call__ = counted  # type: ignore[method-assign]
    try:
        await request(app)
    finally:
        SyncToAsync.__call__ = original  # type: ignore[method-assign]
    return hops


def main(handler: str, middleware: str) -> None:
    """Obey until the input ends."""
    app = application(handler, middleware=middleware == "default")
    with asyncio.Runner() as runner:
        runner.run(cpu_of(app, WARM_UP))
        hops = runner.run(hops_of(app))
        for line in sys.stdin:
            print(json.dumps({"cpu": runner.run(cpu_of(app, json.loads(line)["requests"])), "hops": hops}), flush=True)


if __name__ == "__main__":
    sys.modules["benchmarks.handler_worker"] = sys.modules["__main__"]  # the URLconf, by its name
    __name__ = "benchmarks.handler_worker"
    main(*sys.argv[1:])
