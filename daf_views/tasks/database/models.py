"""The table in which workers say that they are alive."""

from django.db import models


class Worker(models.Model):
    """A process that runs tasks: they are its own until ``expires_at``, which it puts off as long as it lives."""

    id = models.CharField(max_length=100, primary_key=True)
    """What the ``worker_ids`` of its tasks name: a prefix, host, process id and a random part."""
    backend_name = models.CharField(max_length=32)
    """An alias of ``TASKS``."""
    queue_names = models.TextField()
    concurrency = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        """What the admin calls it."""

        verbose_name = "task worker"

    def __str__(self) -> str:
        return self.id
