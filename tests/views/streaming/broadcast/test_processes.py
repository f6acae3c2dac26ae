"""Two real processes: a message that one publishes arrives in the other, after the commit."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.db import connection

from daf_views.streaming import Channel

ROOT = Path(__file__).parents[4]
PROGRAM = """
import asyncio, json, os, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["daf_orm", "daf_views"], SECRET_KEY="not a secret", **json.loads(os.environ["SERVED_SETTINGS"])
)
django.setup()

from daf_orm import transaction
from daf_views.streaming import Channel

stock = Channel("stock")

async def main():
    async with stock.subscribe() as messages:
        print("subscribed", flush=True)
        print(json.dumps(await anext(messages)), flush=True)
        async with transaction.atomic():
            await stock.apublish({"from": os.getpid()})
        try:
            async with transaction.atomic():
                await stock.apublish("rolled back")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await stock.apublish("the end")
        sys.stdin.readline()

asyncio.run(main())
"""


@asynccontextmanager
async def other_process(named):
    keys = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    database = {key: str(connection.settings_dict[key]) for key in keys}
    served = {"DATABASES": {"default": database}, "DAF_VIEWS": named}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", PROGRAM),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SERVED_SETTINGS": json.dumps(served)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_two_processes_hear_each_other(backend, kind, named):
    if kind == "memory":
        pytest.skip("memory is of one process")
    stock = Channel("stock")
    async with stock.subscribe() as messages, other_process(named) as other:
        assert await other.stdout.readline() == b"subscribed\n"
        await stock.apublish("to both")
        assert await anext(messages) == "to both"
        assert json.loads(await other.stdout.readline()) == "to both"
        assert await anext(messages) == {"from": other.pid}
        assert await anext(messages) == "the end"
        _, errors = await other.communicate(b"\n")
    assert (other.returncode, errors) == (0, b"")
