"""django-tasks-db's backend, with unique tasks, periodic tasks, and cancelling."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from django_tasks_db import DatabaseBackend as EngineBackend

from daf_orm import database_sync_to_async
from daf_views.tasks.compat import task_finished
from daf_views.tasks.notifier import send_soon
from daf_views.tasks.task import AsyncTask

if TYPE_CHECKING:
    from collections.abc import Callable


class DatabaseBackend(EngineBackend):
    """Keeps tasks in django-tasks-db's table, beside which are those of ``"daf_views.tasks.database"``."""

    is_durable: ClassVar[bool] = True
    supports_unique: ClassVar[bool] = True
    supports_schedule: ClassVar[bool] = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Write a task. If a unique task of the same key is queued or runs, return that one's result."""
        enqueue: Callable[[], Any] = functools.partial(super().enqueue, task, args, kwargs)  # type: ignore[arg-type] # a task of any signature
        key = task.unique_key(args, kwargs) if isinstance(task, AsyncTask) else None
        if key is None:
            return enqueue()
        from daf_views.tasks.database.uniqueness import enqueue_once  # noqa: PLC0415 - models need the applications

        return enqueue_once((self.alias, task.module_path, key), enqueue)

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Write a task, as :meth:`enqueue` does, in the caller's transaction."""
        if isinstance(task, AsyncTask) and task.unique is not False:
            return await database_sync_to_async(self.enqueue)(task, args, kwargs)
        return await super().aenqueue(task, args, kwargs)

    def cancel(self, result_id: str) -> bool:
        """Cancel a task: at once if it is queued, through its worker if it runs.

        Return True, or False if it has ended. It fails with TaskCancelledError. A running task may still succeed, if
        it ends before its worker learns of it, or ignores it. Raises TaskResultDoesNotExist.
        """
        from daf_views.tasks.database.cancelling import cancel, error_of  # noqa: PLC0415 - as above

        cancelled = cancel(self.alias, result_id)
        if not isinstance(cancelled, bool):
            try:
                result = cancelled.task_result
            except Exception:  # noqa: BLE001 - this process does not know the task; no receiver can be told
                return True
            send_soon(task_finished, type(self), result, error_of(cancelled))
        return bool(cancelled)

    async def acancel(self, result_id: str) -> bool:
        """Cancel a task, as :meth:`cancel` does, in the caller's transaction."""
        return await database_sync_to_async(self.cancel)(result_id)
