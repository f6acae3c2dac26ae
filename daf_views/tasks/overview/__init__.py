"""What becomes of tasks, for those who run the site: ``path("staff/tasks/", tasks_overview)``."""

from daf_views.tasks.overview.view import tasks_overview

__all__ = ["tasks_overview"]
