"""Counts of one test are not those of the next."""

import pytest
from django.test import AsyncRequestFactory

from daf_orm import between_tests
from daf_views.exceptions import ThrottledError
from daf_views.throttling import AsyncConcurrencyThrottle, AsyncRateThrottle, reset_throttles
from daf_views.throttling.backends.memory import MemoryBackend

of_the_module = AsyncRateThrottle("1/hour", scope="of the module")
requests = AsyncRequestFactory()


@pytest.mark.parametrize("_", [1, 2])
async def test_each_test_begins_anew(_):
    await of_the_module.check(requests.get("/"))
    with pytest.raises(ThrottledError):
        await of_the_module.check(requests.get("/"))


@pytest.mark.parametrize("backend", [None, MemoryBackend()])
async def test_reset_throttles_forgets_all_counts(backend):
    throttle = AsyncRateThrottle("1/hour", scope="x", backend=backend)
    await throttle.check(requests.get("/"))
    reset_throttles()
    await throttle.check(requests.get("/"))


async def test_places_that_are_taken_are_free_again():
    throttle = AsyncConcurrencyThrottle(1, scope="x")
    held = requests.get("/")
    await throttle.check(held)
    reset_throttles()
    another = requests.get("/")
    await throttle.check(another)
    held.close()
    another.close()


def test_a_function_is_called_before_each_test_once(monkeypatch):
    called = []

    def note():
        called.append("it")

    monkeypatch.setattr(between_tests, "_functions", [])
    between_tests.call_before_each_test(note)
    between_tests.call_before_each_test(note)
    between_tests.put_back()
    assert called == ["it"]
