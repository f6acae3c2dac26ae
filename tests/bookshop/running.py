"""The bookshop of `examples/`, as its README opens it: migrated, seeded, and served in separate processes."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "bookshop"
CLERK = "ada"
PREPARE = f"""
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("seed", clerk="{CLERK}")
call_command("token", "{CLERK}")
"""
START_SECONDS = 60
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    urls: Sequence[str]
    """One for each process."""
    password: str
    token: str
    """With which programs call as the clerk."""
    logs: Sequence[Path]

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def log(self) -> Path:
        return self.logs[0]

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextmanager
def running_bookshop(
    *, processes: int = 1, database_url: str | None = None, settings: str = "bookshop.settings"
) -> Iterator[Shop]:
    """Open the shop, on SQLite or another empty database, beside its supplier."""
    with tempfile.TemporaryDirectory(prefix="daf-bookshop-") as folder, ExitStack() as stack:
        password = secrets.token_urlsafe()
        prices, prices_port = "/prices/9780000000002", _free_port()
        environment = _environment(folder, password) | {
            "DJANGO_SETTINGS_MODULE": settings,
            "BOOKSHOP_SUPPLIER_URL": f"http://127.0.0.1:{prices_port}",
        }
        if database_url is not None:
            environment["DATABASE_URL"] = database_url
        token = _prepare(environment)
        waiting = [stack.enter_context(_serving("demo.prices", prices_port, prices, environment, folder))]
        ports = [_free_port() for _ in range(processes)]
        waiting += [
            stack.enter_context(_serving("bookshop.asgi", port, "/readyz", environment, folder)) for port in ports
        ]
        for wait_until_it_answers in waiting:  # they start side by side
            wait_until_it_answers()
        yield Shop(
            urls=[f"http://127.0.0.1:{port}" for port in ports],
            password=password,
            token=token,
            logs=[Path(folder) / f"{port}.log" for port in ports],
        )


def _environment(folder: str, password: str) -> dict[str, str]:
    """Nothing of the suite's own Django, and rates that nothing here comes up against."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    return inherited | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(PROJECT), str(ROOT / "docs")]),
        "BOOKSHOP_VAR_DIR": folder,
        "BOOKSHOP_PASSWORD": password,
        "BOOKSHOP_LOGIN_RATE": "100000/minute",
        "BOOKSHOP_REPORT_RATE": "100000/minute",
        "SECRET_KEY": secrets.token_urlsafe(50),
    }


def _prepare(environment: Mapping[str, str]) -> str:
    """Make the tables, fill them, hire the clerk; return a token. One process does it: each takes seconds to start."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), f"exit code {done.returncode}\n{done.stderr}"
    return done.stdout.split()[-1]


@contextmanager
def _serving(
    module: str, port: int, path: str, environment: Mapping[str, str], folder: str
) -> Iterator[Callable[[], None]]:
    """Start a server, and stop it at the end; yield a function that waits until it answers."""
    log = Path(folder) / f"{port}.log"
    options = f"--host 127.0.0.1 --port {port} --log-level warning --no-proxy-headers --timeout-keep-alive 75"
    command = [sys.executable, "-m", "uvicorn", f"{module}:application", *options.split()]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield lambda: _wait_until_it_answers(process, f"http://127.0.0.1:{port}{path}", log)
    finally:
        _stop(process)


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=30, trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{url} did not answer:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
