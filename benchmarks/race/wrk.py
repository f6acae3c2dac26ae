"""Load over HTTP by wrk, a client in C."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from benchmarks.catalog import BOOKS
from benchmarks.race.works import Work

PROGRAM = shutil.which("wrk")
MISSING = "wrk is not installed (Debian's package of that name)"
_SCRIPT = __file__.removesuffix(".py") + ".lua"
_TIMEOUT = "30s"
_FAILURES = ("connect", "read", "write", "status", "timeout")


def load(port: int, work: Work, callers: int, seconds: float) -> dict[str, Any]:
    """Send requests on so many connections; return ``requests``, ``rate``, ``p50``, ``p99`` and ``failures``."""
    assert PROGRAM is not None
    command = [PROGRAM, "-t1", f"-c{callers}", f"-d{seconds:.0f}s", "--timeout", _TIMEOUT, "-s", _SCRIPT]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"],
        env={**os.environ, **_environment(work)},
        check=True,
        capture_output=True,
        text=True,
    )
    return read(done.stdout)


def read(output: str) -> dict[str, Any]:
    """Return the figures that the script has printed."""
    line = next(line for line in output.splitlines() if line.startswith("RACE "))
    found = json.loads(line.removeprefix("RACE "))
    failures = {kind: found[kind] for kind in _FAILURES if found[kind]}
    return {
        "requests": found["requests"],
        "rate": (found["requests"] - found["status"]) / (found["microseconds"] / 1e6),
        "p50": found["p50"] / 1e6,
        "p99": found["p99"] / 1e6,
        "failures": failures,
    }


def _environment(work: Work) -> dict[str, str]:
    return {
        "RACE_METHOD": work.method,
        "RACE_PATH": work.path,
        "RACE_BODY": work.body.decode(),
        "RACE_COOKIE": dict(work.headers).get("cookie", ""),
        "RACE_BOOKS": str(BOOKS),
    }
