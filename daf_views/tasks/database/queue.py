"""The writes of a worker in the database: the tasks that it has taken, their outcomes, and its heartbeat.

A task that runs belongs to the worker that took it last, as long as that worker lives. It lives until its row expires,
by the database's clock; every heartbeat puts that off. Then its unfinished tasks are taken from it. Should the worker
come back, none of its later writes about those tasks count, for they were started again since.
Nothing here knows of event loops: it is called from threads, which need a connection each.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, router
from django.db import transaction as django_transaction
from django.db.models.functions import Now
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_views.exceptions import WorkerLostError
from daf_views.tasks.compat import TaskResultStatus, task_backends, task_finished
from daf_views.tasks.database import cancelling, uniqueness
from daf_views.tasks.database.announcements import announcement
from daf_views.tasks.database.models import Worker
from daf_views.tasks.database.rows import described, tasks
from daf_views.tasks.notifier import send_soon
from daf_views.tasks.retry_policy import policy_of

if TYPE_CHECKING:
    from daf_views.tasks.compat import TaskResult

logger = logging.getLogger("daf_views")

PREFIX = "daf_worker:"
"""The prefix of DAF's worker ids: it is unknown whether workers with other ids are alive."""
LOST = 3
"""Times that a task may be lost with its worker and is run again beyond its policy: it may be the cause of the loss."""
_ROLLOUT = timedelta(hours=1)
_PAUSE = timedelta(minutes=1)
"""The time by which a task that this worker cannot load is postponed: newer code may have enqueued it."""


_SUSPECT_PAUSE = timedelta(seconds=5)
"""The time by which a suspect is postponed while its worker runs another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The tasks that a worker takes: those of a backend, in all queues but some or in some."""

    backend: str
    names: frozenset[str] | None = frozenset({"default"})
    """None: all."""
    excluded: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return the names as the command takes them."""
        names = "*" if self.names is None else ",".join(sorted(self.names))
        return f"{names} without {','.join(sorted(self.excluded))}" if self.excluded else names

    def of(self, rows: Any) -> Any:
        """Return those of the rows that are in these queues."""
        rows = rows.filter(backend_name=self.backend)
        if self.names is not None:
            rows = rows.filter(queue_name__in=self.names)
        return rows.exclude(queue_name__in=self.excluded) if self.excluded else rows

    def has(self, name: str) -> bool:
        """Return True if tasks of a queue of the backend are among them."""
        return (self.names is None or name in self.names) and name not in self.excluded


@dataclass(frozen=True, slots=True, eq=False)
class TakenTask:
    """A task that a worker has taken."""

    row: DBTaskResult[..., Any]
    result: TaskResult
    worker_id: str

    def __str__(self) -> str:
        """Return its name without the arguments."""
        return _name(self.row)


@dataclass(frozen=True, slots=True)
class Taken:
    """The tasks that a worker has taken."""

    claims: list[TakenTask]
    looked_at: int
    """Tasks that were due, with those that this process cannot run."""


@dataclass(slots=True, eq=False)
class TaskQueue:
    """The queue as one worker writes to it. Its methods raise the database's errors."""

    queues: Queues
    concurrency: int
    lease: float
    """Seconds without a heartbeat after which the worker is considered lost."""
    worker_id: str = field(default="", init=False)
    _held: set[tuple[Any, datetime | None]] = field(default_factory=set, init=False)
    """Id and start of each task that it has taken and not settled."""
    _suspect: tuple[Any, datetime | None] | None = field(default=None, init=False)
    """The suspect that it took last."""
    _is_in_doubt: bool = field(default=False, init=False)
    """True after a claim that failed: its COMMIT may have succeeded, and only the response been lost."""
    _unanswered: dict[Any, datetime] = field(default_factory=dict, init=False)
    """By id of the task: the time at which it finished, for results whose write was not acknowledged."""

    # The worker

    def register(self) -> None:
        """Register the worker under a new id, before it takes tasks."""
        name = f"{PREFIX}{socket.gethostname()[:40]}:{os.getpid()}:{token_hex(4)}"
        self._workers().create(
            pk=name,
            queue_names=str(self.queues),
            concurrency=self.concurrency,
            started_at=Now(),
            expires_at=self._expiry,
            backend_name=self.queues.backend,
        )
        self.worker_id = name

    def beat(self) -> bool:
        """Renew the lease. Return False if others have declared this worker lost, and taken its tasks."""
        return self._renew(self.worker_id)

    def unregister(self) -> None:
        """Unregister the worker, which runs nothing."""
        self.resolve_doubt()
        self._workers().filter(pk=self.worker_id).delete()

    def resolve_doubt(self) -> None:
        """After a claim that failed, re-queue the tasks that it took nevertheless."""
        if self._is_in_doubt:
            for row in self._running():
                if self._is_claimed_unknown(row):
                    self._return_unknown(row)
            self._is_in_doubt = False

    def recover(self) -> None:
        """Re-queue tasks of lost workers of this backend, and those that this worker took without an answer."""
        self._workers().filter(expires_at__lt=Now()).delete()
        lost = self._lost(self._workers())
        cancelled = cancelling.requested() if lost else set()
        for row in lost:
            try:
                if row.pk in cancelled:
                    self.cancel(row)
                elif self._is_claimed_unknown(row):  # by a COMMIT that was under way when the doubt was resolved
                    self._return_unknown(row)
                else:
                    self._recover(row)
            except Error:
                raise
            except Exception:  # it must not keep others from being run
                logger.exception("A task of a lost worker cannot be re-queued: %s.", _name(row))
        cancelling.forget_ended()
        uniqueness.forget_ended()

    def has_lost(self) -> bool:
        """Return True if there is something to recover, now or when it is certain that its worker is lost."""
        return bool(self._lost(self._workers().filter(expires_at__gte=Now())))

    def _lost(self, alive: Any) -> list[DBTaskResult[..., Any]]:
        running = self._running()  # first: a worker that runs one of these had registered before
        living = set(alive.values_list("pk", flat=True)) if running else set()
        return [row for row in running if row.worker_ids[-1] not in living or self._is_claimed_unknown(row)]

    def _running(self) -> list[DBTaskResult[..., Any]]:
        return [row for row in self._running_rows() if _is_of_ours(row)]

    def _running_rows(self) -> Any:
        rows = self._rows().filter(status=TaskResultStatus.RUNNING, backend_name=self.queues.backend)
        return rows.order_by().defer("args_kwargs", "return_value", "traceback")

    def _is_claimed_unknown(self, row: DBTaskResult[..., Any]) -> bool:
        """Return True if a row runs in this worker's name, and this worker does not know of it."""
        return row.worker_ids[-1] == self.worker_id and _claimed(row) not in self._held

    def _return_unknown(self, row: DBTaskResult[..., Any]) -> None:
        if self.give_back(row):
            logger.warning("The response to a claim was lost; its task was re-queued: %s.", _name(row))

    def _recover(self, row: DBTaskResult[..., Any]) -> None:
        begun, task = len(row.worker_ids), _task_of(row)
        if task is not None and begun > policy_of(task).retries + LOST:
            error = WorkerLostError(f"{row.task_path} was started {begun} times, and its last worker was lost.")
            self.fail(row, error)
        elif self._settle(row, status=TaskResultStatus.READY):
            logger.warning("A worker was lost; its task was re-queued: %s.", _name(row))

    def _renew(self, worker_id: str) -> bool:
        return bool(self._workers().filter(pk=worker_id).update(expires_at=self._expiry))

    # Its tasks

    def take(self, count: int) -> Taken:
        """Take up to so many due tasks, in the order of the engine. A worker that was declared lost gets none.

        When it raises, the database may still have given tasks: the next call re-queues them first.
        """
        self.resolve_doubt()
        due = self.queues.of(self._rows().ready())
        if not due.exists():
            return Taken([], 0)
        worker_id = self.worker_id  # a heartbeat may change it
        self._is_in_doubt = True
        with django_transaction.atomic(using=due.db):
            # Begun with a write, the transaction waits for SQLite's lock; begun with a read, it might fail for it.
            rows = self._take(due, count, worker_id) if self._renew(worker_id) else []
        cancelled = cancelling.requested() if rows else set()
        left = [row for row in rows if not (row.pk in cancelled and self.cancel(row))]
        claims = self._one_suspect_in([claim for row in left if (claim := self._known(row, worker_id)) is not None])
        self._held.update(_claimed(claim.row) for claim in claims)
        self._is_in_doubt = False
        return Taken(claims, len(rows))

    def _take(self, due: Any, count: int, worker_id: str) -> list[DBTaskResult[..., Any]]:
        features = connections[due.db].features
        if features.has_select_for_update_skip_locked and features.supports_select_for_update_with_limit:
            locked = list(due.select_for_update(skip_locked=True)[:count])  # other workers pass them by
            self._take_locked(locked, worker_id)
            return locked
        return [row for row in due[:count] if self._is_ours(row, worker_id)]

    def _take_locked(self, rows: list[DBTaskResult[..., Any]], worker_id: str) -> None:
        """Take tasks by one UPDATE for all that the same workers have started before, which is none for most."""
        started_at = timezone.now()
        alike: dict[tuple[str, ...], list[DBTaskResult[..., Any]]] = {}
        for row in rows:
            alike.setdefault(tuple(row.worker_ids), []).append(row)
        for workers, group in alike.items():
            values = _taken_by([*workers, worker_id], started_at)
            self._rows().filter(pk__in=[row.pk for row in group]).update(**values)
            for row in group:
                _set(row, values)

    def _is_ours(self, row: DBTaskResult[..., Any], worker_id: str) -> bool:
        """Take a task, unless another worker was faster."""
        return self._change(row, TaskResultStatus.READY, _taken_by([*row.worker_ids, worker_id], timezone.now()))

    def _known(self, row: DBTaskResult[..., Any], worker_id: str) -> TakenTask | None:
        """Return the claim of a task that this process can run. Others are put off, for an hour at most."""
        try:
            return TakenTask(row, row.task_result, worker_id)
        except Exception as error:  # its module may raise anything when it is imported
            if timezone.now() - row.enqueued_at > _ROLLOUT:
                self.fail(row, error)
            else:
                self.give_back(row, run_after=timezone.now() + _PAUSE)
                logger.exception("A task is postponed, because this worker cannot load it: %s.", _name(row))
            return None

    def _one_suspect_in(self, claims: list[TakenTask]) -> list[TakenTask]:
        """Return the claims without the suspects beyond the first, which are put off.

        A suspect fails if it is lost again. Of several in one worker only one may be the cause of the loss.
        """
        kept = []
        has_one = self._suspect in self._held
        for claim in claims:
            if _is_suspect(claim):
                if has_one:
                    self.give_back(claim.row, run_after=timezone.now() + _SUSPECT_PAUSE)
                    continue
                has_one, self._suspect = True, _claimed(claim.row)
            kept.append(claim)
        return kept

    def succeed(self, row: DBTaskResult[..., Any], value: Any) -> bool:
        """Write the return value of a task. Return False, as below, if it was taken from this worker."""
        success = {"return_value": value, "exception_class_path": "", "traceback": ""}
        return self._finish(row, None, status=TaskResultStatus.SUCCESSFUL, **success)

    def fail(self, row: DBTaskResult[..., Any], error: BaseException) -> bool:
        """Write that a task has failed, without a further attempt."""
        return self._finish(row, error, status=TaskResultStatus.FAILED, return_value=None, **described(error))

    def cancel(self, row: DBTaskResult[..., Any]) -> bool:
        """Write that a task has failed because it was cancelled."""
        is_written = self.fail(row, cancelling.error_of(row))
        if is_written:  # otherwise another worker may have started it again, and must be told
            cancelling.forget(row.pk)
        return is_written

    def try_again(self, row: DBTaskResult[..., Any], error: BaseException, pause: float) -> bool:
        """Re-queue a task for another attempt, by any worker, after a pause of so many seconds."""
        due = timezone.now() + timedelta(seconds=pause)
        return self._settle(row, status=TaskResultStatus.READY, run_after=due, **described(error))

    def give_back(self, row: DBTaskResult[..., Any], **values: Any) -> bool:
        """Re-queue a task, as if this worker had never taken it."""
        return self._settle(row, status=TaskResultStatus.READY, worker_ids=row.worker_ids[:-1], **values)

    def _finish(self, row: DBTaskResult[..., Any], error: BaseException | None, **values: Any) -> bool:
        is_repeated = row.pk in self._unanswered
        finished_at = self._unanswered.setdefault(row.pk, timezone.now())
        is_written = self._settle(row, finished_at=finished_at, **values)
        del self._unanswered[row.pk]
        if is_repeated and not is_written:  # unless the first time was the one that counted
            written = self._rows().filter(pk=row.pk, status=values["status"], finished_at=finished_at)
            is_written = written.exists()
        if not is_written:
            return False
        if (result := _result_of(row)) is not None:
            send_soon(task_finished, type(task_backends[row.backend_name]), result, error)
        else:
            logger.error("A task has failed, because no worker can load it: %s.", _name(row), exc_info=error)
        return True

    def _settle(self, row: DBTaskResult[..., Any], **values: Any) -> bool:
        """Change a task that runs, unless it has been started again, or ended, since its row was read."""
        is_changed = self._change(row, TaskResultStatus.RUNNING, values)
        self._held.discard(_claimed(row))
        return is_changed

    def _change(self, row: DBTaskResult[..., Any], before: str, values: dict[str, Any]) -> bool:
        unchanged = self._rows().filter(pk=row.pk, status=before, started_at=row.started_at)
        if not unchanged.update(**values, **announcement(row, unchanged.db, values)):
            return False
        _set(row, values)
        return True

    @property
    def _expiry(self) -> Any:
        return Now() + timedelta(seconds=self.lease)

    def _rows(self) -> Any:
        return tasks()

    def _workers(self) -> Any:
        workers = Worker._base_manager.using(router.db_for_write(Worker))  # noqa: SLF001 - Meta API
        return workers.filter(backend_name=self.queues.backend)


def _is_suspect(claim: TakenTask) -> bool:
    """Return True if the task has been lost so often with its workers that one more loss is its failure."""
    return len(claim.row.worker_ids) > policy_of(claim.result.task).retries + LOST


def _claimed(row: DBTaskResult[..., Any]) -> tuple[Any, datetime | None]:
    """Return the identity of a claim: a task that is started again is another one."""
    return row.pk, row.started_at


def _is_of_ours(row: DBTaskResult[..., Any]) -> bool:
    return bool(row.worker_ids) and row.worker_ids[-1].startswith(PREFIX)


def _taken_by(worker_ids: list[str], started_at: datetime) -> dict[str, Any]:
    return {"status": TaskResultStatus.RUNNING, "started_at": started_at, "worker_ids": worker_ids}


def _set(row: DBTaskResult[..., Any], values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def _task_of(row: DBTaskResult[..., Any]) -> Any:
    """Return the task, or None if this process cannot load it: its module may raise anything."""
    try:
        return row.task
    except Exception:  # noqa: BLE001 - logged where the task is taken
        return None


def _result_of(row: DBTaskResult[..., Any]) -> TaskResult | None:
    """Return the result, or None if this process cannot load the task: its module may raise anything."""
    try:
        result: TaskResult = row.task_result
    except Exception:  # noqa: BLE001 - logged where the task is taken
        return None
    return result


def _name(row: DBTaskResult[..., Any]) -> str:
    return f"{row.task_path}, id {row.pk}"
