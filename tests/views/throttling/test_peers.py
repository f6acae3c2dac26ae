"""The reasons not to use a library for throttles, shown on the two best maintained ones.

``docs/guides/throttling.md`` says so; if one of these fails, the library has become better, and that page is to be
changed.
"""

from types import SimpleNamespace

import limits.aio.storage.memory
import limits.aio.strategies
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from throttled.asyncio import MemoryStore, Throttled, rate_limiter

from daf_views.throttling import Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.algorithms.sliding_window import SlidingWindow
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.operations import Take


async def hit(backend, key, kind=GCRA):
    return await backend.run(key, Take([kind(Rate.parse("10/minute"))]), timeout=1)


async def test_throttled_py_forgets_limited_clients_when_others_come(clock):
    theirs = Throttled(using="gcra", quota=rate_limiter.per_min(1), store=MemoryStore(options={"MAX_SIZE": 10}))
    assert not (await theirs.limit("somebody")).limited
    assert (await theirs.limit("somebody")).limited
    for number in range(10):
        await theirs.limit(f"client-{number}")
    assert not (await theirs.limit("somebody")).limited  # let through a second time in the same minute

    ours = MemoryBackend(max_keys=10, clock=clock)
    for _ in range(10):
        await hit(ours, "somebody")
    for number in range(9):
        await hit(ours, f"client-{number}")
    assert not (await hit(ours, "somebody")).allowed


async def test_limits_has_no_hit_that_tells_what_it_has_left(clock):
    item, theirs = RateLimitItemPerMinute(10), FixedWindowRateLimiter(MemoryStorage())
    answers = [await theirs.hit(item, "somebody") for _ in range(2)]  # of two requests at the same time
    assert answers == [True, True]
    told = [(await theirs.get_window_stats(item, "somebody")).remaining for _ in range(2)]
    assert told == [8, 8]

    ours = MemoryBackend(clock=clock)
    assert [(await hit(ours, "somebody")).remaining for _ in range(2)] == [9, 8]


async def test_the_sliding_window_counter_of_limits_lets_through_twice_the_limit(monkeypatch, clock):
    now = SimpleNamespace(time=lambda: clock.now / 1_000_000)
    monkeypatch.setattr(limits.aio.storage.memory, "time", now)
    monkeypatch.setattr(limits.aio.strategies, "time", now)
    item, theirs, ours = (
        RateLimitItemPerMinute(10),
        SlidingWindowCounterRateLimiter(MemoryStorage()),
        MemoryBackend(clock=clock),
    )

    async def twenty():
        return sum([await theirs.hit(item, "somebody") for _ in range(20)]), sum(
            [(await hit(ours, "somebody", SlidingWindow)).allowed for _ in range(20)]
        )

    clock.now = 1_800_000_059_900_000  # the end of a minute
    assert await twenty() == (10, 10)
    clock.advance(59)
    assert await twenty() == (10, 0)  # twenty in 59 seconds


async def test_the_memory_of_limits_has_no_bound():
    item, theirs = RateLimitItemPerMinute(10), FixedWindowRateLimiter(storage := MemoryStorage())
    for number in range(1000):
        await theirs.hit(item, f"client-{number}")
    assert len(storage.storage) == 1000
    assert not {"max_size", "max_keys", "maxsize"} & set(vars(storage))
