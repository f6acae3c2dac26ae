"""A small project whose processes are killed: ``python -m tests.views.tasks.killed celery enqueue``.

It enqueues three durable tasks and kills itself. Each task writes its number into the file ``KILLED_DONE``. The one
that gets the name of another file kills the process that runs it, as long as that file does not exist.
"""

import asyncio
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path

import django
from celery import Celery
from django.conf import settings

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["KILLED_DATABASE"]}},
        INSTALLED_APPS=["django_tasks_db", "daf_orm", "daf_views", "daf_views.tasks.database"],
        SECRET_KEY="not a secret",
        TASKS={
            "celery": {
                "BACKEND": "daf_views.tasks.celery.CeleryBackend",
                "OPTIONS": {"APP": "tests.views.tasks.killed.app"},
            },
            "database": {"BACKEND": "django_tasks_db.DatabaseBackend"},
        },
    )
    django.setup()

from django.core.management import call_command

from daf_views.tasks import async_task

redis_url = os.environ.get("KILLED_REDIS", "redis://127.0.0.1:1")
app = Celery("killed", broker=redis_url, backend=redis_url)
app.conf.broker_transport_options = {"visibility_timeout": 0.1, "global_keyprefix": "killed:"}  # asked when it starts
app.conf.broker_connection_retry_on_startup = True


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@async_task(durable=True, backend="database")
def work(number, killer=None):
    if killer is not None and not Path(killer).exists():
        Path(killer).touch()
        kill()
    with Path(os.environ["KILLED_DONE"]).open("a") as file:
        file.write(f"{number}\n")


@async_task(durable=True, backend="database")
async def stay(begun):
    await asyncio.to_thread(Path(begun).touch)
    await asyncio.Event().wait()


@async_task(durable=True, backend="database")
def stay_in_thread(begun):
    Path(begun).touch()
    threading.Event().wait()


async def enqueue(backend, killer=None):
    task = work.using(backend=backend)
    await task.aenqueue(0, killer)
    await task.aenqueue(1)
    await task.aenqueue(2)
    kill()


if __name__ == "__main__":
    killed = import_module("tests.views.tasks.killed")  # by the name that the workers know
    match sys.argv[1:]:
        case ["database", "enqueue", *killer]:
            call_command("migrate", verbosity=0)
            asyncio.run(killed.enqueue("database", *killer))
        case ["database", "stay" | "stay_in_thread" as task, begun]:
            call_command("migrate", verbosity=0)
            getattr(killed, task).enqueue(begun)
        case ["database", "work"]:
            call_command("db_worker", "--backend=database", "--batch", "--no-startup-delay", "--interval=0")
        case ["database", "daf_work", *options]:
            call_command("daf_worker", "--backend=database", "--heartbeat=0.3", "--interval=0.1", *options)
        case ["celery", "enqueue", killer]:
            asyncio.run(killed.enqueue("celery", killer))
        case ["celery", "stay", begun]:
            print(killed.stay.using(backend="celery").enqueue(begun).id, flush=True)
            killed.work.using(backend="celery").enqueue(0)
        case ["celery", "cancel", result_id]:
            assert killed.stay.using(backend="celery").cancel(result_id)
        case ["celery", "work", *options]:
            options = options or ["--pool=solo"]
            killed.app.worker_main(["worker", *options, "--without-gossip", "--without-mingle"])
