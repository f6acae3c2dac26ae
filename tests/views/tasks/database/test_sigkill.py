"""SIGKILL: durable tasks that were enqueued are run by the next worker."""

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

pytestmark = [
    pytest.mark.sqlite_memory,  # the processes bring their own database
    pytest.mark.timeout(180),  # up to six of them, one after the other
]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)  # that of these tests
    monkeypatch.setenv("KILLED_DATABASE", str(tmp_path / "database"))
    monkeypatch.setenv("KILLED_DONE", str(tmp_path / "done"))

    async def run(*command, **options):
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.views.tasks.killed", *command, **options
        )

    return run


@pytest.fixture
def killer(tmp_path):
    return str(tmp_path / "killer")


def done(tmp_path):
    path = tmp_path / "done"
    return sorted(path.read_text().split()) if path.exists() else []


def rows(tmp_path):
    with closing(sqlite3.connect(tmp_path / "database")) as connection:
        tasks = connection.execute("SELECT status, worker_ids FROM django_tasks_database_dbtaskresult").fetchall()
        return tasks, connection.execute("SELECT id FROM daf_tasks_worker").fetchall()


def has_index(tmp_path):
    with closing(sqlite3.connect(tmp_path / "database")) as connection:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'daf_tasks_running_idx'"
        return connection.execute(query).fetchone() is not None


async def all_are_done(tmp_path):
    async with asyncio.timeout(100):
        while await asyncio.to_thread(done, tmp_path) != ["0", "1", "2"]:
            await asyncio.sleep(0.1)  # another process's file


async def test_a_database_keeps_what_a_killed_process_enqueued(run, tmp_path):
    assert await (await run("database", "enqueue")).wait() == -signal.SIGKILL
    assert await (await run("database", "work")).wait() == 0
    assert await asyncio.to_thread(done, tmp_path) == ["0", "1", "2"]


async def test_our_worker_runs_again_what_was_killed_with_another(run, tmp_path, killer):
    assert await (await run("database", "enqueue", killer)).wait() == -signal.SIGKILL
    assert await (await run("database", "daf_work", "--concurrency=1")).wait() == -signal.SIGKILL
    worker = await run("database", "daf_work")
    try:
        await all_are_done(tmp_path)
    finally:
        worker.terminate()
        assert await worker.wait() == 0


@pytest.mark.parametrize("is_told_twice", [False, True])
async def test_a_worker_that_is_told_to_stop_gives_back_what_has_not_ended(run, tmp_path, is_told_twice):
    begun = tmp_path / "begun"
    assert await (await run("database", "stay", str(begun))).wait() == 0
    timeout = f"--drain-timeout={1000 if is_told_twice else 0.1}"
    worker = await run("database", "daf_work", timeout, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(100):
        while not await asyncio.to_thread(begun.exists):
            await asyncio.sleep(0.1)  # another process's file
        worker.terminate()
        if is_told_twice:
            while b"waits for 1 running" not in await worker.stderr.readline():
                pass
            worker.terminate()
        await worker.communicate()
    assert worker.returncode == 0
    assert await asyncio.to_thread(rows, tmp_path) == ([("READY", "[]")], [])


async def test_a_worker_ends_with_what_it_cannot_stop_before_another_runs_it(run, tmp_path):
    begun = tmp_path / "begun"
    assert await (await run("database", "stay_in_thread", str(begun))).wait() == 0
    worker = await run("database", "daf_work", "--drain-timeout=0")
    async with asyncio.timeout(100):
        while not await asyncio.to_thread(begun.exists):
            await asyncio.sleep(0.1)  # another process's file
        worker.terminate()
        assert await worker.wait() == 1
    assert await asyncio.to_thread(has_index, tmp_path)
    [[task], [_]] = await asyncio.to_thread(rows, tmp_path)
    assert task[0] == "RUNNING"  # until the lease ends


async def test_celery_runs_again_what_was_killed_with_its_worker(run, tmp_path, killer, monkeypatch, redis_url):
    monkeypatch.setenv("KILLED_REDIS", redis_url)
    assert await (await run("celery", "enqueue", killer)).wait() == -signal.SIGKILL
    assert await (await run("celery", "work")).wait() == -signal.SIGKILL
    worker = await run("celery", "work")
    try:
        await all_are_done(tmp_path)
    finally:
        worker.terminate()
        await worker.wait()


async def test_celery_terminates_what_is_cancelled_while_it_runs(run, tmp_path, monkeypatch, redis_url):
    monkeypatch.setenv("KILLED_REDIS", redis_url)
    begun = tmp_path / "begun"
    enqueuing = await run("celery", "stay", str(begun), stdout=asyncio.subprocess.PIPE)
    result_id = (await enqueuing.communicate())[0].decode().strip()
    worker = await run("celery", "work", "--pool=prefork", "--concurrency=1")
    try:
        async with asyncio.timeout(100):
            while not await asyncio.to_thread(begun.exists):
                await asyncio.sleep(0.1)  # another process's file
            assert await (await run("celery", "cancel", result_id)).wait() == 0
            while await asyncio.to_thread(done, tmp_path) != ["0"]:  # the task that waited for its slot
                await asyncio.sleep(0.1)
    finally:
        worker.terminate()
        await worker.wait()
