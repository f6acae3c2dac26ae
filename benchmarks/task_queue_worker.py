"""A process of :mod:`benchmarks.task_queue`: fills the table, works, counts or recovers; prints the answer as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.models import Max, Min

from benchmarks.workers_worker import configure

_RECOVERIES = 50


def fill(number: str) -> None:
    """Have so many tasks be due, and nothing else."""
    from django_tasks_db.models import DBTaskResult, get_date_max  # noqa: PLC0415 - models need the applications

    from benchmarks.workers_tasks import nothing  # noqa: PLC0415 - tasks need the settings

    DBTaskResult.objects.all().delete()
    empty = {"args_kwargs": {"args": [], "kwargs": {}}, "run_after": get_date_max()}
    path, backend = nothing.module_path, nothing.backend
    DBTaskResult.objects.bulk_create(
        [DBTaskResult(task_path=path, backend_name=backend, **empty) for _ in range(int(number))], batch_size=2000
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE django_tasks_database_dbtaskresult")


def work() -> int:
    """Run what is due; return the number of statements that it took."""
    statements = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    def watch(connection: Any, **_: Any) -> None:
        connection.execute_wrappers.append(count)

    connection_created.connect(watch)
    call_command("daf_worker", "--batch", "--interval=0.1", "--concurrency=20", verbosity=0)
    return statements


def report() -> dict[str, Any]:
    """Return what has become of the tasks."""
    from django_tasks_db.models import DBTaskResult  # noqa: PLC0415 - as above

    rows = DBTaskResult.objects.filter(status="SUCCESSFUL")
    times = rows.aggregate(begun=Min("started_at"), ended=Max("finished_at"))
    workers = list(rows.values_list("worker_ids", flat=True))
    return {
        "seconds": (times["ended"] - times["begun"]).total_seconds(),
        "ended": len(workers),
        "attempts": sum(map(len, workers)),
        "shares": sorted(Counter(each[-1] for each in workers).values()),
    }


def recover() -> dict[str, list[float]]:
    """Return the seconds of each recovery, with the index and without."""
    index = import_module("daf_views.tasks.database.migrations.0003_running_index")
    with_index = _recover()
    with connection.schema_editor() as editor:
        index.remove(apps, editor)
    return {"with the index": with_index, "without": _recover()}


def _recover() -> list[float]:
    from daf_views.tasks.database.queue import Queues, TaskQueue  # noqa: PLC0415 - as above

    queue, seconds = TaskQueue(Queues(backend="default"), concurrency=1, lease=30.0), []
    for _ in range(_RECOVERIES):
        start = time.perf_counter()
        queue.recover()
        seconds.append(time.perf_counter() - start)
    return seconds


def main(database: str, order: str, *arguments: str) -> None:
    """Do what is asked for."""
    configure(json.loads(database))
    if order == "migrate":
        call_command("migrate", verbosity=0)
        print("null")
        return
    orders: dict[str, Callable[..., Any]] = {"fill": fill, "work": work, "report": report, "recover": recover}
    print(json.dumps(orders[order](*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
