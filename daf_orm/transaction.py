"""Transactions in async code: ``async with transaction.atomic():``, and callbacks after the commit.

The rules are Django's, because Django's own ``Atomic`` does the work, on the one connection of the block's lease. DAF
adds the rules of asyncio. The block holds its connection across every ``await`` and joins the child tasks that start in
it. It refuses tasks that would mix up its savepoints or outlive it. It rolls back before its lease is returned, however
often its task is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from asgiref.sync import iscoroutinefunction
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import transaction as django_transaction
from django.db.transaction import TransactionManagementError

from daf_orm import _execution
from daf_orm._core.tasks import current_task
from daf_orm._django import hops, sync_parents
from daf_orm._django.connections import OrderedCallback
from daf_orm._execution import idle_transactions
from daf_orm._execution.commit_hooks import as_sync, complete, log_failure, run_hooks, start
from daf_orm._leases import reset
from daf_orm._leases.scope import CommitHook, Scope, innermost_block
from daf_orm.databases import database_of
from daf_orm.databases.cancellation import cut_off_if_silent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from django.db.backends.base.base import BaseDatabaseWrapper

P = ParamSpec("P")
T = TypeVar("T")
ExcInfo = tuple[type[BaseException] | None, BaseException | None, Any]
logger = logging.getLogger("daf_orm")


class Atomic:
    """An atomic block, made by :func:`atomic`: an async context manager, and a decorator for coroutine functions."""

    def __init__(self, using: str | None, savepoint: bool, durable: bool) -> None:  # noqa: FBT001 - Django's signature
        self.using = using or DEFAULT_DB_ALIAS
        self.savepoint = savepoint
        self.durable = durable
        self._entered: list[_Block] = []  # one instance may be entered again inside itself, as Django's may

    if not TYPE_CHECKING:  # `with` is an error to type checkers

        def __enter__(self) -> None:
            raise TypeError("daf_orm.transaction.atomic() is asynchronous: use `async with`.")

        def __exit__(self, *exc_info: object) -> None:
            """Never reached; Python looks it up before it enters."""

    async def __aenter__(self) -> None:
        scope = await _execution.open_scope(self.using)
        block = _Block(scope, self.savepoint, self.durable)
        try:
            await _execution.run(block.begin)
        except GeneratorExit:
            _execution.abandon_scope(scope, block.undo)
            raise
        except BaseException:
            await _execution.close_scope(scope, block.undo)
            raise
        self._entered.append(block)
        block.watch_if_outermost()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = self._pop_own()
        if block.idle_watch is not None:
            block.idle_watch.stop()
        if not block.scope.is_open:
            await block.refuse_end(exc_type)
            return
        end = functools.partial(block.end, (exc_type, exc, traceback))
        if exc_type is GeneratorExit:  # the task was dropped: nothing can be awaited any more
            _execution.abandon_scope(block.scope, end)
            return
        cancelled: asyncio.CancelledError | None = None
        try:
            await _execution.close_scope(block.scope, end)
        except asyncio.CancelledError as error:
            cancelled = error
        if block.hooks_to_run:  # once committed they run, also if the task was cancelled meanwhile
            await complete(run_hooks(block.hooks_to_run), cancelled)
        elif cancelled is not None:
            raise cancelled

    def _pop_own(self) -> _Block:
        """Return the block that this task entered last; without one, the last block of any task, as for fixtures."""
        task = current_task()
        own = [block for block in self._entered if block.task is task]
        block = (own or self._entered)[-1]
        self._entered.remove(block)
        return block

    def __call__(self, func: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Return a coroutine function that runs each call of ``func`` in its own block.

        Raises TypeError if ``func`` is no coroutine function.
        """
        if not iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(
                f"daf_orm.transaction.atomic decorates coroutine functions (async def), not {func!r}. "
                "For a synchronous function use django.db.transaction.atomic."
            )

        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            async with Atomic(self.using, self.savepoint, self.durable):
                return await func(*args, **kwargs)

        functools.update_wrapper(wrapper, func)
        return wrapper


@overload
def atomic(using: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def atomic(using: str | None = None, savepoint: bool = True, durable: bool = False) -> Atomic: ...  # noqa: FBT001, FBT002


def atomic(using: Any = None, savepoint: bool = True, durable: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's signature
    """Run the block in a transaction on the database ``using``; nested blocks are savepoints.

    ``async with transaction.atomic():``, or ``@transaction.atomic`` on a coroutine function. Commits when the block
    ends normally, rolls back when it raises or its task is cancelled. ``savepoint=False`` makes a nested block one with
    its outer block; ``durable=True`` raises RuntimeError if there is an outer block.

    Tasks started in the block join it; their queries run one at a time. While a nested block is open, a query from a
    task outside of it raises TransactionManagementError, and so does one from a task that outlives its block. A block
    in which a call was cancelled, and which then ends normally, raises it too: its rows are rolled back.

    Raises django.db's errors, and :exc:`daf_orm.exceptions.PoolTimeout` if no lease becomes free within ``TIMEOUT``
    seconds. Source: :func:`django.db.transaction.atomic`.
    """
    if callable(using):
        return Atomic(None, savepoint, durable)(using)
    return Atomic(using, savepoint, durable)


def on_commit(func: Callable[[], object], using: str | None = None, *, robust: bool = False) -> None:
    """Call ``func``, synchronous or async, when the outermost atomic block around has committed; else never.

    Async callbacks run on the event loop, synchronous ones off it, all in order, before the block's ``async with``
    statement is left. An exception skips the callbacks that follow and is raised there, unless ``robust``: then it is
    logged. A task cancelled meanwhile gets its CancelledError when all of them have run.

    Outside any transaction the callback runs at once: as a task of the event loop, whose errors are logged.

    Raises TypeError if ``func`` is not callable. Source: :func:`django.db.transaction.on_commit`.
    """
    if not callable(func):
        hint = " Pass the function, do not call it." if inspect.iscoroutine(func) else ""
        raise TypeError(f"on_commit()'s callback must be a callable, not {type(func).__name__}.{hint}")
    alias = using or DEFAULT_DB_ALIAS
    if not hops.on_event_loop():
        _on_commit_from_worker(func, alias, robust=robust)
    elif (scope := innermost_block(alias)) is not None:
        scope.hooks.append(CommitHook(func, robust))
    elif (executor := sync_parents.parent_executor()) is not None:
        outcome = executor.submit(  # noqa: DAF072 - the thread that has the transaction, whose connection is lent
            django_transaction.on_commit, as_sync(func), using=alias, robust=robust
        )
        outcome.add_done_callback(functools.partial(log_failure, func))
    else:
        start(run_hooks([CommitHook(func, robust=True)]))


def in_atomic_block(using: str | None = None) -> bool:
    """Return True if this code is inside an async atomic block on the database ``using``.

    Raises TransactionManagementError if it was started inside one that has ended since.
    """
    return innermost_block(using or DEFAULT_DB_ALIAS) is not None


def _on_commit_from_worker(func: Callable[[], object], alias: str, *, robust: bool) -> None:
    scope = innermost_block(alias)
    if scope is not None and len(connections[alias].atomic_blocks) == scope.depth + 1:
        scope.hooks.append(CommitHook(func, robust))
    else:  # Django's own list knows of the synchronous savepoints in between, which may yet roll back
        django_transaction.on_commit(as_sync(func), using=alias, robust=robust)  # noqa: DAF062 - in a worker thread


class _Block:
    """One entry of an atomic block. Its beginning and its end run on the worker thread, on the block's lease."""

    def __init__(self, scope: Scope, savepoint: bool, durable: bool) -> None:  # noqa: FBT001 - passed on
        assert scope.alias is not None
        self.scope = scope
        self.task = current_task()
        self.hooks_to_run: list[CommitHook] = []
        self.idle_watch: idle_transactions.IdleWatch | None = None
        self._alias = scope.alias
        self._blocks = scope.lease.blocks
        self._outer: Scope | None = None
        self._django = django_transaction.Atomic(self._alias, savepoint, durable)
        self._depth = -1  # size of the stack of Django blocks before this one; -1 until it has begun
        self._of_django: list[Any] = []
        self._kept = False  # True once it has ended by a commit, or by the release of its savepoint

    def begin(self) -> None:
        """Begin the transaction, or set the savepoint."""
        self.scope.lease.check(self._alias, self.scope.outer, self.scope.task)
        self._outer = self._blocks.get(self._alias)
        self._blocks[self._alias] = self.scope
        try:
            depth = len(connections[self._alias].atomic_blocks)
            self._django.__enter__()
        except BaseException:
            self._step_out()
            raise
        self._depth = self.scope.depth = depth

    def watch_if_outermost(self) -> None:
        """Log it if the block keeps its connection idle. Runs on the event loop; one watch per lease is enough."""
        if self._outer is None and len(self._blocks) == 1:
            self.idle_watch = idle_transactions.watch(self.scope)

    def undo(self, cancelled: bool) -> None:  # noqa: ARG002, FBT001 - the signature of a last call
        """Roll back the part that :meth:`begin` had begun when its task was cancelled, if any."""
        if self._depth >= 0:
            self._close_inner_blocks()
            self._leave(_as_exc_info(asyncio.CancelledError()))

    async def refuse_end(self, exc_type: type[BaseException] | None) -> None:
        """End a block that an outer block has rolled back by ending first."""
        await _execution.close_scope(self.scope, lambda _: None)
        if exc_type is None:
            raise TransactionManagementError(_ENDED_FROM_OUTSIDE.format(origin=self.scope.origin))

    def end(self, exc_info: ExcInfo, cancelled: bool) -> None:  # noqa: FBT001 - the signature of a last call
        """Commit or roll back."""
        self._close_inner_blocks()
        failure: BaseException | None = None
        if exc_info[0] is None:
            failure = asyncio.CancelledError() if cancelled else self._silent_failure(connections[self._alias])
            if failure is not None:
                exc_info = _as_exc_info(failure)
        connection = self._leave(exc_info)
        if failure is not None and not cancelled:
            raise failure
        if self._kept:
            self._pass_on_hooks(connection)

    def _leave(self, exc_info: ExcInfo) -> BaseDatabaseWrapper:
        connection = connections[self._alias]
        error: TransactionManagementError | None = None
        try:
            if not reset.leave_blocks(connection, self._depth + 1) and exc_info[0] is None:
                error = TransactionManagementError(
                    _INNER_BLOCK_OPEN.format(alias=self._alias, origin=self.scope.origin)
                )
                exc_info = _as_exc_info(error)
            self._exit(connection, exc_info)
            if error is not None:
                raise error
        finally:
            self._step_out()
            self.scope.is_open = False
        return connection

    def _exit(self, connection: BaseDatabaseWrapper, exc_info: ExcInfo) -> None:
        """Let Django end the block. Only a rollback has a time limit: a commit cut short may have happened or not."""
        # Django rolls back silently if an error that was caught inside has marked the block.
        rolls_back = exc_info[0] is not None or connection.needs_rollback or connection.closed_in_transaction
        if not rolls_back and self._outer is None and len(connection.atomic_blocks) == 1:
            self._of_django, connection.run_on_commit = connection.run_on_commit, []  # they run with DAF's, in order
        with cut_off_if_silent(connection) if rolls_back else contextlib.nullcontext():
            self._django.__exit__(*exc_info)
        self._kept = not rolls_back

    def _close_inner_blocks(self) -> None:
        """End the blocks that other tasks have opened inside this one and not ended."""
        inner: Scope | None = self._blocks.get(self._alias)
        while inner is not None and inner is not self.scope:
            if inner.alias is not None:
                inner.is_open = False
            inner = inner.outer
        self._blocks[self._alias] = self.scope

    def _step_out(self) -> None:
        if self._outer is None:
            self._blocks.pop(self._alias, None)
        else:
            self._blocks[self._alias] = self._outer

    def _silent_failure(self, connection: BaseDatabaseWrapper) -> TransactionManagementError | None:
        """Return the error of a block whose body raised nothing but which cannot commit."""
        if connection.closed_in_transaction:
            return TransactionManagementError(_CLOSED.format(alias=self._alias, origin=self.scope.origin))
        if self.scope.lease.cancelled_in_block and connection.needs_rollback:
            return TransactionManagementError(_CALL_CANCELLED.format(origin=self.scope.origin))
        if not connection.needs_rollback and database_of(connection).has_aborted(connection):
            return TransactionManagementError(_ABORTED.format(origin=self.scope.origin))
        return None

    def _pass_on_hooks(self, connection: BaseDatabaseWrapper) -> None:
        """Pass the callbacks to the outer block, async or synchronous; without one they are due."""
        hooks = self.scope.hooks
        if self._outer is not None:
            self._outer.hooks.extend(hooks)
        elif connection.in_atomic_block:
            for hook in hooks:
                callback = OrderedCallback(as_sync(hook.func))
                callback.number = hook.number
                connection.on_commit(callback, robust=hook.robust)
            connection.run_on_commit.sort(key=_number_of)  # stable: entries from before the block have no number
        else:
            of_django = [
                CommitHook(func, robust, _number_of((sids, func, robust))) for sids, func, robust in self._of_django
            ]
            self.hooks_to_run = sorted([*of_django, *hooks], key=lambda hook: hook.number)


def _number_of(entry: Any) -> int:
    """Return the place of a Django callback in the order of registration; -1 for one from before the block."""
    return int(getattr(entry[1], "number", -1))


def _as_exc_info(error: BaseException) -> ExcInfo:
    return type(error), error, error.__traceback__


_CLOSED = (
    "The connection {alias!r} was closed inside the atomic block at {origin}: the block is rolled back. "
    "Do not call connections.close_all() or connection.close() in a transaction."
)
_INNER_BLOCK_OPEN = (
    "The atomic block at {origin} ended while a block inside it on {alias!r} was still open: both are rolled back. "
    "Wait for every task that opens its own blocks before the outer block ends."
)
_ENDED_FROM_OUTSIDE = (
    "The atomic block at {origin} was rolled back because the block around it ended first. Let the outer block wait "
    "for the task that opened this one."
)
_CALL_CANCELLED = (
    "The atomic block at {origin} is rolled back: a call in it was cancelled or timed out, and the database may or may "
    "not have executed it. Let the cancellation leave the block, or put the call in a nested atomic block."
)
_ABORTED = (
    "The atomic block at {origin} is rolled back: the database refused a statement in it and has aborted the "
    "transaction. Let the error leave the block, or put the statement in a nested atomic block."
)
