"""The tasks of :mod:`benchmarks.workers`."""

import asyncio

from daf_views.tasks import async_task


@async_task
async def wait() -> None:
    """Wait for something else."""
    await asyncio.sleep(0.02)


@async_task
async def nothing() -> None:
    """Do nothing."""
