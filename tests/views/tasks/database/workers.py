"""Workers that the tests start, and what they look at."""

import asyncio
from datetime import timedelta

from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async
from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.database.models import Worker
from daf_views.tasks.database.queue import Queues, TaskQueue


def make_queue(concurrency=10, lease=60.0, **queues):
    return TaskQueue(Queues(backend="database", **{"names": None, **queues}), concurrency=concurrency, lease=lease)


def on_database(task):
    return task.using(backend="database")


async def finished(result):
    async with asyncio.timeout(20):
        while True:
            row = await DBTaskResult.objects.aget(pk=result.id)
            if row.status in {TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED}:
                return row
            await asyncio.sleep(0.01)


async def row_of(result):
    return await DBTaskResult.objects.aget(pk=result.id)


async def in_queue_thread(func, *args, **kwargs):
    return await database_sync_to_async(func)(*args, **kwargs)


async def taken(queue, count=1):
    await in_queue_thread(queue.register)
    return (await in_queue_thread(queue.take, count)).claims


async def expire(queue):
    past = timezone.now() - timedelta(days=1)
    assert await Worker.objects.filter(pk=queue.worker_id).aupdate(expires_at=past)


async def finished_soon(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
