"""The Django app of the worker: its command, and the table of the workers' heartbeats."""

from django.apps import AppConfig, apps


class DatabaseTasksConfig(AppConfig):
    """Install it as ``"daf_views.tasks.database"``, beside ``"django_tasks_db"``."""

    name = "daf_views.tasks.database"
    label = "daf_tasks"
    verbose_name = "DAF tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Announce tasks to workers."""
        if apps.is_installed("django_tasks_db"):
            from daf_views.tasks.database import announcements  # noqa: PLC0415 - models need the applications

            announcements.connect()
