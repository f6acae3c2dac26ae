"""The table of the database backend."""

from django.db import models


class ThrottleState(models.Model):
    """The state of a key: see :mod:`daf_views.throttling.backends.database`."""

    key = models.CharField(max_length=100, primary_key=True)
    state = models.TextField()
    """Numbers with spaces between them."""
    version = models.BigIntegerField()
    """Goes up with every change, so that a write based on an old version changes nothing."""
    expires = models.BigIntegerField(db_index=True)
    """Microseconds since 1970, after which the row means nothing."""

    class Meta:
        """The names in the admin."""

        verbose_name = "throttle state"

    def __str__(self) -> str:
        return self.key
