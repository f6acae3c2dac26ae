"""Keys and responses in a table, where a response can be committed together with the effect of its request.

A claim is a row that is committed before the handler's transaction begins: a second request sees it, and waits for
none. The handler's transaction begins by updating the row (:meth:`DatabaseStore.hold`), and ends by writing the
response into it. So it has the row's lock, and only as long as its connection lives: a process that is killed loses it
at once. While the lock is held no other request takes the key, even if the lease has expired. Where the database can
skip locked rows, others skip it; elsewhere they wait, and then find the response. A transaction that no longer finds
its own token in the row is rolled back.

On SQLite one transaction writes at a time, and daf_orm begins each with the write lock. A second request is still
answered at once: a claim begins with a read.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from django.db import OperationalError, connections
from django.db import transaction as django_transaction
from django.db.transaction import TransactionManagementError

from daf_orm import database_sync_to_async, transaction
from daf_views._core import shared_state
from daf_views._core.clock import wall_clock
from daf_views._core.shared_state import SharedTable, Sweeper
from daf_views.idempotency.exceptions import InFlightError
from daf_views.idempotency.stored_response import StoredResponse
from daf_views.idempotency.stores.base import Claim, Record, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daf_views._core.clock import Clock
    from daf_views.settings import Settings


APP = "daf_views.idempotency"
ATTEMPTS = 10
_SECOND = 1_000_000
_CONFLICT = "40001"
"""SQLSTATE of the second writer in a transaction that is REPEATABLE READ or stricter."""


class DatabaseStore(Store):
    """Records in the database ``alias``; None is where a router puts them, or the default one."""

    def __init__(self, alias: str | None = None, *, clock: Clock = wall_clock) -> None:
        self._table = SharedTable(
            "daf_idempotency.IdempotencyRecord",
            alias,
            app=APP,
            setting="IDEMPOTENCY_LOCATION",
            user="store of idempotency keys",
        )
        self._clock = clock
        self._sweeper = Sweeper(self.sweep, "Expired answers")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one whose database is ``IDEMPOTENCY_LOCATION``, where that is set."""
        return cls(settings.IDEMPOTENCY_LOCATION or None)

    def joins(self, aliases: Sequence[str]) -> bool:
        """Return True if one of the transactions is on the database of the records."""
        return self._table.database in aliases

    async def claim(self, claim: Claim) -> Record | None:
        """Take the key. Raises TransactionManagementError inside an atomic block on the same database."""
        if transaction.in_atomic_block(self._table.database):
            raise TransactionManagementError(
                "An Idempotency-Key was claimed inside an atomic block, which other requests would wait for. "
                "Let the view be `atomic`, whose transaction begins after the claim, or begin one in the handler."
            )
        record = await database_sync_to_async(self._claim)(claim)
        self._sweeper.count()
        return record

    async def hold(self, claim: Claim) -> bool:
        """Lock the row. If that fails, the transaction cannot be used further."""
        with _unless_conflicting():
            return await database_sync_to_async(self._change)(claim, token=claim.token)
        return False

    async def renew(self, claim: Claim) -> bool:
        """Renew the lease."""
        return await database_sync_to_async(self._change)(claim, expires=self._in(claim.lease))

    async def finish(self, claim: Claim, answer: StoredResponse) -> bool:
        """Write the response, in the surrounding transaction, if there is one."""
        values = {"status": answer.status, "headers": json.dumps(answer.headers), "body": answer.body}
        return await database_sync_to_async(self._change)(claim, expires=self._in(claim.ttl), **values)

    async def release(self, claim: Claim) -> None:
        """Delete the row, unless it has a response."""
        await database_sync_to_async(lambda: self._own(claim).delete())()

    def sweep(self) -> None:
        """Delete rows that have expired, except those that a transaction holds."""
        rows, now = self._table.rows(), self._clock()
        with self._passing_by_locked():
            expired = self._locked(rows.filter(expires__lte=now)).values_list("pk", flat=True)[
                : shared_state.SWEEP_EVERY
            ]
            if keys := list(expired):
                rows.filter(pk__in=keys, expires__lte=now).delete()  # unless they have been renewed

    # A claim, in steps

    def _claim(self, claim: Claim) -> Record | None:
        for _ in range(ATTEMPTS):
            row = self._table.rows().filter(pk=claim.key).first()
            if row is not None and row.token == claim.token:
                return None
            if row is not None and row.expires > self._clock():
                return _record(row)
            if row is None:
                self._insert(claim)
            elif not self._take_over(row, claim) and not self._has_changed(row):
                return _record(row)  # a transaction holds it
        raise InFlightError

    def _insert(self, claim: Claim) -> None:
        """Insert a row, unless another request has. It raises no error, which would abort a transaction around it."""
        row = self._table.model(pk=claim.key, **self._values(claim))
        with _unless_conflicting():
            self._table.rows().bulk_create([row], ignore_conflicts=True)

    def _take_over(self, row: Any, claim: Claim) -> bool:
        """Make an expired row that of the claim; return True if it succeeded."""
        blank = {"status": None, "headers": "", "body": None}
        unchanged = self._table.rows().filter(pk=row.pk, token=row.token, expires=row.expires)
        with _unless_conflicting(), self._passing_by_locked():
            is_free = not self._can_pass_by or self._locked(unchanged).values_list("pk", flat=True)
            return bool(is_free and unchanged.update(**self._values(claim), **blank))
        return False

    def _has_changed(self, row: Any) -> bool:
        return not self._table.rows().filter(pk=row.pk, token=row.token, expires=row.expires).exists()

    def _values(self, claim: Claim) -> dict[str, Any]:
        return {"token": claim.token, "fingerprint": claim.fingerprint, "expires": self._in(claim.lease)}

    # Rows

    def _change(self, claim: Claim, **values: Any) -> bool:
        return bool(self._own(claim).update(**values))

    def _own(self, claim: Claim) -> Any:
        return self._table.rows().filter(pk=claim.key, token=claim.token, status=None)

    @property
    def _can_pass_by(self) -> bool:
        features = connections[self._table.database].features
        return features.has_select_for_update_skip_locked and features.supports_select_for_update_with_limit

    def _passing_by_locked(self) -> AbstractContextManager[object]:
        """Return a transaction for the locks, or no transaction if the database cannot skip locked rows."""
        return django_transaction.atomic(using=self._table.database) if self._can_pass_by else nullcontext()

    def _locked(self, rows: Any) -> Any:
        """Lock the rows, except those that are locked already, where the database can skip them."""
        return rows.select_for_update(skip_locked=True) if self._can_pass_by else rows

    def _in(self, seconds: float) -> int:
        return self._clock() + round(seconds * _SECOND)


@contextmanager
def _unless_conflicting() -> Iterator[None]:
    """Leave the block if another request was faster."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _CONFLICT:
            raise


def _record(row: Any) -> Record:
    if row.status is None:
        return Record(fingerprint=row.fingerprint, answer=None)
    headers = tuple((name, value) for name, value in json.loads(row.headers))
    body = None if row.body is None else bytes(row.body)
    return Record(fingerprint=row.fingerprint, answer=StoredResponse(status=row.status, headers=headers, body=body))
