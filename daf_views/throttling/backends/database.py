"""States in a table of the database, for sites without another store that all processes share.

A row is changed in one UPDATE, which names the version that was read: no lock is held during the arithmetic, and
any database will do. Needs ``"daf_views.throttling"`` in ``INSTALLED_APPS``, for the table.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Self

from django.db import IntegrityError, OperationalError
from django.db import transaction as django_transaction
from django.db.transaction import TransactionManagementError

from daf_orm import database_sync_to_async, transaction
from daf_views._core import shared_state
from daf_views._core.cancellation import in_time
from daf_views._core.clock import wall_clock
from daf_views._core.shared_state import SharedTable, Sweeper
from daf_views.exceptions import ThrottleBackendError
from daf_views.throttling.backends.base import Backend

if TYPE_CHECKING:
    from daf_views._core.clock import Clock
    from daf_views.settings import Settings
    from daf_views.throttling.operations import Change, Operation, R


APP = "daf_views.throttling"
ATTEMPTS = 100
_CONFLICTS = frozenset({"40001", "40P01"})
"""SQLSTATEs of the SQL standard and of PostgreSQL: serialization failure, deadlock."""
_MYSQL_DEADLOCK = 1213


class DatabaseBackend(Backend):
    """States in the database ``alias``; None is where a router puts them, or the default one."""

    def __init__(self, alias: str | None = None, *, clock: Clock = wall_clock) -> None:
        self._table = SharedTable(
            "daf_throttling.ThrottleState", alias, app=APP, setting="THROTTLE_LOCATION", user="backend of throttles"
        )
        self._clock = clock
        self._sweeper = Sweeper(self.sweep, "Expired throttle states")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one whose database is ``THROTTLE_LOCATION``, where that is set."""
        return cls(settings.THROTTLE_LOCATION or None)

    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:
        """Run the operation in a thread, on a connection of the pool.

        Raises TransactionManagementError inside an atomic block on the same database.
        """
        if transaction.in_atomic_block(self._table.database):
            raise TransactionManagementError(
                "A throttle was checked inside an atomic block: a rollback would undo its count, and others would "
                "wait for the block. Put it on the view, which checks it before its transaction begins."
            )
        result = await in_time(database_sync_to_async(self._change)(key, operation), timeout)
        self._sweeper.count()
        return result

    def sweep(self) -> None:
        """Delete rows that have expired."""
        rows, now = self._table.rows(), self._clock()
        expired = list(rows.filter(expires__lte=now).values_list("pk", flat=True)[: shared_state.SWEEP_EVERY])
        if expired:
            rows.filter(pk__in=expired, expires__lte=now).delete()  # unless they have been renewed

    def _change(self, key: str, operation: Operation[R]) -> R:
        for _ in range(ATTEMPTS):
            row = self._table.rows().filter(pk=key).values_list("state", "version").first()
            text, version = row or ("", None)
            change = operation.apply(tuple(map(int, text.split())), self._clock())
            try:
                if change.state is None or self._write(key, version, change):
                    return change.result
            except OperationalError as error:
                if not _is_conflict(error):
                    raise
        raise ThrottleBackendError(f"Concurrent requests were faster {ATTEMPTS} times in a row in the database.")

    def _write(self, key: str, version: int | None, change: Change[Any]) -> bool:
        """Write the state unless it has changed since it was read; return True if it is written."""
        new = {"state": " ".join(map(str, change.state or ())), "expires": change.expires}
        if version is not None:
            return bool(self._table.rows().filter(pk=key, version=version).update(version=version + 1, **new))
        if not change.state:
            return True
        try:
            with django_transaction.atomic(using=self._table.database):
                # A row that is deleted and made again must not be taken for the one that was read.
                self._table.rows().create(pk=key, version=secrets.randbits(48), **new)
        except IntegrityError:
            return False
        return True


def _is_conflict(error: OperationalError) -> bool:
    """Return True if a transaction failed because of another: from REPEATABLE READ on, the second writer fails."""
    return getattr(error.__cause__, "sqlstate", None) in _CONFLICTS or error.args[:1] == (_MYSQL_DEADLOCK,)
