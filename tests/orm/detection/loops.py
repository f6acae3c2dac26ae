"""The event loops that detection works with."""

import asyncio
from typing import Any

import pytest

try:
    import uvloop
except ImportError:  # there is none for Windows, nor for a Python that is too new
    uvloop = None


def _new_uvloop() -> Any:
    return uvloop.new_event_loop()


LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(_new_uvloop, id="uvloop", marks=pytest.mark.skipif(uvloop is None, reason="uvloop is not installed")),
]
