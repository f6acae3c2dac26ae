"""Tasks are announced with the COMMIT that enqueues them; workers hear of them, and poll where they cannot."""

import asyncio
import contextlib
import itertools
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async, notifications, transaction
from daf_orm.databases import database_of
from daf_orm.databases.statements import Effect
from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.database import listener as listener_module
from daf_views.tasks.database.announcements import CHANNEL
from daf_views.tasks.database.listener import TaskListener
from daf_views.tasks.database.queue import Queues, TaskQueue
from daf_views.tasks.notifier import flush
from tests.project import settings as project
from tests.views.tasks import jobs
from tests.views.tasks.database.workers import finished, in_queue_thread, make_queue, on_database, row_of

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.skipif(project.DAF_TEST_DATABASE == "sqlite-memory", reason="no other thread can see it"),
]
HOUR = 3600.0
postgresql = pytest.mark.postgresql
without_notifications = pytest.mark.skipif(
    project.DAF_TEST_DATABASE in {"postgresql", "native"}, reason="PostgreSQL has notifications"
)


@pytest.fixture
def listening(postgres_only):
    """Return the number of sessions that listen; ``end=True`` ends them."""
    where = "FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'"
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:

        def ask(*, end=False):
            what = "count(pg_terminate_backend(pid))" if end else "count(*)"
            return observer.execute(f"SELECT {what} {where}", [connection.settings_dict["NAME"]]).fetchone()[0]

        yield ask


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def started():
    async with asyncio.timeout(10):
        return await jobs.started.get()


@contextlib.asynccontextmanager
async def heard(**queues):
    """Run a listener; its calls are items of a queue, of which the first is that it listens."""
    calls = asyncio.Queue()
    queues = Queues(backend="database", **{"names": None, **queues})
    running = asyncio.create_task(TaskListener(queues, lambda: calls.put_nowait(None)).run())
    async with asyncio.timeout(10):
        await calls.get()
    yield calls
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


# Latency by events: none of these workers polls within the time of a test


@postgresql
async def test_a_task_starts_when_it_is_committed(working):
    working(interval=HOUR)
    for number in range(4):  # the first two may be found when the worker starts, and when it begins to listen
        await on_database(jobs.wait).aenqueue(number)
        assert await started() == number
    await database_sync_to_async(on_database(jobs.wait).enqueue)("from a thread")
    assert await started() == "from a thread"


@postgresql
async def test_several_workers_share_what_is_announced(working):
    for _ in range(2):
        working(make_queue(concurrency=1), interval=HOUR)
    for number in range(2):
        await on_database(jobs.wait).aenqueue(number)
    assert {await started(), await started()} == {0, 1}


@postgresql
async def test_a_requeued_task_is_started_by_another_worker_at_once(working, listening):
    first = working(interval=HOUR)
    await until(lambda: listening() == 1)
    result = await on_database(jobs.wait).aenqueue("given back")
    assert await started() == "given back"
    second = working(interval=HOUR)
    await until(lambda: listening() == 2)

    first.end.cancel()
    await asyncio.wait([first.end])
    await first.stop()

    assert await started() == "given back"
    assert (await row_of(result)).worker_ids == [second._queue.worker_id]


@postgresql
async def test_a_retry_without_a_pause_is_begun_by_any_worker(working):
    working(interval=HOUR)
    row = await finished(await on_database(jobs.fail_once_at_once).aenqueue())
    assert (row.status, len(row.worker_ids)) == (TaskResultStatus.SUCCESSFUL, 2)


@postgresql
async def test_a_lost_connection_is_opened_again_and_nothing_is_missed_meanwhile(working, listening, caplog):
    working(interval=HOUR)
    for number in range(3):
        await until(lambda: listening() == 1)
        assert listening(end=True) == 1
        await on_database(jobs.wait).aenqueue(number)
        assert await started() == number
    await asyncio.to_thread(flush)
    assert caplog.text.count("The worker cannot listen for tasks.") == 1  # the others at DEBUG


@postgresql
async def test_a_stopped_worker_leaves_no_connection(working, sessions, listening):
    worker = working(interval=HOUR)
    await until(lambda: listening() == 1)
    worker.end.cancel()
    await asyncio.wait([worker.end])
    await worker.stop()
    await until(lambda: not sessions.open())


@postgresql
@pytest.mark.skipif(
    int(psycopg.__version__.split(".")[1]) < 3, reason="psycopg 3.2 leaves a connection open that is cancelled half-way"
)
@pytest.mark.parametrize("steps", range(12))
async def test_a_listener_may_be_cancelled_anywhere(steps, sessions):
    running = asyncio.create_task(TaskListener(Queues(backend="database"), list).run())
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not sessions.open())


@postgresql
async def test_pauses_between_attempts_grow(monkeypatch):
    monkeypatch.setattr(listener_module, "_MIN_PAUSE", 0.001)
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")
    pauses = []

    async def note_pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 20:
            raise asyncio.CancelledError

    listener = TaskListener(Queues(backend="database"), list)
    monkeypatch.setattr(listener_module.asyncio, "sleep", note_pause)
    with pytest.raises(asyncio.CancelledError):
        await listener.run()
    assert 0 < pauses[0] <= 0.1
    assert all(later > earlier / 2 for earlier, later in itertools.pairwise(pauses))
    assert listener_module._MAX_PAUSE / 2 <= pauses[-1] <= listener_module._MAX_PAUSE


# Announcements, and their number


@postgresql
async def test_a_rollback_announces_nothing():
    async with notifications(CHANNEL) as arriving:
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await on_database(jobs.note).using(queue_name="rolled_back").aenqueue("x")
                raise ZeroDivisionError
        async with transaction.atomic():
            for _ in range(3):
                await on_database(jobs.note).using(queue_name="committed").aenqueue("x")
        await on_database(jobs.note).using(queue_name="last").aenqueue("x")

        found = [(await anext(arriving)).payload for _ in range(2)]
    assert found == ["database\ncommitted", "database\nlast"]


@postgresql
async def test_a_task_that_is_not_due_is_not_announced():
    async with notifications(CHANNEL) as arriving:
        later = on_database(jobs.note).using(run_after=timezone.now() + timedelta(hours=1), queue_name="later")
        await later.aenqueue("x")
        await on_database(jobs.note).using(queue_name="now").aenqueue("x")
        assert (await anext(arriving)).payload == "database\nnow"


@postgresql
async def test_a_worker_hears_of_its_queues_only():
    async with heard(names=frozenset({"mail"})) as of_mail, heard(excluded=frozenset({"mail"})) as of_others:
        for name in ("default", "slow", "mail"):
            await on_database(jobs.note).using(queue_name=name).aenqueue("x")
            async with asyncio.timeout(10):
                await (of_mail if name == "mail" else of_others).get()
        assert of_mail.empty()
        assert of_others.empty()


@postgresql
async def test_a_burst_is_a_few_looks(working, listening, monkeypatch):
    take, looks = TaskQueue.take, []

    def count(self, number):
        looks.append(number)
        return take(self, number)

    monkeypatch.setattr(TaskQueue, "take", count)
    working(interval=HOUR)
    await until(lambda: listening() == 1)
    before, began = len(looks), asyncio.get_running_loop().time()

    def announce():
        with connection.cursor() as cursor:  # with other payloads: PostgreSQL would send one of those that are equal
            cursor.execute(
                "SELECT count(pg_notify(%s, 'database' || chr(10) || number)) FROM generate_series(1, 10000) number",
                [CHANNEL],
            )

    await database_sync_to_async(announce)()
    await on_database(jobs.wait).aenqueue("the last")
    assert await started() == "the last"
    elapsed = asyncio.get_running_loop().time() - began
    assert len(looks) - before <= elapsed / listener_module.SPAN + 3


@postgresql
def test_it_costs_no_query_and_leaves_nothing_on_the_row_nor_on_the_session():
    with CaptureQueriesContext(connection) as queries:
        result = on_database(jobs.note).enqueue("x")

    [sql] = [query["sql"] for query in queries]
    assert sql.startswith("INSERT")
    assert "pg_notify" in sql
    assert database_of(connection).effect_of(connection, sql) is Effect.NONE
    assert result.db_result.exception_class_path == ""
    assert DBTaskResult.objects.get().exception_class_path == ""


@postgresql
async def test_a_requeued_task_is_unchanged():
    await on_database(jobs.note).using(queue_name="mail").aenqueue("x")
    queue = make_queue()
    await in_queue_thread(queue.register)
    [claim] = (await in_queue_thread(queue.take, 1)).claims
    async with heard() as calls:
        assert await in_queue_thread(queue.give_back, claim.row)
        async with asyncio.timeout(10):
            await calls.get()
    row = await DBTaskResult.objects.aget()
    assert (row.queue_name, claim.row.queue_name, row.status) == ("mail", "mail", TaskResultStatus.READY)
    await in_queue_thread(queue.unregister)


# Databases without announcements


def enqueue_and_return_queries():
    with CaptureQueriesContext(connection) as queries:
        on_database(jobs.note).enqueue("x")
    return [query["sql"] for query in queries]


@without_notifications
async def test_other_databases_are_sent_what_they_were_sent_and_polled(working):
    [sql] = [sql for sql in await in_queue_thread(enqueue_and_return_queries) if sql.startswith("INSERT")]
    assert "notify" not in sql
    await TaskListener(Queues(backend="database"), list).run()
    working()
    assert (await finished(await on_database(jobs.note).aenqueue("x"))).status == TaskResultStatus.SUCCESSFUL


@postgresql
async def test_behind_a_proxy_in_transaction_mode_it_polls(settings, working):
    settings.DAF_ORM = {"SERVER_POOLED": True}
    await TaskListener(Queues(backend="database"), list).run()
    working()
    assert (await finished(await on_database(jobs.note).aenqueue("x"))).status == TaskResultStatus.SUCCESSFUL


@postgresql
async def test_a_backend_may_announce_nothing(settings, working):
    database = {**settings.TASKS["database"], "OPTIONS": {"NOTIFY": False}}
    settings.TASKS = {**settings.TASKS, "database": database}
    assert all("pg_notify" not in sql for sql in await in_queue_thread(enqueue_and_return_queries))
    await TaskListener(Queues(backend="database"), list).run()
    working()
    assert (await finished(await on_database(jobs.note).aenqueue("x"))).status == TaskResultStatus.SUCCESSFUL
