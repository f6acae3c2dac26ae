"""The table of the database store."""

from django.db import models


class IdempotencyRecord(models.Model):
    """A key that is claimed, or has a response: see :mod:`daf_views.idempotency.stores.database`."""

    key = models.CharField(max_length=64, primary_key=True)
    """A digest of the key, its client and the view."""
    token = models.CharField(max_length=32)
    """Names the claim, so that a request that has lost it changes nothing."""
    fingerprint = models.CharField(max_length=64)
    """A digest of the request."""
    status = models.PositiveSmallIntegerField(null=True)
    """The status of the response. None before there is one."""
    headers = models.TextField(default="")
    """A JSON list of names and values."""
    body = models.BinaryField(null=True)
    """None is a response that was not stored."""
    expires = models.BigIntegerField(db_index=True)
    """Microseconds since 1970 at which the lease of a claim, or the TTL of a response, ends."""

    class Meta:
        """The names in the admin."""

        verbose_name = "idempotency record"

    def __str__(self) -> str:
        return self.key
