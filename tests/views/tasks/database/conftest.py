import asyncio
import threading

import pytest
from django.db import OperationalError

from daf_views.asgi import current_drain
from daf_views.tasks.database.models import Worker
from daf_views.tasks.database.worker import DatabaseWorker
from tests.views.tasks import jobs
from tests.views.tasks.database.workers import make_queue


@pytest.fixture
async def working():
    """Start a worker; at the end it is stopped, and has no connection open."""
    running = []

    def start(queue=None, interval=0.01, **options):
        worker = DatabaseWorker(queue or make_queue(), interval=interval, **options)
        running.append(asyncio.create_task(worker.run()))
        worker.end = running[-1]
        return worker

    yield start
    jobs.go_on.set()
    current_drain().request()
    await asyncio.gather(*running, return_exceptions=True)
    await current_drain().settle(10)
    assert await Worker.objects.acount() == 0


@pytest.fixture
def lose_answer(monkeypatch):
    """Have the answer to the next call of a method be lost once, after the call has succeeded."""

    def lose(kind, name):
        original, lost = getattr(kind, name), threading.Event()

        def call(self, *args, **kwargs):
            value = original(self, *args, **kwargs)
            if not lost.is_set():
                lost.set()
                raise OperationalError("server closed the connection unexpectedly")
            return value

        monkeypatch.setattr(kind, name, call)
        return lost

    return lose
