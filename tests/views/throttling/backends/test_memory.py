import asyncio
import time
from contextlib import suppress

import pytest

from daf_views.exceptions import ThrottleBackendError
from daf_views.throttling import Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.backends.memory import SHARDS, SWEEP_INTERVAL, MemoryBackend
from daf_views.throttling.operations import Take

ONE = Take([GCRA(Rate.parse("1/minute"))])


async def hit(backend, key):
    return await backend.run(key, ONE, timeout=1)


async def test_a_live_key_is_never_dropped_for_another(clock):
    backend = MemoryBackend(max_keys=100, clock=clock)
    for number in range(100):
        await hit(backend, f"key-{number}")
    with pytest.raises(ThrottleBackendError, match=r"100 keys are being counted.*THROTTLE_MAX_KEYS"):
        await hit(backend, "one too many")
    for number in range(100):
        assert not (await hit(backend, f"key-{number}")).allowed


async def test_room_is_made_of_what_has_expired(clock):
    backend = MemoryBackend(max_keys=100, clock=clock)
    for number in range(100):
        await hit(backend, f"key-{number}")
    clock.advance(61)
    counted = 0
    for number in range(100, 100 + 2 * SHARDS):  # each that finds it full looks at one shard, which may be an empty one
        with suppress(ThrottleBackendError):
            await hit(backend, f"key-{number}")
            counted += 1
    assert counted == len(backend) == 100


async def test_expired_keys_are_gone_within_a_minute_of_use(clock):
    backend = MemoryBackend(clock=clock)
    for number in range(10_000):
        await hit(backend, f"key-{number}")
    clock.advance(61)
    for _ in range(SHARDS):
        clock.now += SWEEP_INTERVAL
        await hit(backend, "somebody")
    assert len(backend) == 1


@pytest.mark.timeout(180)  # half a minute of computing, on a machine that is shared
async def test_a_million_keys_are_bounded_and_hold_up_the_loop_for_no_time(clock):
    backend, longest = MemoryBackend(max_keys=200_000, clock=clock), 0.0
    before = time.thread_time()
    for number in range(1_000_000):
        clock.now += 500  # so that a minute has 120,000 of them
        await hit(backend, f"key-{number}")
        longest, before = max(longest, time.thread_time() - before), time.thread_time()
        if number % 10_000 == 0:
            await asyncio.sleep(0)
    assert len(backend) <= 200_000
    assert sum(map(len, backend._shards)) == len(backend)
    assert longest < 0.010  # of the thread's own time: the machine is shared
