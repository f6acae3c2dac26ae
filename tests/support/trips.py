"""The modules that a request goes through: seven trips, and the modules of DAF that each enters, in order.

``python -m tests.support.trips`` prints for each trip the calls, the rooms (modules), the moves and the returns. A move
is a call from one module of DAF into another, on any thread. A return is to a module that the trip had left.
"""

import asyncio
import dataclasses
import json
import os
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import django
from django.conf import settings

if __name__ == "__main__":
    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "daf_orm", "daf_views"],
        MIDDLEWARE=["daf_views.middleware.async_error_middleware"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": Path(tempfile.mkdtemp()) / "trips.sqlite3",
            }
        },
        TASKS={"default": {"BACKEND": "daf_views.tasks.InProcessBackend"}},
    )
    django.setup()

from django.contrib.auth.models import Group
from django.core.management import call_command
from django.urls import path

import daf_orm
from daf_orm import transaction
from daf_orm.detection import record_blocking
from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.tasks import async_task
from daf_views.throttling import AsyncRateThrottle

ROOT = str(Path(daf_orm.__file__).parents[1]) + os.sep
PACKAGES = (f"{ROOT}daf_orm{os.sep}", f"{ROOT}daf_views{os.sep}")


@dataclasses.dataclass
class GroupIn:
    name: str


@dataclasses.dataclass
class GroupOut:
    id: int
    name: str


class Groups(AsyncAPIView):
    enforces_csrf = False

    async def post(self, request, body: GroupIn) -> GroupOut:
        return await Group.objects.acreate(name=body.name)


class Echo(AsyncAPIView):
    enforces_csrf = False

    async def post(self, request, body: GroupIn) -> GroupOut:
        return GroupOut(id=1, name=body.name)


class ThrottledGroups(Groups):
    throttle = AsyncRateThrottle("1000/minute")


@async_task(retries=1)
async def double(number):
    return 2 * number


urlpatterns = [
    path("groups", Groups.as_view()),
    path("throttled", ThrottledGroups.as_view()),
    path("echo", Echo.as_view()),
]


class Trips:
    """Watches every call, and notes those that enter a module of DAF."""

    def __init__(self) -> None:
        self.steps: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
        self._current: str | None = None
        self._lock = threading.Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        threading.setprofile(self._watch)
        sys.setprofile(self._watch)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    async def make(self, name: str, trip: Callable[[], Awaitable[Any]]) -> None:
        self._current = name
        try:
            await trip()
        finally:
            await asyncio.sleep(0.05)  # other threads finish the trip's work
            self._current = None

    def _watch(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or self._current is None or (here := room(frame)) is None:
            return
        back = frame.f_back
        while back is not None and room(back) is None:
            back = back.f_back
        with self._lock:
            self.steps[self._current].append((None if back is None else room(back), here))


def room(frame: FrameType) -> str | None:
    name = frame.f_code.co_filename
    return name[len(ROOT) : -len(".py")] if name.startswith(PACKAGES) else None


async def query() -> None:
    await Group.objects.filter(pk=-1).afirst()


async def atomic_with_a_cancelled_child() -> None:
    try:
        async with transaction.atomic():
            await Group.objects.acreate(name=os.urandom(8).hex())
            child = asyncio.create_task(Group.objects.acount())
            await asyncio.sleep(0)
            child.cancel()
            await asyncio.gather(child, return_exceptions=True)
            raise LookupError
    except LookupError:
        pass


def post_to(application: Any, url: str) -> Callable[[], Awaitable[None]]:
    async def post() -> None:
        body = json.dumps({"name": os.urandom(8).hex()}).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": url,
            "raw_path": url.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 5000),
            "headers": [
                (b"host", b"x"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
        received, sent = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive() -> Any:
            return received.pop() if received else await asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            sent.append(message)

        await application(scope, receive, send)
        assert sent[0]["status"] == 200, sent

    return post


async def enqueue_and_run() -> None:
    await double.aenqueue(1)


async def block() -> None:
    with record_blocking() as calls:
        Group.objects.count()
    assert calls


async def travel(trips: Trips) -> None:
    application = get_asgi_application()
    for _ in range(2):  # the second time is warm
        trips.steps.clear()
        await trips.make("one a… query", query)
        await trips.make("atomic with a cancelled child", atomic_with_a_cancelled_child)
        await trips.make("POST to a typed AsyncAPIView, without a query", post_to(application, "/echo"))
        await trips.make("POST to a typed AsyncAPIView", post_to(application, "/groups"))
        await trips.make("the same with a throttle", post_to(application, "/throttled"))
        await trips.make("@async_task, enqueued and run", enqueue_and_run)
        await trips.make("a blocking call, recorded", block)


def describe(name: str, steps: list[tuple[str | None, str]]) -> str:
    rooms = dict.fromkeys(here for _, here in steps)
    moves = Counter(here for came, here in steps if came != here)
    entered = [
        here for last, (_, here) in zip([None, *(here for _, here in steps)], steps, strict=False) if here != last
    ]
    most = ", ".join(f"{where} x{times}" for where, times in moves.most_common(6))
    returns = len(entered) - len(rooms)
    return (
        f"\n## {name}: {len(steps)} calls, {len(rooms)} rooms, {moves.total()} moves, {returns} returns\n"
        f"  first entered: {' > '.join(rooms)}\n  most entered: {most}"
    )


def main() -> None:
    call_command("migrate", verbosity=0)
    trips = Trips()
    with trips.watched():
        asyncio.run(travel(trips))
    for name, steps in trips.steps.items():
        print(describe(name, steps))


if __name__ == "__main__":
    main()
