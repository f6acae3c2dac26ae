"""``CeleryBackend``: tasks of the Django Tasks API on Celery, which waits between the attempts.

One Celery task, ``daf_views.run``, runs all of them. The state of one is a record in Celery's result backend, and
in the message, in case there is no such backend. Attempts are counted by it, because messages may be delivered twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from asgiref.sync import async_to_sync, sync_to_async
from celery import shared_task  # type: ignore[import-untyped]
from celery.backends.base import DisabledBackend  # type: ignore[import-untyped]
from celery.backends.rpc import RPCBackend  # type: ignore[import-untyped]
from celery.exceptions import Ignore, Reject, WorkerLostError  # type: ignore[import-untyped]
from celery.schedules import BaseSchedule, schedstate  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone
from django.utils.module_loading import import_string

from daf_orm import transaction
from daf_views._django.transactions import in_any_atomic_block, in_sync_atomic_block
from daf_views.exceptions import TaskCancelledError
from daf_views.tasks.attempts import attempt
from daf_views.tasks.compat import (
    BaseTaskBackend,
    InvalidTask,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from daf_views.tasks.discovery import import_tasks
from daf_views.tasks.notifier import send_soon
from daf_views.tasks.result import change, new_result, note
from daf_views.tasks.retry_policy import log_retry, policy_of
from daf_views.tasks.task import periodic_tasks
from daf_views.tasks.task_record import from_record, to_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_views.tasks.schedule import Schedule

logger = logging.getLogger("daf_views")

_OPTIONS: Mapping[str, Any] = {"APP": None, "DATABASE": DEFAULT_DB_ALIAS}
LOST = 3
"""Times that a task may be lost with its worker and is run again: it may be the cause of the loss."""
_WITHOUT_APP = "TASKS[{!r}]['OPTIONS']['APP'] must be the path of the Celery app, such as 'config.celery.app'."


class CeleryBackend(BaseTaskBackend):
    """Sends tasks to Celery's workers: at least once each, when the transaction on ``DATABASE`` has committed.

    The queue ``"default"`` is the one that Celery's routes and ``task_default_queue`` name; any other goes by its name.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    is_durable: ClassVar[bool] = True
    supports_schedule: ClassVar[bool] = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        options = {**_OPTIONS, **self.options}
        self._app: str | None = options["APP"]
        self._database: str = options["DATABASE"]

    @property
    def app(self) -> Any:
        """The Celery app at the path ``APP``. Celery's current app depends on the thread."""
        if self._app is None:
            raise ImproperlyConfigured(_WITHOUT_APP.format(self.alias))
        return import_string(self._app)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Send a task, or do so on commit. Raises kombu's OperationalError if the broker cannot be reached."""
        result = new_result(self.alias, task, args, kwargs)
        if in_sync_atomic_block(self._database):
            transaction.on_commit(functools.partial(self._send, result), using=self._database)
        else:
            self._send(result)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Send a task from a thread, or do so on commit. Raises as :meth:`enqueue` does."""
        result = new_result(self.alias, task, args, kwargs)
        send = sync_to_async(functools.partial(self._send, result), thread_sensitive=False)
        if await in_any_atomic_block(self._database):
            transaction.on_commit(send, using=self._database)
        else:
            await send()
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """Return the state of a task, for as long as Celery's ``result_expires``.

        Raises TaskResultDoesNotExist for an unknown or expired result, NotImplementedError without a result backend.
        """
        if not self._keeps_results:
            raise NotImplementedError("Celery keeps no results here: set its result_backend, not to rpc:// either.")
        record = self.app.backend.get_task_meta(_record_id(result_id), cache=False)["result"]
        if record is None:
            raise TaskResultDoesNotExist(result_id)
        return from_record(self.alias, result_id, record)

    async def aget_result(self, result_id: str) -> TaskResult:
        """Return the state of a task, from a thread."""
        return await sync_to_async(self.get_result, thread_sensitive=False)(result_id)

    def cancel(self, result_id: str) -> bool:
        """Have a task fail with TaskCancelledError, and have Celery revoke it, and terminate it if it runs.

        Return False if it has ended. Without a result backend only workers that run now learn of it. Raises
        TaskResultDoesNotExist, and the errors of an unreachable broker or result backend.
        """
        is_running = True
        if self._keeps_results:
            result = self.get_result(result_id)
            if result.is_finished:
                return False
            is_running = result.status == TaskResultStatus.RUNNING
            error = TaskCancelledError(f"{result.task.module_path}, id {result_id}, was cancelled.")
            note(result, error)
            change(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
            self._store(result)  # first: a message that comes again is not run, whatever becomes of the revocation
            send_soon(task_finished, type(self), result, error)
        self.app.control.revoke(result_id, terminate=is_running)
        return True

    async def acancel(self, result_id: str) -> bool:
        """Cancel a task from a thread, as :meth:`cancel` does."""
        return await sync_to_async(self.cancel, thread_sensitive=False)(result_id)

    def record(self, result: TaskResult) -> None:
        """Store the state of a task. A failure is only logged, so that the task runs."""
        if not self._keeps_results:
            return
        try:
            self._store(result)
        except Exception:
            logger.exception("The result of task %s, id %s, cannot be stored.", result.task.module_path, result.id)

    def problems(self) -> list[str]:
        """Return the mistakes in the options, a sentence each."""
        where = f"TASKS[{self.alias!r}]['OPTIONS']"
        texts = [f"{where}[{key!r}] is not a known option." for key in self.options if key not in _OPTIONS]
        if self._app is None:
            texts.append(_WITHOUT_APP.format(self.alias))
        if self._database not in connections.settings:
            texts.append(f"{where}['DATABASE'] must be an alias of DATABASES, not {self._database!r}.")
        return texts

    def _store(self, result: TaskResult) -> None:
        self.app.backend.store_result(_record_id(result.id), to_record(result), str(result.status))

    @property
    def _keeps_results(self) -> bool:
        return not isinstance(self.app.backend, DisabledBackend | RPCBackend)  # RPC sends them to the enqueuing process

    def _send(self, result: TaskResult) -> None:
        task = result.task
        due = task.run_after
        self.record(result)  # first: the worker may be faster
        try:
            self.app.tasks[run.name].apply_async(
                (self.alias, to_record(result)),
                task_id=result.id,
                eta=timezone.make_aware(due) if due is not None and timezone.is_naive(due) else due,
                **_queue_of(task),
            )
        except Exception:
            with contextlib.suppress(Exception):
                self.app.backend.forget(_record_id(result.id))
            raise
        send_soon(task_enqueued, type(self), result)


@shared_task(  # type: ignore[untyped-decorator]
    bind=True,
    name="daf_views.run",
    acks_late=True,  # so that it is not lost with its worker
    acks_on_timeout=False,
    reject_on_worker_lost=True,
    ignore_result=True,  # it is the record
    store_errors_even_if_ignored=False,
    max_retries=None,
)
def run(self: Any, alias: str, record: str) -> None:
    """Make one attempt at a task, in Celery's worker, and let Celery make the next."""
    backend: Any = task_backends[alias]
    try:
        result = _latest(backend, from_record(alias, self.request.id, record))
    except (ImportError, InvalidTask) as error:  # newer code has enqueued it
        raise self.retry(exc=error, countdown=60, max_retries=60) from error
    if result.is_finished:  # a lost worker did not acknowledge the message, so it was delivered again
        return
    if result.attempts - len(result.errors) > LOST:
        lost = WorkerLostError(f"{result.task.module_path} was lost with its worker {LOST + 1} times.")
        note(result, lost)
        _finish(backend, result, TaskResultStatus.FAILED)
        raise lost
    now = timezone.now()
    change(result, status=TaskResultStatus.RUNNING, last_attempted_at=now, started_at=result.started_at or now)
    result.worker_ids.append(self.request.hostname)
    backend.record(result)
    if result.attempts == 1:
        task_started.send_robust(type(backend), task_result=result)
    try:
        value = async_to_sync(_attempt)(result)
    except Exception as error:
        note(result, error)
        if not policy_of(result.task).allows(len(result.errors), _raised(error)):
            _finish(backend, result, TaskResultStatus.FAILED)
            raise
        _try_again(self, backend, result, error)
    change(result, return_value=value)
    _finish(backend, result, TaskResultStatus.SUCCESSFUL)


def beat_schedule(alias: str = "default") -> dict[str, dict[str, Any]]:
    """Return the periodic tasks of a backend as entries for Celery's ``beat_schedule``.

    It imports the ``tasks`` modules of the installed apps, so call it when Django is set up::

        @app.on_after_finalize.connect
        def add_periodic_tasks(sender, **kwargs):
            sender.conf.beat_schedule = {**sender.conf.beat_schedule, **beat_schedule()}

    Raises InvalidTask for a task that is unique.
    """
    import_tasks()
    for task in periodic_tasks.values():
        if task.backend == alias and task.unique is not False:
            raise InvalidTask(f"{task.module_path} is unique, which Celery does not support.")
    return {
        f"{task.module_path}, {task.schedule}": {
            "task": run.name,
            "schedule": _BeatSchedule(task.schedule),
            "args": (alias, to_record(_to_come(alias, task))),
            "options": {**_queue_of(task), **({"countdown": task.delay_by} if task.delay_by else {})},
        }
        for task in periodic_tasks.values()
        if task.backend == alias and task.schedule is not None
    }


def _to_come(alias: str, task: Any) -> TaskResult:
    """Return the result of a task that beat will send. Its first attempt sets the time."""
    result = new_result(alias, task, [], {})
    change(result, enqueued_at=None)
    return result


class _BeatSchedule(BaseSchedule):  # type: ignore[misc] # Celery has no types
    """A schedule in the form of Celery's beat. Missed ticks are made up by one run."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def __reduce__(self) -> tuple[type[_BeatSchedule], tuple[Schedule]]:
        return type(self), (self.schedule,)  # beat keeps it in a file, without its app

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BeatSchedule) and self.schedule == other.schedule

    def __hash__(self) -> int:
        return hash(self.schedule)

    def __repr__(self) -> str:
        return f"<{self.schedule}>"

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return the time until the next tick."""
        return self.schedule.next_after(self.maybe_make_aware(last_run_at)) - self.now()  # type: ignore[no-any-return]

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return True if there was a tick since the last run, and the seconds until the next."""
        remaining = self.remaining_estimate(last_run_at).total_seconds()
        if remaining > 0:
            return schedstate(is_due=False, next=remaining)
        return schedstate(is_due=True, next=self.remaining_estimate(self.now()).total_seconds())


def _latest(backend: CeleryBackend, sent: TaskResult) -> TaskResult:
    """Return the stored result of a task, or that in the message if it has more attempts."""
    try:
        known = backend.get_result(sent.id)
    except (TaskResultDoesNotExist, NotImplementedError):  # expired, or Celery keeps no results here
        return sent
    except Exception:
        logger.exception("The result of task %s, id %s, cannot be read.", sent.task.module_path, sent.id)
        return sent
    return known if known.attempts >= sent.attempts else sent


class _EndedError(RuntimeError):
    """A task raised an exception that would end Celery's worker."""


async def _attempt(result: TaskResult) -> Any:
    try:
        return await attempt(result)
    except (asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:  # would end the worker
        raise _EndedError(f"{result.task.module_path} ended with {type(error).__name__}.") from error


def _raised(error: Exception) -> BaseException:
    return error.__cause__ or error if isinstance(error, _EndedError) else error


def _try_again(task: Any, backend: CeleryBackend, result: TaskResult, error: Exception) -> NoReturn:
    attempts = len(result.errors)
    pause = policy_of(result.task).pause_after(attempts)
    log_retry(result.task, attempts, pause, error)
    if _is_cancelled(backend, result):
        raise Ignore(f"{result.task.module_path}, id {result.id}, was cancelled.") from error
    change(result, status=TaskResultStatus.READY)
    backend.record(result)
    try:
        raise task.retry(args=(result.backend, to_record(result)), exc=error, countdown=pause) from error
    except Reject as rejected:  # the broker does not take the next message: it keeps this one
        raise Reject(rejected.reason, requeue=True) from error


def _is_cancelled(backend: CeleryBackend, result: TaskResult) -> bool:
    """Return True if a task was cancelled while it ran, where it could not be terminated."""
    return _latest(backend, result).status == TaskResultStatus.FAILED


def _finish(backend: CeleryBackend, result: TaskResult, status: TaskResultStatus) -> None:
    change(result, status=status, finished_at=timezone.now())
    backend.record(result)
    task_finished.send_robust(type(backend), task_result=result)


def _queue_of(task: Any) -> dict[str, str]:
    return {} if task.queue_name == "default" else {"queue": task.queue_name}


def _record_id(result_id: str) -> str:
    return f"daf_views-{result_id}"  # under the task's own id, Celery may keep another record
