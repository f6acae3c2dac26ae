"""Rates that depend on the client."""

import pytest
from django.test import AsyncRequestFactory

from daf_views.exceptions import ThrottledError
from daf_views.throttling import AsyncRateThrottle

requests = AsyncRequestFactory()
RATES = {"free": "1/hour", "pro": ["2/hour", "3/day"], "staff": None}


def named(request):
    return request.GET["tier"]


async def named_later(request):
    return named(request)


async def let_through(throttle, tier, times=5):
    number = 0
    for _ in range(times):
        try:
            await throttle.check(requests.get(f"/?tier={tier}"), "a view")
        except ThrottledError:
            break
        number += 1
    return number


@pytest.mark.parametrize("tier", [named, named_later])
async def test_each_tier_has_its_rate(tier):
    throttle = AsyncRateThrottle(RATES, tier=tier)
    assert [await let_through(throttle, name) for name in RATES] == [1, 2, 5]


async def test_a_class_says_it_too():
    class ByTier(AsyncRateThrottle):
        rate = RATES
        tier = named

    assert await let_through(ByTier(), "pro") == 2
    assert (await ByTier().hit(requests.get("/?tier=free"), "another")).remaining == 0
    assert await ByTier().hit(requests.get("/?tier=staff"), "another") is None


async def test_a_tier_without_a_rate_is_a_bug_that_names_it():
    with pytest.raises(TypeError, match="tier returned 'gold'; the rates are for 'free', 'pro', 'staff'"):
        await AsyncRateThrottle(RATES, tier=named).check(requests.get("/?tier=gold"))


@pytest.mark.parametrize("options", [{"rate": RATES}, {"rate": "1/s", "tier": named}])
def test_rates_of_tiers_and_the_function_go_together(options):
    with pytest.raises(TypeError, match="rates of several tiers go with a function that names one"):
        AsyncRateThrottle(**options)


def test_a_wrong_rate_of_a_tier_is_refused_when_it_is_made():
    with pytest.raises(ValueError, match="is not a rate"):
        AsyncRateThrottle({"free": "many"}, tier=named)
