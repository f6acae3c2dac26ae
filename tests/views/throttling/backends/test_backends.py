"""The promise of every backend, on real servers: the same arithmetic, one step at a time, with concurrent requests."""

import asyncio
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from daf_views.throttling import Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.algorithms.sliding_window import SlidingWindow
from daf_views.throttling.backends import BACKENDS as NAMED
from daf_views.throttling.operations import Enter, Leave, Take
from tests.views.throttling.conftest import BACKENDS, FakeClock

TIMEOUT = 30
TEN = Take([GCRA(Rate.parse("10/minute"))])
HOLD = 60_000_000


async def hit(backend, key="somebody", operation=TEN):
    return await backend.run(key, operation, timeout=TIMEOUT)


def test_every_backend_that_a_setting_names_is_tested_here():
    assert sorted(BACKENDS) == sorted(NAMED), "add it to BACKENDS and make_backend in ../conftest.py"


@pytest.mark.parametrize("kind", [GCRA, SlidingWindow])
async def test_of_many_at_the_same_time_exactly_the_limit_passes(backend, kind):
    take = Take([kind(Rate.parse("10/minute"))])
    hits = await asyncio.gather(*(hit(backend, operation=take) for _ in range(60)))
    assert sum(each.allowed for each in hits) == 10
    assert sorted(each.remaining for each in hits if each.allowed) == list(range(10))


async def test_keys_do_not_share_a_limit(backend):
    hits = await asyncio.gather(*(hit(backend, key=f"client-{number % 3}") for number in range(45)))
    assert sum(each.allowed for each in hits) == 30


async def test_two_backends_on_one_server_count_together(make_backend, clock):
    for kind in BACKENDS[1:]:
        one, two = make_backend(kind, clock=clock), make_backend(kind, clock=clock)
        hits = await asyncio.gather(*(hit(backend) for backend in (one, two) for _ in range(10)))
        assert sum(each.allowed for each in hits) == 10, kind
        await one.aclose()
        await two.aclose()


async def test_event_loops_of_several_threads_count_together(backend):
    hits = []

    async def ten_times():
        hits.extend([await hit(backend) for _ in range(10)])
        await backend.aclose()

    threads = [threading.Thread(target=lambda: asyncio.run(ten_times())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sum(each.allowed for each in hits) == 10


async def test_a_request_after_its_wait_is_let_through(backend, clock):
    for _ in range(10):
        await hit(backend)
    refused = await hit(backend)
    clock.advance(refused.retry_after - 0.000_001)
    assert not (await hit(backend)).allowed
    clock.advance(0.000_001)
    assert (await hit(backend)).allowed


async def test_a_cancelled_hit_is_counted_once_or_not_at_all(backend):
    for turns in range(20):
        task = asyncio.create_task(hit(backend, key=f"key-{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        remaining = (await hit(backend, key=f"key-{turns}")).remaining
        # In a thread it may still be under way; then it is counted later, or stopped.
        assert remaining in {8, 9}


async def test_places_are_taken_and_given_back(backend, clock):
    entries = [await backend.run("key", Enter(token, 2, HOLD), timeout=TIMEOUT) for token in (1, 2, 3)]
    assert [(entry.allowed, entry.taken) for entry in entries] == [(True, 1), (True, 2), (False, 2)]
    await backend.run("key", Leave(1), timeout=TIMEOUT)
    await backend.run("key", Leave(1), timeout=TIMEOUT)
    assert (await backend.run("key", Enter(3, 2, HOLD), timeout=TIMEOUT)).allowed


async def test_an_abandoned_slot_is_free_again(backend, clock):
    await backend.run("key", Enter(1, 2, HOLD), timeout=TIMEOUT)
    await backend.run("key", Enter(2, 2, HOLD), timeout=TIMEOUT)
    clock.advance(40)
    await backend.run("key", Enter(2, 2, HOLD), timeout=TIMEOUT)  # holds on
    clock.advance(20)
    assert (await backend.run("key", Enter(3, 2, HOLD), timeout=TIMEOUT)).taken == 2
    clock.advance(40)
    assert (await backend.run("key", Enter(4, 2, HOLD), timeout=TIMEOUT)).taken == 2


async def test_of_many_that_enter_at_the_same_time_as_many_as_there_are_places_do(backend):
    entries = await asyncio.gather(*(backend.run("key", Enter(n, 5, HOLD), timeout=TIMEOUT) for n in range(1, 31)))
    assert sum(entry.allowed for entry in entries) == 5


class BackendMachine(RuleBasedStateMachine):
    """The same operations, on every backend and on paper: the same results, whatever the order and the clock.

    Periods are of half an hour and more: Redis also deletes a state when its time is over on the server's own clock.
    """

    backends: dict
    clock: FakeClock
    runner: asyncio.Runner
    number = 0

    def __init__(self):
        super().__init__()
        type(self).number += 1
        self.states, self.expires = {}, {}

    def both(self, key, operation):
        key = f"{self.number}-{key}"
        change = operation.apply(self.states.get(key, ()), self.clock())
        if change.state is not None:
            self.states[key], self.expires[key] = change.state, change.expires

        async def everywhere():
            return {kind: await each.run(key, operation, timeout=TIMEOUT) for kind, each in self.backends.items()}

        results = self.runner.run(everywhere())
        assert results == dict.fromkeys(self.backends, change.result)

    @rule(key=st.sampled_from("ab"), times=st.integers(1, 3))
    def hit(self, key, times):
        for _ in range(times):
            self.both(f"gcra-{key}", Take([GCRA(Rate(3, 2000))]))

    @rule(key=st.sampled_from("ab"), times=st.integers(1, 3))
    def hit_window(self, key, times):
        for _ in range(times):
            self.both(f"window-{key}", Take([SlidingWindow(Rate(3, 2000))]))

    @rule()
    def hit_several(self):
        self.both("several", Take([GCRA(Rate(3, 1000)), SlidingWindow(Rate(5, 10_000)), GCRA(Rate(7, 60_000))]))

    @rule(token=st.integers(1, 4))
    def enter(self, token):
        self.both("places", Enter(token, 3, 5_000_000_000))

    @rule(token=st.integers(1, 4))
    def leave(self, token):
        self.both("places", Leave(token))

    @rule(microseconds=st.one_of(st.integers(1, 10), st.integers(1, 700_000_000), st.integers(1, 20_000_000_000)))
    def wait(self, microseconds):
        self.clock.now += microseconds

    # Once a state has expired, a backend may have forgotten it; then it makes a difference whether time goes back.
    @precondition(lambda self: all(expiry > self.clock() for expiry in self.expires.values()))
    @rule(microseconds=st.integers(1, 30_000_000_000))
    def put_clock_back(self, microseconds):
        self.clock.now -= microseconds


@pytest.mark.timeout(180)
def test_all_backends_compute_the_same(make_backend):
    with asyncio.Runner() as runner:
        clock = FakeClock()
        backends = {kind: make_backend(kind, clock=clock) for kind in BACKENDS}
        attributes = {"backends": backends, "clock": clock, "runner": runner}
        machine = type("Machine", (BackendMachine,), attributes)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        for each in backends.values():
            runner.run(each.aclose())
