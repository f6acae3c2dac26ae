"""``Idempotency-Key``: a repeated request has no second effect, and gets the first response."""

from daf_views.idempotency.policy import IdempotencyKey

__all__ = ["IdempotencyKey"]
