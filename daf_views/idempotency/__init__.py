"""``Idempotency-Key``: a request that is sent again has no second effect, and gets the first one's answer."""

from daf_views.idempotency.policy import IdempotencyKey

__all__ = ["IdempotencyKey"]
