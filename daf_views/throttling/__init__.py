"""Rate limits, per client, user, key or view, over all processes of a site."""

from daf_views.throttling import keys
from daf_views.throttling.concurrency_throttle import AsyncConcurrencyThrottle
from daf_views.throttling.middleware import throttle_middleware
from daf_views.throttling.quota import Hit, Quota
from daf_views.throttling.rate_throttle import AsyncRateThrottle
from daf_views.throttling.rates import Rate
from daf_views.throttling.throttle import reset_throttles

__all__ = [
    "AsyncConcurrencyThrottle",
    "AsyncRateThrottle",
    "Hit",
    "Quota",
    "Rate",
    "keys",
    "reset_throttles",
    "throttle_middleware",
]
