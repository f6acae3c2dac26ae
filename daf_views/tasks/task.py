"""``@async_task``: a task of the Django Tasks API that brings its policy to any engine.

The policy is part of the task: an engine calls ``call()`` or ``acall()``, which try, wait and try again.
So retries and time-outs hold in a worker that knows nothing of them. The in-process backend does know, and makes single
attempts with :meth:`AsyncTask.attempt`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.utils import timezone

from daf_orm import database_sync_to_async, transaction
from daf_views._core.drain import current_drain
from daf_views.exceptions import TaskTimeoutError
from daf_views.tasks.compat import InvalidTask, Task, TaskContext, normalize_json
from daf_views.tasks.notifier import log_soon
from daf_views.tasks.result import new_result
from daf_views.tasks.retry_policy import ONCE, RetryPolicy, is_number, log_retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import datetime
    from typing import Self

    from daf_views.tasks.compat import ResultOf
    from daf_views.tasks.schedule import Schedule

P = ParamSpec("P")
T = TypeVar("T")
Unique: TypeAlias = "bool | Callable[..., str]"

durable_tasks: list[AsyncTask[..., Any]] = []
"""All that were declared: the system check asks for their backends."""
unique_tasks: list[AsyncTask[..., Any]] = []
"""As above."""
periodic_tasks: dict[str, AsyncTask[..., Any]] = {}
"""By path, all that were declared: workers and Celery's beat enqueue them."""
_VOLATILE = frozenset({"ImmediateBackend", "DummyBackend"})
"""Django backends that keep nothing. Others are durable, unless they define ``is_durable = False``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncTask(Task, Generic[P, T]):
    """A task with a policy. Made by :func:`async_task`.

    ``AsyncTask[P, T]`` takes the arguments ``P``, a TaskContext not among them, and returns a ``T``.
    """

    policy: RetryPolicy = ONCE
    delay_by: float = 0
    """Seconds after which it is run, at the earliest, when it is enqueued without a ``run_after``."""
    durable: bool = False
    """True if it must not be lost when the process ends: a backend that keeps it in memory is refused."""
    unique: Unique = False
    """True if it is enqueued only if no task of its key is queued or running. A function returns the key."""
    schedule: Schedule | None = None
    """The schedule on which it is enqueued automatically."""

    if TYPE_CHECKING:

        def using(  # noqa: D102 - Django's, as the two that follow
            self,
            *,
            priority: int | None = None,
            queue_name: str | None = None,
            run_after: datetime | None = None,
            backend: str | None = None,
        ) -> Self: ...
        def get_result(self, result_id: str) -> ResultOf[P, T]: ...  # noqa: D102
        async def aget_result(self, result_id: str) -> ResultOf[P, T]: ...  # noqa: D102

    # The engine's side

    def call(self, *args: Any, **kwargs: Any) -> T:
        """Run the task by its policy, from synchronous code: a worker calls this."""
        return async_to_sync(self.acall)(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> T:
        """Run the task by its policy: up to ``retries`` further attempts, as long as it raises one of ``retry_on``."""
        attempts = 1
        while True:
            try:
                return await self.attempt(*args, **kwargs)
            except Exception as error:
                if not self.policy.allows(attempts, error):
                    raise
                pause = self.policy.pause_after(attempts)
                log_retry(self, attempts, pause, error)
            await asyncio.sleep(pause)
            attempts += 1

    async def attempt(self, *args: Any, **kwargs: Any) -> T:
        """Run it once. Raises TaskTimeoutError if that takes longer than ``timeout``.

        A synchronous function runs on a worker thread with a separate connection. There a time-out stops a running
        statement, but no Python code: the attempt ends when that does.
        """
        timeout = asyncio.timeout(self.policy.timeout)
        try:
            async with timeout:
                func: Callable[..., Any] = self.func
                if not iscoroutinefunction(func):
                    func = database_sync_to_async(func)
                result: T = await func(*args, **kwargs)
                return result
        except TimeoutError as error:
            if not timeout.expired():  # it is the task's own
                raise
            raise TaskTimeoutError(f"{self.module_path} did not end within {self.policy.timeout} s.") from error

    # The caller's side

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Run it here and now, by its policy, without any queue: ``await task(…)``."""
        given: tuple[Any, ...] = args
        if self.takes_context:
            given = (TaskContext(task_result=new_result(self.backend, self, list(args), kwargs)), *args)
        return self.acall(*given, **kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> ResultOf[P, T]:
        """Queue it, from synchronous code. Raises TypeError for arguments that the function does not take."""
        task = self._to_enqueue(args, kwargs)
        return task.get_backend().enqueue(task, args, kwargs)  # type: ignore[arg-type] # Django's own passes a tuple

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> ResultOf[P, T]:
        """Queue it. Inside a transaction, a backend in memory does so when that has committed.

        Raises TypeError for arguments that the function does not take.
        """
        task = self._to_enqueue(args, kwargs)
        return await task.get_backend().aenqueue(task, args, kwargs)  # type: ignore[arg-type] # as above

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> ResultOf[P, T] | Awaitable[ResultOf[P, T]]:
        """Queue it. On an event loop the result may be awaited, and need not be; elsewhere it is the result.

        Raises RuntimeError on an event loop inside an atomic block, unless the backend enqueues in memory.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self.enqueue(*args, **kwargs)
        task = self._to_enqueue(args, kwargs)
        backend: Any = task.get_backend()
        if getattr(backend, "enqueues_at_once", False):  # in the caller's transaction, not in that of a later task
            done: asyncio.Future[ResultOf[P, T]] = loop.create_future()
            done.set_result(backend.enqueue(task, args, kwargs))
            return done
        if transaction.in_atomic_block():  # the task might outlive it, and then could not be enqueued
            raise RuntimeError(
                f"Inside a transaction write `await {self.name}.aenqueue(…)`: delay() waits for nothing."
            )
        enqueuing = loop.create_task(backend.aenqueue(task, args, kwargs))
        enqueuing.add_done_callback(self._log_unless_enqueued)
        current_drain().keep(enqueuing)
        return enqueuing

    def cancel(self, result_id: str) -> bool:
        """Cancel one that was enqueued, from synchronous code.

        Return True if it was queued, and will not run, or if it runs and has been told to stop: it then fails with
        TaskCancelledError, unless it ends before. Return False if it has ended. Raises TaskResultDoesNotExist for an
        unknown id, InvalidTask for a backend that cannot cancel.
        """
        return bool(self._canceller().cancel(result_id))

    async def acancel(self, result_id: str) -> bool:
        """Cancel one that was enqueued, as :meth:`cancel` does."""
        return bool(await self._canceller().acancel(result_id))

    def unique_key(self, args: Any, kwargs: Any) -> str | None:
        """Return the unique key, or None. Raises TypeError for wrong arguments.

        It is what the function ``unique`` returns, or the arguments: the same, however they are passed.
        """
        if self.unique is False:
            return None
        if self.unique is not True:
            return str(self.unique(*args, **kwargs))
        bound = self._bound(args, kwargs)
        bound.apply_defaults()
        return json.dumps(normalize_json(dict(bound.arguments)), sort_keys=True)

    def _canceller(self) -> Any:
        backend = self.get_backend()
        if not hasattr(backend, "acancel"):
            raise InvalidTask(
                f"The backend {self.backend!r} cannot cancel {self.module_path}: give the task one that can, such as "
                "daf_views.tasks.database.backend.DatabaseBackend."
            )
        return backend

    def _bound(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        context = (None,) if self.takes_context else ()
        try:
            return _signature_of(self.func).bind(*context, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.module_path} cannot be called with these arguments: {error}.") from None

    def _to_enqueue(self, args: Any, kwargs: Any) -> AsyncTask[P, T]:
        self._bound(args, kwargs)  # a worker would find the mistake much later
        if self.unique is not False and not can_be_unique(self.get_backend()):
            raise InvalidTask(f"{self.module_path} is unique, which the backend {self.backend!r} does not support.")
        if self.durable and not is_durable(self.get_backend()):
            raise InvalidTask(
                f"{self.module_path} is durable, and the backend {self.backend!r} keeps tasks in memory only: give it "
                "another backend, such as django-tasks-db's."
            )
        if self.delay_by and self.run_after is None:
            return replace(self, run_after=timezone.now() + timedelta(seconds=self.delay_by))
        return self

    def _log_unless_enqueued(self, enqueuing: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if enqueuing.cancelled() else enqueuing.exception()
        if error is not None:
            log_soon(logging.ERROR, "%s could not be enqueued.", self.module_path, error=error)


@functools.lru_cache(maxsize=1024)
def _signature_of(func: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(func)


def is_durable(backend: Any) -> bool:
    """Return True if a backend keeps its tasks when the process ends."""
    guess = not any(kind.__name__ in _VOLATILE for kind in type(backend).__mro__)
    return bool(getattr(backend, "is_durable", guess))


def can_be_unique(backend: Any) -> bool:
    """Return True if a backend enqueues a unique task only once."""
    return bool(getattr(backend, "supports_unique", False))


class _Decorator(Protocol):
    """Makes a task of a function, whose arguments and result it keeps."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> AsyncTask[P, T]: ...


class _ContextDecorator(Protocol):
    """As above, of a function that takes a TaskContext first."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], T], /) -> AsyncTask[P, T]: ...


@overload
def async_task(function: Callable[P, Coroutine[Any, Any, T]]) -> AsyncTask[P, T]: ...
@overload
def async_task(function: Callable[P, T]) -> AsyncTask[P, T]: ...
@overload
def async_task(
    *,
    retries: int = 0,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = BaseException,
    backoff: float = 1.0,
    timeout: float | None = None,
    delay: float = 0,
    durable: bool = False,
    unique: Unique = False,
    schedule: Schedule | None = None,
    queue_name: str = "default",
    priority: int = 0,
    backend: str = "default",
    takes_context: Literal[False] = False,
) -> _Decorator: ...
@overload
def async_task(
    *,
    takes_context: Literal[True],
    retries: int = 0,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = BaseException,
    backoff: float = 1.0,
    timeout: float | None = None,
    delay: float = 0,
    durable: bool = False,
    unique: Unique = False,
    schedule: Schedule | None = None,
    queue_name: str = "default",
    priority: int = 0,
    backend: str = "default",
) -> _ContextDecorator: ...


def async_task(  # noqa: PLR0913 - the options of a task
    function: Callable[..., Any] | None = None,
    *,
    retries: int = 0,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = BaseException,
    backoff: float = 1.0,
    timeout: float | None = None,
    delay: float = 0,
    durable: bool = False,
    unique: Unique = False,
    schedule: Schedule | None = None,
    queue_name: str = "default",
    priority: int = 0,
    backend: str = "default",
    takes_context: bool = False,
) -> Any:
    """Make a function of a module, async or not, a task: ``@async_task`` or ``@async_task(retries=3, timeout=10)``.

    ``retries`` are attempts after the first, made if it raises one of ``retry_on``. ``backoff`` is the seconds before
    the second, doubled for each that follows. ``timeout`` is the seconds that one attempt may take, ``delay`` those
    after which the first is made, at the earliest. ``durable=True`` refuses a backend that would lose the task with its
    process. ``unique=True`` enqueues nothing while a task with the same arguments is queued or running; a function of
    the arguments returns another key. ``schedule`` is ``every(…)`` or ``cron(…)``. The others are Django's.

    Raises ValueError for an invalid policy, and InvalidTask if the backend cannot run the task. Raises TypeError for
    an invalid key or schedule, and for a periodic task that cannot be called without arguments.
    """
    exceptions = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    policy = RetryPolicy(retries=retries, backoff=backoff, timeout=timeout, retry_on=exceptions)
    _check_options(delay, unique, schedule)

    of_django = {"queue_name": queue_name, "priority": priority, "backend": backend, "takes_context": takes_context}
    ours = {"policy": policy, "delay_by": delay, "durable": durable, "unique": unique, "schedule": schedule}
    decorate = functools.partial(_made, options=of_django | ours)
    return decorate if function is None else decorate(function)


def _made(func: Callable[..., Any], options: dict[str, Any]) -> AsyncTask[..., Any]:
    task: AsyncTask[..., Any] = AsyncTask(func=func, run_after=None, **options)  # Django 6.0 has no default for it
    _declare(task)
    return task


def _check_options(delay: object, unique: object, schedule: object) -> None:
    if not is_number(delay, int | float) or delay < 0:  # type: ignore[operator] # a number
        raise ValueError(f"delay must be 0 seconds or more, not {delay!r}.")
    if not (isinstance(unique, bool) or callable(unique)):
        raise TypeError(
            f"unique must be True, or a function of the task's arguments that returns a key, not {unique!r}."
        )
    if schedule is not None and not hasattr(schedule, "next_after"):
        raise TypeError(f"schedule must be every(…) or cron(…), not {schedule!r}.")


def _declare(task: AsyncTask[..., Any]) -> None:
    """Add a task to the lists that system checks and schedules read."""
    if task.durable:
        durable_tasks.append(task)
    if task.unique is not False:
        unique_tasks.append(task)
    if task.schedule is not None:
        _refuse_arguments(task)
        periodic_tasks[task.module_path] = task


def _refuse_arguments(task: AsyncTask[..., Any]) -> None:
    try:
        inspect.signature(task.func).bind(*((None,) if task.takes_context else ()))
    except TypeError as error:
        raise TypeError(f"{task.module_path} has a schedule, so it is called without arguments: {error}.") from error
