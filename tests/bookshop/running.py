"""The bookshop of `examples/`, as its README opens it: migrated, seeded, and served in separate processes."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "bookshop"
CLERK = "ada"
START_SECONDS = 30
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    url: str
    password: str
    token: str
    """With which programs call as the clerk."""
    log: Path

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextmanager
def running_bookshop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(prefix="daf-bookshop-") as folder:
        password = secrets.token_urlsafe()
        environment = _environment(folder, password)
        _manage(environment, "migrate", "--verbosity=0")
        _manage(environment, "seed", f"--clerk={CLERK}")
        token = _manage(environment, "token", CLERK)
        port = _free_port()
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = _serve(environment, port, output)
        shop = Shop(url=f"http://127.0.0.1:{port}", password=password, token=token, log=log)
        try:
            _wait_until_it_answers(process, shop)
            yield shop
        finally:
            _stop(process)


def _environment(folder: str, password: str) -> Mapping[str, str]:
    """Nothing of the suite's own Django, and rates that nothing here comes up against."""
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "bookshop.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(PROJECT)]),
        "BOOKSHOP_VAR_DIR": folder,
        "BOOKSHOP_PASSWORD": password,
        "BOOKSHOP_LOGIN_RATE": "100000/minute",
        "BOOKSHOP_REPORT_RATE": "100000/minute",
        "SECRET_KEY": secrets.token_urlsafe(50),
    }


def _manage(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{arguments}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


def _serve(environment: Mapping[str, str], port: int, output) -> subprocess.Popen[bytes]:
    options = f"--host 127.0.0.1 --port {port} --log-level warning --no-proxy-headers --timeout-keep-alive 75"
    command = [sys.executable, "-m", "uvicorn", "bookshop.asgi:application", *options.split()]
    return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT)


def _wait_until_it_answers(process: subprocess.Popen[bytes], shop: Shop) -> None:
    deadline = time.monotonic() + START_SECONDS
    with shop.client() as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.get("/readyz").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError(f"The bookshop did not open:\n{shop.log.read_text()}")


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
