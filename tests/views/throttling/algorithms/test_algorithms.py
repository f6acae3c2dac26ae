"""The arithmetic, against what the rates promise: any schedule of hits, any clock."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daf_views.throttling import Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.algorithms.sliding_window import SlidingWindow
from daf_views.throttling.quota import take
from daf_views.throttling.rates import MICROSECONDS

START = 1_800_000_000_000_000
rates = st.builds(Rate, st.integers(1, 12), st.integers(1, 20))
pauses = st.one_of(st.just(0), st.integers(0, 3_000_000), st.integers(0, 50_000_000))
schedules = st.lists(pauses, max_size=60).map(lambda gaps: [START + at for at in accumulate(gaps)])
kinds = st.sampled_from([GCRA, SlidingWindow])


def admitted(policy, times):
    state, passed = (), []
    for now in times:
        hit, state = take([policy], state, now)
        if hit.allowed:
            passed.append(now)
    return passed


@given(rates, schedules)
def test_a_sliding_window_never_admits_more_than_the_limit_in_a_period(rate, times):
    passed = admitted(SlidingWindow(rate), times)
    for first, last in zip(passed, passed[rate.limit :], strict=False):
        assert last - first > rate.period * MICROSECONDS


@given(rates, schedules)
def test_gcra_never_admits_more_than_the_limit_and_one_for_each_interval(rate, times):
    policy = GCRA(rate)
    passed = admitted(policy, times)
    for start, first in enumerate(passed):
        for number, last in enumerate(passed[start:], start=1):
            assert (number - rate.limit) * policy.step <= last - first


@given(rates, schedules)
def test_gcra_is_a_bucket_that_leaks_evenly(rate, times):
    policy, level, before = GCRA(rate), 0, START
    state = ()
    for now in times:
        level, before = max(0, level - (now - before)), now
        fits = level + policy.step <= rate.limit * policy.step
        level += policy.step if fits else 0
        hit, state = take([policy], state, now)
        assert hit.allowed == fits
        assert hit.remaining == (rate.limit * policy.step - level) // policy.step


@given(kinds, rates, schedules)
def test_the_remaining_quota_is_let_through_and_no_more(kind, rate, times):
    policy, state = kind(rate), ()
    for now in times:
        hit, state = take([policy], state, now)
        at_once, after = 0, state
        while (more := take([policy], after, now))[0].allowed:
            at_once, after = at_once + 1, more[1]
        assert hit.remaining == at_once


@given(kinds, rates, schedules)
def test_waiting_for_retry_after_admits_the_next_and_a_little_less_does_not(kind, rate, times):
    policy, state = kind(rate), ()
    for now in times:
        hit, state = take([policy], state, now)
        wait = round(hit.retry_after * MICROSECONDS)
        assert take([policy], state, now + wait)[0].allowed
        assert wait == 0 or not take([policy], state, now + wait - 1)[0].allowed


@given(kinds, rates, schedules)
def test_after_reset_after_there_is_more_and_not_before(kind, rate, times):
    policy, state = kind(rate), ()
    for now in times:
        _, state = take([policy], state, now)
        remaining, wait = policy.measure(state, now)
        assert wait == 0 or policy.measure(state, now + wait - 1)[0] == remaining
        assert policy.measure(state, now + wait)[0] > remaining or remaining == rate.limit


@given(kinds, rates, schedules)
def test_an_expired_state_is_as_good_as_none(kind, rate, times):
    policy, state = kind(rate), ()
    for now in times:
        _, state = take([policy], state, now)
    if state:
        later = policy.expiry(state)
        assert policy.measure(state, later) == policy.measure((), later) == (rate.limit, 0)


@given(kinds, rates, schedules, st.integers(0, 10**15))
def test_a_clock_that_is_put_back_locks_out_for_at_most_a_period_and_a_slot(kind, rate, times, back):
    policy, state = kind(rate), ()
    for now in times:
        _, state = take([policy], state, now)
    hit, _ = take([policy], state, START - back)
    assert hit.retry_after <= 2.2 * rate.period


@given(st.lists(st.tuples(kinds, rates), min_size=1, max_size=3), schedules)
def test_several_rates_count_a_request_together_or_not_at_all(pairs, times):
    policies, together, alone = [kind(rate) for kind, rate in pairs], (), [() for _ in pairs]
    for now in times:
        each = [take([policy], state, now) for policy, state in zip(policies, alone, strict=True)]
        hit, together = take(policies, together, now)
        assert hit.allowed == all(one.allowed for one, _ in each)
        if hit.allowed:
            alone = [state for _, state in each]
        assert together == tuple(number for state in alone for number in state)


@pytest.mark.parametrize("kind", [GCRA, SlidingWindow])
def test_the_limit_passes_at_once_and_not_one_more(kind):
    assert len(admitted(kind(Rate.parse("10/minute")), [START] * 200)) == 10


def test_gcra_admits_evenly_after_the_first_burst():
    seconds = [
        (at - START) / MICROSECONDS for at in admitted(GCRA(Rate(10, 60)), range(START, START + 60_000_000, 10_000))
    ]
    assert seconds == [*(number / 100 for number in range(10)), *range(6, 60, 6)]
