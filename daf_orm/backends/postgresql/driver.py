"""psycopg's connections and cursors, which wait on the event loop where their code runs there.

On threads they behave like psycopg's. They also save round trips: on the event loop a BEGIN and a SAVEPOINT are sent
with the next statement, in libpq's pipeline mode. So each error is still that of its command.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from django.db.backends.postgresql import base as django_backend
from psycopg import AsyncConnection, capabilities, errors, generators, pq, waiting
from psycopg._preparing import Prepare

from daf_orm._core.bridge import current_bridge
from daf_orm._core.locks import FifoLock
from daf_orm.backends.postgresql.readiness import Exchange, Readiness, require_readers
from daf_orm.exceptions import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.abc import PQGen

    from daf_orm._core.bridge import Bridge

# ruff: noqa: SLF001 - psycopg's private names are listed in private_names.py
T = TypeVar("T")
_IDLE: Final = pq.TransactionStatus.IDLE
_SAVEPOINT: Final = re.compile(r'SAVEPOINT ("[A-Za-z0-9_-]+")')
_RELEASE: Final = re.compile(r'RELEASE SAVEPOINT ("[A-Za-z0-9_-]+")')
_FOLDABLE: Final = re.compile(
    rb"(?:[\s(]|/\*[^*]*\*/)*(?:SELECT|INSERT|UPDATE|DELETE|WITH|VALUES|MERGE|SET|SHOW|LOCK)\b", re.IGNORECASE
)
"""Statements that may be sent in libpq's pipeline mode. After a COPY in it a connection cannot be used any more."""
_CLOSED: Final = "the connection is closed"
# Releases without it pass no time-out.
_TIMEOUT: Final[type[BaseException]] = getattr(errors, "_WaitTimeout", TimeoutError)
_CUT: Final = "The connection was closed: the task that used it was dropped."


class Lock:
    """Replaces psycopg's lock: where code on the event loop waits for it, the loop goes on."""

    def __init__(self) -> None:
        self._lock = FifoLock()

    def __enter__(self) -> None:
        if not self._lock.acquire_at_once():
            self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - threading.Lock's
        """Take it, as :meth:`threading.Lock.acquire` does."""
        if self._lock.acquire_at_once():
            return True
        if not blocking:
            return False
        limit = None if timeout < 0 else timeout
        bridge = current_bridge()
        try:
            if bridge is None:
                self._lock.acquire_blocking(limit)
            elif bridge.is_cut:
                raise errors.OperationalError(_CUT)
            else:  # not stopped by a cancellation, since the end of a transaction may be waiting here
                taking = bridge.loop.create_task(self._lock.acquire(limit))
                bridge.wait_through(taking)
                if not taking.done():  # the bridge was cut
                    _drop(taking)
                    raise errors.OperationalError(_CUT)
                taking.result()
        except PoolTimeout:
            return False
        return True

    def release(self) -> None:
        """Release it."""
        self._lock.release()

    def locked(self) -> bool:
        """Return True if it is taken."""
        return self._lock.taken


class Connection(psycopg.Connection[Any]):
    """psycopg's connection, with the changes that the module describes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lock = Lock()  # type: ignore[assignment]
        self.unsent: list[bytes] = []
        """Commands that cannot fail, and travel with the next statement."""
        self.defers_begin = False
        """True while DAF's cursor executes a statement, and sends BEGIN with it."""
        self._find_readiness: Callable[[], Readiness | None] = _nothing

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Connection:
        """Connect like psycopg, with its lookup of host names."""
        bridge = current_bridge()
        if bridge is None:
            return super().connect(conninfo, **kwargs)
        require_readers(bridge.loop)
        connection: Connection = bridge.wait_until_done(_Opening.connect(conninfo, **kwargs))
        return connection

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Carry out an exchange with the server."""
        if self.unsent and (self._pipeline or getattr(gen, "gi_code", None) not in _SEE_TO_UNSENT):
            gen = self._after_unsent(gen)
        bridge = current_bridge()
        if bridge is None:
            return super().wait(gen, *args, **kwargs)
        if bridge.is_cut:
            self.cut()
        if self._find_readiness is _nothing:  # before the first wait on the loop, if a thread has opened it
            require_readers(bridge.loop)
        try:
            wants = next(gen)
        except StopIteration as end:
            result: T = end.value
            return result
        return self._wait_on_loop(bridge, gen, wants, *args, **kwargs)

    def _wait_on_loop(
        self,
        bridge: Bridge,
        gen: PQGen[T],
        wants: int,
        interval: float | None = None,
        timeout: float | None = None,
    ) -> T:
        exchange = Exchange(gen, wants)
        self._watch(exchange, bridge.loop)
        limit = timeout if timeout is not None else interval  # of releases that know no time-out
        if limit is None:
            bridge.wait_for(exchange)
        else:
            timer = bridge.loop.call_later(limit, _expire, exchange, timeout is None)
            try:
                bridge.wait_for(exchange)
            finally:
                timer.cancel()
        if not exchange.has_happened:  # the bridge was cut
            self.cut()
        return exchange.result()

    def _watch(self, exchange: Exchange[Any], loop: asyncio.AbstractEventLoop) -> None:
        readiness = self._find_readiness()
        if readiness is None or readiness.loop is not loop:
            if readiness is not None:
                readiness.release(errors.OperationalError(_CLOSED))
            readiness = Readiness(self.pgconn.socket, loop)
            self._find_readiness = weakref.ref(readiness)
        exchange.begin_at(self._find_readiness)
        readiness.begin(exchange)

    def cut(self) -> None:
        """Close the connection at once. Raises OperationalError."""
        self.close_at_once()
        raise errors.OperationalError(_CUT)

    def close_at_once(self) -> None:
        """Close the connection in any state, and stop the statement that its server still executes. Does not block."""
        self._release()
        if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            if capabilities.has_cancel_safe():
                stop = self.pgconn.cancel_conn().blocking
            else:
                stop = self.pgconn.get_cancel().cancel
            # The statement would go on, and keep its locks, until it has an answer to send.
            with contextlib.suppress(RuntimeError):  # the interpreter ends, or there are too many threads
                threading.Thread(target=stop, name="daf_orm-stop", daemon=True).start()
        self.pgconn.finish()

    def close(self) -> None:
        """Close the connection."""
        self._release()
        super().close()

    def _release(self) -> None:
        readiness, self._find_readiness = self._find_readiness(), _nothing
        if readiness is not None:
            readiness.release(errors.OperationalError(_CLOSED))

    def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """Ask the server to cancel the running statement."""
        if (bridge := current_bridge()) is None:
            super().cancel_safe(timeout=timeout)
        else:
            bridge.wait_until_done(self.cancel_on_loop(timeout))

    async def cancel_on_loop(self, timeout: float) -> None:
        """Ask the server to cancel the running statement, from another task."""
        if not self._should_cancel():
            return
        if capabilities.has_cancel_safe():
            takes_timeout = "timeout" in inspect.signature(self._cancel_gen).parameters
            async with asyncio.timeout(timeout):
                await waiting.wait_conn_async(self._cancel_gen(**({"timeout": timeout} if takes_timeout else {})))
        else:
            await asyncio.get_running_loop().run_in_executor(None, self.cancel)

    # Round trips

    def take_unsent(self) -> list[bytes]:
        """Return the commands to send before a statement: BEGIN, if a transaction has to be begun, and savepoints."""
        unsent, self.unsent = self.unsent, []
        if not self._autocommit and self.pgconn.transaction_status == _IDLE:
            unsent.insert(0, self._get_tx_start_command())
        return unsent

    def _start_query(self) -> PQGen[None]:
        """Begin a transaction if there is none. DAF's cursor does so with its statement."""
        if not self.defers_begin:
            yield from super()._start_query()

    def _after_unsent(self, gen: PQGen[T]) -> PQGen[T]:
        """Send the commands that were held back before anything else that the driver sends."""
        for command in self.take_unsent():
            yield from self._exec_command(command)
        return (yield from gen)

    def _commit_gen(self) -> PQGen[None]:
        if not (self._num_transactions or self._tpc):  # it would be refused
            self.unsent.clear()  # a savepoint that nothing follows
        yield from super()._commit_gen()

    def _rollback_gen(self) -> PQGen[None]:
        if not (self._num_transactions or self._tpc):
            self.unsent.clear()
        yield from super()._rollback_gen()


def _drop(task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(RuntimeError):  # its loop is closed
        task.cancel()


def _nothing() -> None:
    """Stand in for a reference to a registration, where there is none."""


def _expire(exchange: Exchange[Any], goes_on: bool) -> None:  # noqa: FBT001 - a callback's argument
    if exchange.has_happened:
        return
    if goes_on:
        exchange.advance(0)  # psycopg.waiting.READY_NONE
    else:
        exchange.fail(_TIMEOUT("wait timeout expired"))


class _Opening(AsyncConnection[Any]):
    """psycopg's way to connect on an event loop, which makes DAF's connection."""

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Any:
        return Connection._connect_gen(*args, **kwargs)


class _Folding:
    """A cursor that sends the commands held back together with its statement."""

    _conn: Connection
    _pgconn: Any
    closed: bool
    format: Any

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
        """Send a statement. A savepoint is sent with the next statement."""
        if params is None and isinstance(query, str) and current_bridge() is not None and self._holds_back(query):
            self._reset()  # type: ignore[attr-defined]
            return self
        return super().execute(query, params, **kwargs)  # type: ignore[misc]

    def fetchmany(self, size: int = 0) -> list[Any]:
        """Return the next rows. On the event loop, pause first if it has done nothing else for long."""
        if (bridge := current_bridge()) is not None:
            bridge.breathe()
        rows: list[Any] = super().fetchmany(size)  # type: ignore[misc]
        return rows

    def _holds_back(self, query: str) -> bool:
        """Hold a savepoint back; forget one that no statement has followed."""
        connection = self._conn
        if query[:1] not in "SR" or connection.autocommit or connection._pipeline:
            return False
        if self.closed or connection.closed:
            return False
        status = connection.pgconn.transaction_status
        if status not in (_IDLE, pq.TransactionStatus.INTRANS):
            return False
        if _SAVEPOINT.fullmatch(query):
            connection.unsent.append(query.encode())
            return True
        if connection.unsent and (released := _RELEASE.fullmatch(query)):
            last = _SAVEPOINT.fullmatch(connection.unsent[-1].decode())
            if last is not None and last[1] == released[1]:
                connection.unsent.pop()
                return True
        return False

    def _execute_gen(self, *args: Any, **kwargs: Any) -> Any:
        connection = self._conn
        # Commands held back on the event loop are sent with a statement from a thread, too.
        takes_along = bool(connection.unsent) or current_bridge() is not None
        connection.defers_begin = takes_along and not connection._pipeline
        try:
            yield from super()._execute_gen(*args, **kwargs)  # type: ignore[misc]
        finally:
            connection.defers_begin = False

    def _maybe_prepare_gen(self, pgq: Any, *, prepare: bool | None = None, binary: bool | None = None) -> Any:
        connection = self._conn
        if not connection.defers_begin or not (unsent := connection.take_unsent()):
            yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)  # type: ignore[misc]
            return
        prep, _ = self._get_prepared(pgq, prepare)  # type: ignore[attr-defined]
        if (
            prep is not Prepare.NO
            or binary
            or self.format  # a cursor that binds in the client refuses it, when BEGIN would be on its way
            or b";" in pgq.query
            or _FOLDABLE.match(pgq.query) is None
            or not capabilities.has_pipeline()
        ):
            for command in unsent:
                yield from connection._exec_command(command)
            yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)  # type: ignore[misc]
            return
        results = yield from self._exchange_at_once(unsent, pgq, binary=binary)
        self._check_results(results)  # type: ignore[attr-defined]
        self._set_results(results)  # type: ignore[attr-defined]

    def _exchange_at_once(self, before: list[bytes], pgq: Any, *, binary: bool | None) -> Any:
        """Send commands and a statement in one packet; return the results of the statement."""
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        try:
            for command in before:
                pgconn.send_query_params(command, None)
            self._execute_send(pgq, force_extended=True, binary=binary)  # type: ignore[attr-defined]
            pgconn.pipeline_sync()
            yield from generators.send(pgconn)
            failed: list[Any] = []
            for _ in before:
                results = yield from generators.fetch_many(pgconn)
                failed = failed or [each for each in results if each.status == pq.ExecStatus.FATAL_ERROR]
            results = yield from generators.fetch_many(pgconn)
            yield from generators.fetch_many(pgconn)  # that of the Sync
        finally:
            if pgconn.status == pq.ConnStatus.OK:
                pgconn.exit_pipeline_mode()
        return failed or results


_SEE_TO_UNSENT: Final = {
    each.__code__ for each in (_Folding._execute_gen, Connection._commit_gen, Connection._rollback_gen)
}
"""The exchanges that send, or forget, the commands held back."""


class Cursor(_Folding, django_backend.Cursor):
    """Django's cursor, which puts parameters into the statement."""


class ServerBindingCursor(_Folding, django_backend.ServerBindingCursor):
    """Django's cursor of the option ``server_side_binding``."""
