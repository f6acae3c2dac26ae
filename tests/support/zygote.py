"""Many short programs, each in a separate process that need not import again the modules that all of them use.

A zygote is a process that has imported them, and only forks. Each program runs in a fork of it, in the directory, with
the environment, the arguments and the output that a new interpreter would have. It knows nothing of
DAF, of settings, or of pytest's plugins.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
IMPORTED = (
    "asgiref.local",
    "django.contrib.auth.hashers",
    "django.core.management.commands.flush",
    "django.core.management.commands.migrate",
    "django.core.management.commands.test",
    "django.db.backends.sqlite3.base",
    "django.template.backends.django",
    "django.test",
    "django.urls",
    "pytest",
)
LONGEST_MESSAGE = 1 << 20


class Zygote:
    """Start it with `with`; `run` programs one after another."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run what ``python`` would with these arguments: ``-m module …`` or ``program.py …``.

        Where the wait for its end is cut off, it is killed.
        """
        program = json.dumps([list(arguments), str(cwd), dict(env)]).encode()
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            try:
                socket.send_fds(self._socket, [program], [stdout.fileno(), stderr.fileno()])
                code = os.waitstatus_to_exitcode(int(self._socket.recv(100)))
            except BaseException:
                self._stop()
                self._start()
                raise
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _stop(self) -> None:
        self._socket.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def main(requests: socket.socket) -> list[str] | None:
    """Fork for each request. Return the arguments in the child, None in the parent when there are no more."""
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LONGEST_MESSAGE, 2)
        if not message:
            return None
        if child := os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            requests.send(str(os.waitpid(child, 0)[1]).encode())
            continue
        requests.close()
        arguments, directory, environment = json.loads(message)
        for standard, descriptor in enumerate(descriptors, start=1):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
        return arguments


def execute(arguments: list[str]) -> None:
    first, *others = arguments
    if first == "-m":
        sys.argv = others
        sys.path[0] = str(Path.cwd())
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__" and (of_child := main(socket.socket(fileno=int(sys.argv[1])))):
    execute(of_child)
