"""The environment of the measurements: the numbers mean nothing without it."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    *("django", "asgiref", "psycopg", "psycopg-pool", "django-async-backend", "uvicorn"),
    *("redis", "limits", "throttled-py", "djangorestframework", "django-ninja", "starlette", "taskiq"),
    *("fastapi", "sqlalchemy", "asyncpg"),
)


def describe() -> str:
    """Return one paragraph: date, machine, versions."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{datetime.now(tz=UTC):%Y-%m-%d}. {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load average before the run {load}. Python {platform.python_version()}, {packages}, "
        f"SQLite {sqlite3.sqlite_version}."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
