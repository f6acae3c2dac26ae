"""A process of :mod:`benchmarks.workers`: enqueues a batch, has a worker run it, prints how many seconds it took."""

from __future__ import annotations

import json
import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db.models import Max, Min


def configure(database: dict[str, Any]) -> None:
    """Set Django up with a database that has tasks."""
    engine = "postgresql" if "HOST" in database else "sqlite3"
    settings.configure(
        DATABASES={"default": {"ENGINE": f"django.db.backends.{engine}", **database}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["daf_orm", "daf_views", "daf_views.tasks.database", "django_tasks_db"],
        SECRET_KEY="not a secret",
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
        USE_TZ=True,
    )
    django.setup()


def main(database: str, kind: str, number: str = "0", *worker: str) -> None:
    """Do what is asked for."""
    configure(json.loads(database))
    if kind == "migrate":
        call_command("migrate", verbosity=0)
        return
    from django_tasks_db.models import DBTaskResult  # noqa: PLC0415 - models need the applications

    from benchmarks import workers_tasks  # noqa: PLC0415 - tasks need the settings

    DBTaskResult.objects.all().delete()
    for _ in range(int(number)):
        getattr(workers_tasks, kind).enqueue()
    call_command(*worker, verbosity=0)
    rows = DBTaskResult.objects.filter(status="SUCCESSFUL")
    assert rows.count() == int(number)
    times = rows.aggregate(begun=Min("started_at"), ended=Max("finished_at"))
    print((times["ended"] - times["begun"]).total_seconds())


if __name__ == "__main__":
    main(*sys.argv[1:])
