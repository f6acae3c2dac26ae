"""An overview of tasks, for the operators of a site: ``path("staff/tasks/", tasks_overview)``."""

from daf_views.tasks.overview.view import tasks_overview

__all__ = ["tasks_overview"]
