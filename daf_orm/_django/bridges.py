"""Checks for an event loop in Django and asgiref, which code in a bridge passes: it can wait on the loop.

Only the native route makes bridges. Without it nothing is replaced, since synchronous code passes here for each query.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import AsyncToSync
from django.utils import asyncio as django_asyncio

from daf_orm._core.bridge import current_bridge
from daf_orm.patches import Patch, PatchTable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def _unless_in_bridge(get_running_loop: Callable[[], asyncio.AbstractEventLoop]) -> Any:
    @functools.wraps(get_running_loop)
    def get_blocked_loop() -> asyncio.AbstractEventLoop:
        if current_bridge() is not None:
            raise RuntimeError("Code in a bridge can wait on the event loop.")
        return get_running_loop()

    return get_blocked_loop


def _run_in_task(call: Any) -> Any:
    @functools.wraps(call)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - the method that it replaces
        bridge = current_bridge()
        if bridge is None:
            return call(self, *args, **kwargs)
        return bridge.run_within(self.awaitable(*args, **kwargs))

    return __call__


PATCHES: Final = PatchTable(
    Patch(
        owner=AsyncToSync,
        name="__call__",
        wrapper=_run_in_task,
        why="code that runs on the event loop itself can await there",
    ),
    Patch(
        owner=django_asyncio,
        name="get_running_loop",
        wrapper=_unless_in_bridge,
        why="code that runs on the event loop itself does not block it, also where Django's methods are replaced",
    ),
)
