"""Each test's body in a bridge on a running event loop; setup and teardown are unchanged.

An application of the Django suite. A wait of psycopg's that would have blocked the loop is recorded beside what the
guard records, and the process says at its end how many there were.
"""

import asyncio
import atexit
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from asgiref.sync import AsyncToSync
from django.apps import AppConfig

NOT_BRIDGED: Mapping[str, str] = {
    f"backends.postgresql.tests.Tests.test_{name}": (
        "OPTIONS['pool'] lends out psycopg's own connections: the calls on such a database run in threads."
    )
    for name in ("connect_pool", "pooling_health_checks")
}
"""The tests whose bodies do not run on a loop, each with the reason."""
blocked: list[str] = []
"""Waits for a server that blocked the event loop's thread: the stacks."""


class BridgedConfig(AppConfig):
    name = "bridged"

    def ready(self) -> None:
        """See to every test that is run from now on. Tests that change INSTALLED_APPS call it again."""
        import psycopg  # noqa: PLC0415 - Django has to be set up
        from django.db import connections  # noqa: PLC0415
        from django.test import SimpleTestCase  # noqa: PLC0415

        from daf_orm.detection import recorders  # noqa: PLC0415

        if vars(SimpleTestCase).get("_callTestMethod") is _call_in_bridge:
            return
        # On the loop too the connections are those of the test's thread.
        connections._connections = threading.local()  # type: ignore[attr-defined]
        SimpleTestCase._callTestMethod = _call_in_bridge  # type: ignore[attr-defined]
        psycopg.Connection.wait = _noting(psycopg.Connection.wait)  # type: ignore[method-assign]
        recorders.add_recorder(_Recorder())
        atexit.register(_report)


def _call_in_bridge(test: Any, method: Callable[[], Any]) -> None:
    # An async test runs its own loop.
    if isinstance(method, AsyncToSync) or any(test.id().startswith(name) for name in NOT_BRIDGED):
        method()
    else:
        asyncio.run(_run(method))


async def _run(method: Callable[[], Any]) -> None:
    from daf_orm._execution.routes.native import Bridge  # noqa: PLC0415

    await Bridge(method, None).drive(_refuse)  # type: ignore[arg-type]


def _refuse(error: asyncio.CancelledError) -> None:
    raise error


def _noting(wait: Callable[..., Any]) -> Callable[..., Any]:
    from daf_orm._core.bridge import current_bridge  # noqa: PLC0415

    def noting(*args: Any, **kwargs: Any) -> Any:
        if current_bridge() is not None:
            blocked.append("".join(traceback.format_stack()))
        return wait(*args, **kwargs)

    return noting


class _Recorder:
    def record(self, call: Any, error: object) -> None:
        blocked.append(str(call))


def _report() -> None:
    print(f"\nBlocking calls: {len(blocked)}", file=sys.stderr)
    for one in blocked[:5]:
        print(one, file=sys.stderr)
