"""Separate programs, on the test database: the end of a process can only be seen from outside it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from django.db import connections

TIMEOUT = 150
_ROOT = Path(__file__).parents[2]
_PREAMBLE = """
import asyncio, contextvars, json, multiprocessing, os, sys, threading, warnings
import django
from django.conf import settings

warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)  # that is what is tested
for alias, name in json.loads(os.environ["DAF_TEST_NAMES"]).items():
    settings.DATABASES[alias]["NAME"] = name
django.setup()

from django.db import connection
from daf_orm import PoolClosed, cursor, database_sync_to_async, get_pool, transaction
from tests.project.library.models import Author

async def select(sql="SELECT 1"):
    async with cursor() as cur:
        await cur.execute(sql)
        return (await cur.fetchone())[0]
"""


def run_program(source: str, *, timeout: float = TIMEOUT) -> str:
    """Run Python code that finds Django set up, warnings being errors. Return what it printed.

    It must end with code 0 and without a warning.
    """
    names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PREAMBLE + dedent(source)],
        cwd=_ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.project.settings", "DAF_TEST_NAMES": json.dumps(names)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"exit code {done.returncode}\n{done.stderr}"
    return done.stdout
