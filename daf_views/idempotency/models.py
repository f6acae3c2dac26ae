"""The table of the database store."""

from django.db import models


class IdempotencyRecord(models.Model):
    """A key that is claimed, or has been answered: see :mod:`daf_views.idempotency.stores.database`."""

    key = models.CharField(max_length=64, primary_key=True)
    """A digest of the key, of whose it is, and of the view."""
    token = models.CharField(max_length=32)
    """Names the claim, so that a request that has lost it changes nothing."""
    fingerprint = models.CharField(max_length=64)
    """A digest of the request."""
    status = models.PositiveSmallIntegerField(null=True)
    """Of the answer. None as long as there is none."""
    headers = models.TextField(default="")
    """A JSON list of names and values."""
    body = models.BinaryField(null=True)
    """None is an answer that was not kept."""
    expires = models.BigIntegerField(db_index=True)
    """Microseconds since 1970: of a claim the end of its lease, of an answer that of its life."""

    class Meta:
        """The names in the admin."""

        verbose_name = "idempotency record"

    def __str__(self) -> str:
        return self.key
