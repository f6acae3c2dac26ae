"""The tables beside django-tasks-db's: workers, requests to cancel, keys of unique tasks, schedules."""

from django.db import models


class Worker(models.Model):
    """A process that runs tasks. They belong to it until ``expires_at``, which its heartbeats put off."""

    id = models.CharField(max_length=100, primary_key=True)
    """The entry in the ``worker_ids`` of its tasks: a prefix, host, process id and a random part."""
    backend_name = models.CharField(max_length=32)
    """An alias of ``TASKS``."""
    queue_names = models.TextField()
    concurrency = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        """The names in the admin."""

        verbose_name = "task worker"

    def __str__(self) -> str:
        return self.id


class Cancellation(models.Model):
    """A request to cancel a task that runs: its worker carries it out, or the one that would run it next."""

    task_id = models.UUIDField(primary_key=True)
    requested_at = models.DateTimeField()

    class Meta:
        """The names in the admin."""

        verbose_name = "task cancellation"

    def __str__(self) -> str:
        return str(self.task_id)


class UniqueKey(models.Model):
    """The key of a unique task, and the last task that was enqueued by it: while that has not ended, no other is."""

    id = models.CharField(max_length=64, primary_key=True)
    """A digest of backend, task and key."""
    task_id = models.UUIDField(null=True)
    asked_at = models.DateTimeField(db_index=True)

    class Meta:
        """The names in the admin."""

        verbose_name = "unique task key"

    def __str__(self) -> str:
        return self.id


class PeriodicTask(models.Model):
    """The next tick of a periodic task. The worker that moves it on enqueues the task, in the same transaction."""

    id = models.CharField(max_length=64, primary_key=True)
    """A digest of backend, task and schedule."""
    backend_name = models.CharField(max_length=32)
    task_path = models.TextField()
    schedule = models.TextField()
    due_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True)

    class Meta:
        """The names in the admin."""

        verbose_name = "periodic task"

    def __str__(self) -> str:
        return f"{self.task_path}, {self.schedule}"
