"""A process that :mod:`benchmarks.api` measures: ``python -m benchmarks.api_worker FRAMEWORK HANDLER FILE``.

Each line on its input is an endpoint and a number of requests; it answers with the CPU and wall seconds of one.
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

ORDER = json.dumps(
    {"customer": "ada@example.com", "lines": [{"book": n, "quantity": n + 1, "price": 12.5} for n in range(5)]}
).encode()
WARM_UP = 30


def application(framework: str, handler: str, file: str) -> Any:
    """Return the application, Django set up for it."""
    ours = framework == "daf"
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "benchmarks.api_shop",
            *(["daf_orm", "daf_views"] if ours else []),
        ],
        MIDDLEWARE=[],
        ROOT_URLCONF=f"benchmarks.api_shop.{framework}_api",
        SECRET_KEY="not a secret",
        USE_TZ=True,
    )
    django.setup()
    if handler == "daf":
        from daf_views.asgi import get_asgi_application  # noqa: PLC0415 - no DAF code in another's process

        return get_asgi_application()
    from django.core.asgi import get_asgi_application as get_stock_application  # noqa: PLC0415

    return get_stock_application()


async def request(app: Any, endpoint: str) -> bytes:
    """Send one request, in a new task as a server would, and return the body of the response."""
    body = ORDER if endpoint == "order" else b""
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    statuses, parts = [], []

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: MutableMapping[str, Any]) -> None:
        if "status" in message:
            statuses.append(message["status"])
        parts.append(message.get("body", b""))

    await asyncio.create_task(app(_scope(endpoint, body), receive, send))
    assert statuses in ([200], [201]), (statuses, parts)
    return b"".join(parts)


def _scope(endpoint: str, body: bytes) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"accept", b"application/json")]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "path": f"/{endpoint}",
        "query_string": b"",
        "scheme": "http",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }


async def seconds_of(app: Any, endpoint: str, number: int) -> dict[str, float]:
    """Return the CPU seconds, of all threads, and the wall seconds of one request."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(number):
        await request(app, endpoint)
    return {"cpu": (time.process_time() - cpu) / number, "wall": (time.perf_counter() - wall) / number}


def _check(endpoint: str, body: bytes) -> None:
    answer = json.loads(body)
    if endpoint == "order":
        assert answer == {"customer": "ada@example.com", "total": 187.5}, answer
    else:
        assert len(answer) == 100, answer
        assert set(answer[0]) == {"id", "title", "author"}, answer[0]
        assert set(answer[0]["author"]) == {"id", "name"}, answer[0]


def main(framework: str, handler: str, file: str) -> None:
    """Obey until the input ends."""
    app = application(framework, handler, file)
    if framework == "seed":
        from benchmarks.api_shop.models import seed  # noqa: PLC0415 - models need the applications

        seed()
        return
    with asyncio.Runner() as runner:
        for endpoint in ("order", "books"):
            _check(endpoint, runner.run(request(app, endpoint)))
            runner.run(seconds_of(app, endpoint, WARM_UP))
        for line in sys.stdin:
            print(json.dumps(runner.run(seconds_of(app, **json.loads(line)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
