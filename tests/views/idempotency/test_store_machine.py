"""Claims that are taken, held, renewed, finished, given up and forgotten, in any order: a model says the same."""

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from daf_views.idempotency.models import IdempotencyRecord
from daf_views.idempotency.stored_response import StoredResponse
from daf_views.idempotency.stores.base import Claim, Record

LEASE, TTL = 1000, 10_000
KEYS = ["a" * 64, "b" * 64]
answers = st.builds(
    StoredResponse,
    status=st.sampled_from([200, 201, 404]),
    headers=st.lists(st.tuples(st.just("X-A"), st.text(max_size=3))).map(tuple),
    body=st.none() | st.binary(max_size=5),
)


class Entry:
    def __init__(self, claim):
        self.claim = claim
        self.answer = None
        self.is_expired = False


class StoreMachine(RuleBasedStateMachine):
    claims = Bundle("claims")
    make_store = None
    """Set by the test."""

    def __init__(self):
        super().__init__()
        IdempotencyRecord.objects.all().delete()
        self.store = self.make_store()
        self.entries = {}

    @rule(target=claims, key=st.sampled_from(KEYS), fingerprint=st.sampled_from("xy"))
    def claim(self, key, fingerprint):
        claim = Claim(key=key, fingerprint=fingerprint, lease=LEASE, ttl=TTL)
        known = self.entries.get(key)
        found = async_to_sync(self.store.claim)(claim)
        if known is None or known.is_expired:
            assert found is None
            self.entries[key] = Entry(claim)
        else:
            assert found == Record(fingerprint=known.claim.fingerprint, answer=known.answer)
        return claim

    def entry_of(self, claim):
        """Return what the claim still holds."""
        entry = self.entries.get(claim.key)
        return entry if entry is not None and entry.claim is claim and entry.answer is None else None

    @rule(claim=claims, answer=answers)
    def finish(self, claim, answer):
        entry = self.entry_of(claim)
        assert async_to_sync(self.store.finish)(claim, answer) == (entry is not None)
        if entry is not None:
            entry.answer, entry.is_expired = answer, False

    @rule(claim=claims)
    def fail(self, claim):
        async_to_sync(self.store.release)(claim)
        if self.entry_of(claim) is not None:
            del self.entries[claim.key]

    @rule(claim=claims)
    def renew(self, claim):
        entry = self.entry_of(claim)
        assert async_to_sync(self.store.renew)(claim) == (entry is not None)
        if entry is not None:
            entry.is_expired = False


class DatabaseMachine(StoreMachine):
    """An expired row is still its claim's, until it is taken over or swept."""

    @rule(claim=StoreMachine.claims)
    def hold(self, claim):
        assert async_to_sync(self.store.hold)(claim) == (self.entry_of(claim) is not None)

    @rule()
    def sweep(self):
        self.store.sweep()
        self.entries = {key: entry for key, entry in self.entries.items() if not entry.is_expired}

    @rule(key=st.sampled_from(KEYS))
    def expire(self, key):
        IdempotencyRecord.objects.filter(pk=key).update(expires=self.store._clock())
        if key in self.entries:
            self.entries[key].is_expired = True

    @invariant()
    def the_table_says_so(self):
        assert set(IdempotencyRecord.objects.values_list("pk", flat=True)) == set(self.entries)


class CacheMachine(StoreMachine):
    """An entry that has expired is gone."""

    @rule(key=st.sampled_from(KEYS))
    def expire(self, key):
        self.store._cache.get().touch(self.store._prefix + key, 0)  # as if its time were over
        self.entries.pop(key, None)


MACHINES = {"database": DatabaseMachine, "cache": CacheMachine}


@pytest.mark.parametrize("kind", ["database", pytest.param("cache", marks=pytest.mark.sqlite_memory)])
@pytest.mark.timeout(400)
def test_a_key_has_one_claim_and_one_answer(make_store, kind, clock):
    options = {"clock": clock} if kind == "database" else {}
    machine = type("Machine", (MACHINES[kind],), {"make_store": lambda _: make_store(kind, **options)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
