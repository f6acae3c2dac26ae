"""SIGKILL: what was enqueued and is durable is run by the next worker."""

import asyncio
import signal
import sys

import pytest

pytestmark = pytest.mark.sqlite_memory  # the processes bring their own database


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)  # that of these tests
    monkeypatch.setenv("KILLED_DATABASE", str(tmp_path / "database"))
    monkeypatch.setenv("KILLED_DONE", str(tmp_path / "done"))
    monkeypatch.setenv("KILLED_KILLER", str(tmp_path / "killer"))

    async def run(*command):
        return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.views.tasks.killed", *command)

    return run


def done(tmp_path):
    path = tmp_path / "done"
    return sorted(path.read_text().split()) if path.exists() else []


async def test_a_database_keeps_what_a_killed_process_enqueued(run, tmp_path):
    assert await (await run("database", "enqueue")).wait() == -signal.SIGKILL
    assert await (await run("database", "work")).wait() == 0
    assert await asyncio.to_thread(done, tmp_path) == ["0", "1", "2"]


async def test_celery_runs_again_what_was_killed_with_its_worker(run, tmp_path, monkeypatch, redis_url):
    monkeypatch.setenv("KILLED_REDIS", redis_url)
    assert await (await run("celery", "enqueue")).wait() == -signal.SIGKILL
    assert await (await run("celery", "work")).wait() == -signal.SIGKILL
    worker = await run("celery", "work")
    try:
        async with asyncio.timeout(40):
            while await asyncio.to_thread(done, tmp_path) != ["0", "1", "2"]:
                await asyncio.sleep(0.1)  # another process's file
    finally:
        worker.terminate()
        await worker.wait()
