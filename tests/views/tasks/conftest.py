import asyncio

import pytest

from daf_views.asgi import current_drain
from daf_views.tasks import async_task, checks, task
from daf_views.tasks.compat import task_backends
from daf_views.tasks.in_process import backend as tasks_backend
from tests.views.tasks import jobs


@pytest.fixture(autouse=True)
async def fresh(settings):
    """No task of another test's, and none left behind."""
    jobs.reset()
    tasks_backend._forget(setting="TASKS")
    yield
    jobs.go_on.set()
    jobs.release_thread.set()
    await current_drain().settle(5)


@pytest.fixture
def options(settings):
    def change(**options):
        settings.TASKS = {**settings.TASKS, "default": {**settings.TASKS["default"], "OPTIONS": options}}

    return change


@pytest.fixture
def durable_in_memory(monkeypatch):
    """A durable task that only this test declares: the system check would find it in all others, too."""
    declared = []
    for module in (checks, task):
        monkeypatch.setattr(module, "durable_tasks", declared)
    return async_task(durable=True)(jobs.no_backend_for_that)


@pytest.fixture
def finished():
    """Wait until a task has ended; return its result."""

    async def until_finished(result):
        backend = task_backends["default"]
        supervisor = backend.supervisor(asyncio.get_running_loop())
        async with asyncio.timeout(10):
            while not result.is_finished:
                supervisor._changed.clear()
                if result.is_finished:
                    break
                await supervisor._changed.wait()
        return result

    return until_finished
