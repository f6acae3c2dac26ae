"""States in a table of the database, for sites that have nothing else that all processes share.

A row is changed only by who has read its newest version, in one UPDATE: no lock is held while anybody computes, and
any database will do. Needs ``"daf_views.throttling"`` in ``INSTALLED_APPS``, for the table.
"""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections, router, transaction

from daf_orm import database_sync_to_async
from daf_views.exceptions import ThrottleBackendError
from daf_views.throttling.backends.base import Backend, in_time, wall_clock

if TYPE_CHECKING:
    from daf_views.settings import Settings
    from daf_views.throttling.backends.base import Clock
    from daf_views.throttling.operations import Change, Operation, R

APP = "daf_views.throttling"
ATTEMPTS = 100
SWEEP_EVERY = 1000
"""Operations of a process between two deletions of rows that have expired, and rows deleted at most in each."""


class DatabaseBackend(Backend):
    """States in the database ``alias``; None is where a router puts them, or the default one."""

    def __init__(self, alias: str | None = None, *, clock: Clock = wall_clock) -> None:
        if not apps.is_installed(APP):
            raise ImproperlyConfigured(f'The database backend of throttles needs "{APP}" in INSTALLED_APPS.')
        if alias is not None and alias not in connections:
            raise ImproperlyConfigured(f"DAF_VIEWS['THROTTLE_LOCATION']: there is no database {alias!r}.")
        self._model = apps.get_model("daf_throttling", "ThrottleState")
        self._alias = alias
        self._clock = clock
        self._operations = itertools.count()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one whose database is ``THROTTLE_LOCATION``, where that is set."""
        return cls(settings.THROTTLE_LOCATION or None)

    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:
        """Run the operation in a thread, on a connection of the pool."""
        return await in_time(database_sync_to_async(self._change)(key, operation), timeout)

    def sweep(self) -> None:
        """Delete rows that have expired."""
        rows, now = self._rows(), self._clock()
        expired = list(rows.filter(expires__lte=now).values_list("pk", flat=True)[:SWEEP_EVERY])
        if expired:
            rows.filter(pk__in=expired, expires__lte=now).delete()  # unless they have come back to life

    def _change(self, key: str, operation: Operation[R]) -> R:
        if next(self._operations) % SWEEP_EVERY == 0:
            self.sweep()
        for _ in range(ATTEMPTS):
            row = self._rows().filter(pk=key).values_list("state", "version").first()
            text, version = row or ("", None)
            change = operation.apply(tuple(map(int, text.split())), self._clock())
            if change.state is None or self._write(key, version, change):
                return change.result
        raise ThrottleBackendError(f"Others came first {ATTEMPTS} times in a row in the database.")

    def _write(self, key: str, version: int | None, change: Change[Any]) -> bool:
        """Write the state unless somebody else has since it was read; return whether it is there."""
        new = {"state": " ".join(map(str, change.state or ())), "expires": change.expires}
        if version is not None:
            return bool(self._rows().filter(pk=key, version=version).update(version=version + 1, **new))
        if not change.state:
            return True
        try:
            with transaction.atomic(using=self._rows().db):
                # A row that is deleted and made again must not be taken for the one that was read.
                self._rows().create(pk=key, version=secrets.randbits(48), **new)
        except IntegrityError:
            return False
        return True

    def _rows(self) -> Any:
        return self._model._base_manager.using(self._alias or router.db_for_write(self._model))  # noqa: SLF001 - Meta API
