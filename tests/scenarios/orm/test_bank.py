"""A bank under chaos: no coin is made or lost, and a transfer that was acknowledged has happened exactly once.

Transfers run in nested blocks while their tasks are cancelled, their connections killed and their server crashes and
comes back. A transfer whose caller got an error may have happened or not, as its COMMIT may have; but not in part.
"""

import asyncio
import random
from collections import Counter as Tally

import pytest
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F

from daf_orm import database_sync_to_async, get_pool, transaction
from tests.project.library.models import Author, Counter
from tests.scenarios.orm.test_recovery import at_port, second_server, settled
from tests.support.administration import administrator

__all__ = ["at_port", "second_server"]
pytestmark = pytest.mark.usefixtures("has_server")
ACCOUNTS, BALANCE, CLIENTS, TRANSFERS = 10, 1000, 12, 400


class Bank:
    """Accounts are counters; each transfer leaves an author, whose name is its key and whose email is what it did."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.acknowledged = []
        self.outcomes = Tally()
        self.is_up = asyncio.Event()
        self.is_up.set()
        self._left = iter(range(TRANSFERS))
        self._changed = asyncio.Condition()

    async def open(self):
        def create():
            with connection.schema_editor() as editor:
                editor.create_model(Counter)
                editor.create_model(Author)

        await database_sync_to_async(create)()
        await Counter.objects.abulk_create(
            [Counter(pk=number, name=f"account {number}", value=BALANCE) for number in range(1, ACCOUNTS + 1)]
        )

    async def client(self):
        """Make transfers, some of which are cancelled after a while."""
        for number in self._left:
            await self.is_up.wait()
            task = asyncio.create_task(self._transfer(f"transfer {number}"))
            if number % 3 == 0:
                asyncio.get_running_loop().call_later(self.random.uniform(0, 0.05), task.cancel)
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if outcome is not None and not isinstance(outcome, (DatabaseError, InterfaceError, asyncio.CancelledError)):
                raise outcome
            async with self._changed:
                self.outcomes[type(outcome)] += 1
                self._changed.notify_all()

    async def until(self, number):
        """Wait until so many transfers have ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.outcomes.total() >= number)

    async def _transfer(self, key):
        source, target = self.random.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.random.randint(1, 50)
        async with transaction.atomic():
            await Counter.objects.filter(pk=min(source, target)).aupdate(value=F("value"))  # locks in one order
            await Counter.objects.filter(pk=source).aupdate(value=F("value") - amount)
            try:
                async with transaction.atomic():
                    await Counter.objects.filter(pk=target).aupdate(value=F("value") + 2 * amount)
                    raise LookupError("a mistake, which is undone")
            except LookupError:
                pass
            async with transaction.atomic():
                await Counter.objects.filter(pk=target).aupdate(value=F("value") + amount)
                await Author.objects.acreate(name=key, email=f"{source} {target} {amount}")
        self.acknowledged.append(key)

    async def audit(self):
        """Compare the books with the balances."""
        books = [(author.name, *map(int, author.email.split())) async for author in Author.objects.all()]
        times = Tally(key for key, *_ in books)
        expected = Tally(dict.fromkeys(range(1, ACCOUNTS + 1), BALANCE))
        for _, source, target, amount in books:
            expected[source] -= amount
            expected[target] += amount
        balances = {account.pk: account.value async for account in Counter.objects.all()}

        assert set(times.values()) == {1}
        assert set(self.acknowledged) <= times.keys()
        assert balances == dict(expected)
        assert sum(balances.values()) == ACCOUNTS * BALANCE


async def test_no_coin_is_made_or_lost_and_no_transfer_happens_twice(second_server, at_port, pool_with):
    pool_with(MAX_SIZE=5)
    at_port(second_server.port, NAME=second_server.database)
    bank = Bank(seed=1)
    await asyncio.create_task(bank.open())  # a separate task keeps no connection

    async def chaos():
        for number, mode in ((60, None), (120, None), (180, "immediate"), (260, None), (320, "fast")):
            await bank.until(number)
            if mode is None:
                with administrator(second_server.url) as session:
                    await session.end_all_once(second_server.database)
                continue
            bank.is_up.clear()
            await asyncio.to_thread(second_server.restart, mode)
            bank.is_up.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(chaos())
        for _ in range(CLIENTS):
            group.create_task(bank.client())

    await asyncio.create_task(bank.audit())
    assert bank.outcomes.total() == TRANSFERS
    assert bank.outcomes[type(None)] == len(bank.acknowledged) > TRANSFERS / 5
    assert bank.outcomes[asyncio.CancelledError] > 0
    assert bank.outcomes.total() > bank.outcomes[type(None)] + bank.outcomes[asyncio.CancelledError]
    assert settled(get_pool())
