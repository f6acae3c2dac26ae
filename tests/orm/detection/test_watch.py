"""A program under the guard: its blocking calls are listed at its end, in whatever way it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]

SETTINGS = """
    SECRET_KEY = "x"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    INSTALLED_APPS = ["django.contrib.contenttypes", "daf_orm"]
    ROOT_URLCONF = "page"
    ALLOWED_HOSTS = ["*"]
"""
PAGE = """
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "watched_settings")
    from django.core.asgi import get_asgi_application

    application = get_asgi_application()

    from django.contrib.contenttypes.models import ContentType
    from django.http import HttpResponse
    from django.urls import path

    async def page(request):
        try:
            ContentType.objects.count()
        except Exception:
            pass
        return HttpResponse("seen")

    urlpatterns = [path("", page)]
"""
KILLED = """
    import asyncio
    import os
    import signal
    import time

    import page

    async def main():
        for _ in range(3):
            await page.page(None)
            time.sleep(0)

    asyncio.run(main())
    if os.environ.get("FORKS") and os.fork() == 0:
        asyncio.run(main())
        os._exit(0)
    elif os.environ.get("FORKS"):
        os.wait()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in {"watched_settings": SETTINGS, "page": PAGE, "killed": KILLED}.items():
        (tmp_path / f"{name}.py").write_text(dedent(source))
    return tmp_path


def environment(project: Path, **others: str) -> dict[str, str]:
    without = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return without | {"PYTHONPATH": f"{project}:{Path(__file__).parents[3]}"} | others


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "daf_orm.detection.watch", *arguments]


def run(project: Path, *arguments: str, **others: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=project,
        env=environment(project, **others),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_program_that_is_killed_loses_nothing(project: Path) -> None:
    done = run(project, sys.executable, "killed.py")

    assert done.returncode == 128 + signal.SIGKILL
    assert "blocking calls: 3 at 1 sites" in done.stdout
    assert "in page: ContentType.objects.count() → runs QuerySet.count" in done.stdout
    assert "(3 times)" in done.stdout


def test_forked_processes_and_io_count_too(project: Path) -> None:
    done = run(project, "--io", sys.executable, "killed.py", FORKS="1")

    assert "blocking calls: 12 at 2 sites" in done.stdout
    assert "time.sleep(0) → runs time.sleep on the event loop" in done.stdout
    assert done.stdout.count("(6 times)") == 2


def test_a_program_without_a_guard_is_reported(project: Path) -> None:
    done = run(project, sys.executable, "-c", "raise SystemExit(3)")

    assert done.returncode == 3
    assert 'Add "daf_orm" to INSTALLED_APPS' in done.stdout


def test_a_real_server_that_a_signal_stops_is_reported(project: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        command(sys.executable, "-m", "uvicorn", "page:application", "--port", str(port)),
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert get(port) == "seen"
    finally:
        server.terminate()
    output, _ = server.communicate(timeout=30)

    assert "blocking calls: 1 at 1 sites" in output


def get(port: int) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/").text
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
