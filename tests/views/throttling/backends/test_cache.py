import asyncio
from types import SimpleNamespace

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from daf_views.throttling import Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.backends import cache
from daf_views.throttling.backends.cache import AHEAD, CacheBackend
from daf_views.throttling.operations import Take

TEN = Take([GCRA(Rate.parse("10/minute"))])


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("db.DatabaseCache", "no atomic operations"),
        ("filebased.FileBasedCache", "no atomic operations"),
        ("dummy.DummyCache", "no atomic operations"),
        ("locmem.LocMemCache", 'drops live entries.*"memory"'),
    ],
)
def test_a_cache_that_would_miscount_is_refused(settings, tmp_path, backend, reason):
    path = f"django.core.cache.backends.{backend}"
    settings.CACHES = {"default": {"BACKEND": path, "LOCATION": str(tmp_path / "cache")}}
    with pytest.raises(ImproperlyConfigured, match=f"The cache 'default' .*{backend}.*{reason}"):
        CacheBackend()


def test_a_cache_that_is_not_there_is_named():
    with pytest.raises(ImproperlyConfigured, match="there is no cache 'nowhere'"):
        CacheBackend("nowhere")


@pytest.mark.parametrize("hint", [0, 1, 5])
async def test_a_hint_that_lags_behind_does_no_harm(redis_cache, make_backend, clock, hint):
    backend = make_backend("cache", clock=clock)
    take = Take([GCRA(Rate(3 * AHEAD, 60))])
    for _ in range(2 * AHEAD + 3):
        await backend.run("key", take, timeout=5)
    await asyncio.to_thread(lambda: caches[redis_cache].set(backend._prefix + "key", hint))
    hits = [await backend.run("key", take, timeout=5) for _ in range(AHEAD)]
    assert sum(hit.allowed for hit in hits) == AHEAD - 3


async def test_a_request_that_has_stood_still_reads_again_and_gives_no_hint(
    redis_cache, make_backend, clock, monkeypatch
):
    backend, seconds = make_backend("cache", clock=clock), 0.0
    monkeypatch.setattr(cache, "time", SimpleNamespace(monotonic=lambda: seconds))
    apply, late = TEN.apply, []

    class Late:
        def apply(self, state, now):
            nonlocal seconds
            if not late:  # others come meanwhile, and time goes by
                late.append(state)
                for _ in range(10):
                    backend._change("key", TEN)
                seconds += 31
            return apply(state, now)

    assert not (await backend.run("key", Late(), timeout=5)).allowed


async def test_entries_of_the_past_do_not_stay(redis_cache, make_backend, clock):
    backend = make_backend("cache", clock=clock)
    for _ in range(5):
        await backend.run("key", TEN, timeout=5)

    def lifetimes():
        client = caches[redis_cache]._cache.get_client()
        names = [f":1:{backend._prefix}key:{number}" for number in range(1, 6)]
        return [client.ttl(name) for name in names]

    *past, newest = await asyncio.to_thread(lifetimes)
    assert all(0 < seconds <= 60 for seconds in past)
    assert 60 < newest <= 60 + 60 + 1
