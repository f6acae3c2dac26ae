"""``manage.py daf_worker``: options, signals, and the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from daf_orm import get_pool
from daf_views._core.drain import current_drain
from daf_views.settings import get_settings
from daf_views.tasks.compat import task_backends, tasks_logger
from daf_views.tasks.database.heartbeat import BEATS
from daf_views.tasks.discovery import import_tasks

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Coroutine, Iterator

    from daf_views.tasks.database.worker import DatabaseWorker


logger = logging.getLogger("daf_views")

_DAY = 86_400.0
_MOST = 1_000_000


class Command(BaseCommand):
    """Run the tasks that django-tasks-db keeps in the database, many at a time."""

    help = "Runs the tasks that django-tasks-db keeps in the database, many at a time, on one event loop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options, with the names that ``db_worker`` has for the same."""
        number, seconds = _number_of(int, 1, _MOST), _number_of(float, 0.001, _DAY)
        add = parser.add_argument
        add("--backend", default="default", help="the alias in TASKS (%(default)s)")
        add(
            "--queue-name",
            default="default",
            help="queues, with commas between them; * for all (%(default)s)",
        )
        add("--exclude-queues", default="", help="queues to exclude, beside --queue-name=*")
        add("--concurrency", type=number, default=10, help="tasks that run at the same time (%(default)s)")
        add("--interval", type=seconds, default=1.0, help="seconds between the polls of an idle worker (%(default)s)")
        add("--batch", action="store_true", help="run what is due, then exit")
        add("--max-tasks", type=number, help="exit after this many tasks")
        add(
            "--heartbeat",
            type=seconds,
            default=10.0,
            help=f"seconds between heartbeats: after {BEATS} missed ones its tasks are re-queued (%(default)s)",
        )
        add(
            "--drain-timeout",
            type=_number_of(float, 0, _DAY),
            default=get_settings().DRAIN_TIMEOUT,
            help="seconds that running tasks may take to end after SIGTERM (DAF_VIEWS['DRAIN_TIMEOUT']: %(default)s)",
        )

    def handle(self, **options: Any) -> None:
        """Run until SIGTERM or SIGINT; a second one does not wait for running tasks."""
        if not apps.is_installed("django_tasks_db"):
            raise CommandError('daf_worker runs the tasks of django-tasks-db: add "django_tasks_db" to INSTALLED_APPS.')
        if options["verbosity"]:
            _log_somewhere(logging.INFO if options["verbosity"] == 1 else logging.DEBUG)
        import_tasks()  # for those that are periodic
        with asyncio.Runner() as runner:
            _run_to_its_end(runner.get_loop(), self._run(options))

    async def _run(self, options: dict[str, Any]) -> None:
        worker = _worker(options)
        drain = current_drain()
        with _signals(drain.request, worker.hurry):
            try:
                await worker.run()
            except Error as error:
                raise CommandError(f"The worker cannot start: {error}. Has `manage.py migrate` been run?") from error
            finally:
                await drain.settle(options["drain_timeout"])
                if worker.is_left_running:
                    _exit_at_once()
                await get_pool().aclose()


def _run_to_its_end(loop: asyncio.AbstractEventLoop, running: Coroutine[Any, Any, None]) -> None:
    """Run the worker. An exception that stops the event loop has the effect of SIGTERM: tasks end, or are re-queued.

    asyncio lets SystemExit and KeyboardInterrupt out of the loop when a task that a task has started raises them.
    """
    main = loop.create_task(running)
    raised = None
    while True:
        try:
            loop.run_until_complete(main)
            break
        except (KeyboardInterrupt, SystemExit) as error:
            if main.done():
                raise
            raised = error
            logger.exception("The event loop was stopped by %s; the worker stops as at SIGTERM.", type(error).__name__)
            loop.create_task(_stop())
    if raised is not None:
        raise CommandError(f"The worker was stopped by {type(raised).__name__}, raised on its event loop.") from raised


async def _stop() -> None:
    current_drain().request()


def _exit_at_once() -> None:
    """End the process with its tasks: otherwise they would go on while other workers run them after the lease."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _worker(options: dict[str, Any]) -> DatabaseWorker:
    # Both import models, which are there only if the engine is installed.
    from daf_views.tasks.database.queue import Queues, TaskQueue  # noqa: PLC0415
    from daf_views.tasks.database.worker import DatabaseWorker  # noqa: PLC0415

    queues = Queues(backend=_backend(options["backend"]), **_queues(options["queue_name"], options["exclude_queues"]))
    queue = TaskQueue(queues, concurrency=options["concurrency"], lease=BEATS * options["heartbeat"])
    return DatabaseWorker(queue, interval=options["interval"], batch=options["batch"], max_tasks=options["max_tasks"])


def _backend(alias: str) -> str:
    from django_tasks_db import DatabaseBackend  # noqa: PLC0415 - as above

    if alias not in task_backends.settings:
        raise CommandError(f"--backend: there is no {alias!r} in TASKS, only {', '.join(task_backends.settings)}.")
    if not isinstance(task_backends[alias], DatabaseBackend):
        raise CommandError(f"--backend: {alias!r} is not one of django-tasks-db's, and its tasks are run elsewhere.")
    return alias


def _queues(names: str, excluded: str) -> dict[str, Any]:
    chosen, left_out = _names(names), _names(excluded)
    if not chosen:
        raise CommandError("--queue-name names no queue.")
    if left_out and "*" not in chosen:
        raise CommandError("--exclude-queues leaves queues out of all of them: write --queue-name=* beside it.")
    return {"names": None if "*" in chosen else chosen, "excluded": left_out}


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _number_of(kind: type[int | float], least: float, most: float) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        value = kind(text)
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    number.__name__ = "number" if kind is float else "whole number"  # for argparse's message
    return number


def _log_somewhere(level: int) -> None:
    """Show log records on stderr, unless the project's logging handles them."""
    for logger in (logging.getLogger("daf_views"), tasks_logger):
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())
            logger.setLevel(level)


@contextmanager
def _signals(first: Callable[[], None], second: Callable[[], None]) -> Iterator[None]:
    """Call a function on the event loop at the first SIGTERM or SIGINT, another at the second."""
    loop = asyncio.get_running_loop()
    calls = iter([first])

    def handle(*_: Any) -> None:
        loop.call_soon_threadsafe(next(calls, second))

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
