"""Run a server, or any program, under the guard in mode ``log``, and list the call sites when it ends.

``python -m daf_orm.detection.watch uvicorn shop.asgi:application --workers 2``. The project has ``"daf_orm"`` in
``INSTALLED_APPS``; nothing else changes. ``--io`` finds blocking I/O too.

Each process of the program writes its calls to a separate file at once, so a server that is stopped by a signal, or
killed, loses none. This program reads the files when the server has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from daf_orm._core.blocking_call import BlockingCall
from daf_orm.detection import guard, io
from daf_orm.detection.recorders import add_recorder
from daf_orm.detection.report import MAX_SITES, as_text, group, key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from daf_orm._core.blocking_call import BlockingCallError

DIRECTORY: Final = "DAF_ORM_WATCH"
"""Environment variable: the directory in which processes write their calls."""
WITH_IO: Final = "DAF_ORM_WATCH_IO"
_UNSEEN: Final = (
    'The guard was active in no process of this program. Add "daf_orm" to INSTALLED_APPS, and check that the program '
    "sets up Django."
)


class _Writer:
    """A recorder that writes a line for each call: the call itself the first time, its number from then on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = 0
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._sites: dict[Any, int] = {}
        self._site_count = 0
        self._file: TextIO = (self._directory / f"{self._process}.jsonl").open("a", buffering=1)

    def record(self, call: BlockingCall, error: BlockingCallError | None) -> None:  # noqa: ARG002 - a recorder's
        """Write the call."""
        if os.getpid() != self._process:  # a worker that was forked
            self._open()
        number = self._sites.get(site := key(call))
        if number is None:
            if len(self._sites) >= MAX_SITES:
                self._sites.clear()
            self._sites[site], self._site_count = self._site_count, self._site_count + 1
        self._file.write(f"{json.dumps(call.as_dict() if number is None else number)}\n")


def begin() -> None:
    """Watch this process, if the program that started it asks for it."""
    if (directory := os.environ.get(DIRECTORY)) is None:
        return
    guard.force_mode("log")
    guard.activate()
    if os.environ.get(WITH_IO):
        io.activate()
    add_recorder(_Writer(Path(directory)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program that the arguments name; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m daf_orm.detection.watch", description="List what blocks a server.")
    parser.add_argument("--io", action="store_true", help="files, sockets, sleeping, caches… count too (blockbuster)")
    parser.add_argument("command", help="a program: uvicorn, or a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    if options.io and not io.is_available():
        parser.error(io.MISSING)
    with tempfile.TemporaryDirectory(prefix="daf-watch-") as directory:
        environment = os.environ | {DIRECTORY: directory} | ({WITH_IO: "1"} if options.io else {})
        status = _run([options.command, *options.arguments], environment)
        sys.stdout.write(_report(Path(directory)))
    return status


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run the program until it ends, passing on the signals that end a server."""
    program = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's own command
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),  # a terminal sends it to the program too
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: program.terminate()),
    }
    try:
        status = program.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _report(directory: Path) -> str:
    files = sorted(directory.glob("*.jsonl"))
    if not files:
        return f"{_UNSEEN}\n"
    calls = [call for file in files for call in _read(file)]
    title = f"blocking calls: {len(calls)} at {len(group(calls))} sites"
    return f"\n{title}\n{as_text(calls)}\n" if calls else f"\n{title}\n"


def _read(file: Path) -> Iterator[BlockingCall]:
    sites: list[BlockingCall] = []
    for line in file.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # cut off where the process was killed
            continue
        if isinstance(entry, dict):
            sites.append(BlockingCall(**entry))
            yield sites[-1]
        else:
            yield sites[entry]


if __name__ == "__main__":
    sys.exit(main())
