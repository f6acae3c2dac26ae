"""Background work: tasks with a policy for any engine of the Tasks API, and coroutines that outlive a request."""

from daf_views.tasks import background
from daf_views.tasks.background import run_in_background
from daf_views.tasks.crontab import cron
from daf_views.tasks.in_process.backend import InProcessBackend
from daf_views.tasks.schedule import every
from daf_views.tasks.task import AsyncTask, async_task

__all__ = ["AsyncTask", "InProcessBackend", "async_task", "background", "cron", "every", "run_in_background"]
