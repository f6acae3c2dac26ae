"""The interface of a backend: run an operation on the state of a key, as one step."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from daf_views._core.drain import current_drain
from daf_views.exceptions import ThrottleBackendError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from daf_views.settings import Settings
    from daf_views.throttling.operations import Operation, R


class Backend(ABC):
    """Keeps the state of keys, each until it expires. One object serves all event loops and threads."""

    is_shared: ClassVar[bool] = True
    """True if all processes of a site count together."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:  # noqa: ARG003 - for those that have some
        """Return the backend that ``DAF_VIEWS`` describes. Raise ImproperlyConfigured if it cannot be."""
        return cls()

    @abstractmethod
    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:
        """Run the operation, and return its result.

        ``key`` has at most 100 characters, of ASCII, without spaces. Raises TimeoutError after ``timeout`` seconds,
        ThrottleBackendError or an error of the backend itself if it cannot count at present.
        """

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close what the running event loop has open. It is opened again when it is needed."""


async def in_time(call: Coroutine[Any, Any, R], timeout: float) -> R:
    """Await a call, which may be busy in a thread; after ``timeout`` seconds leave it to end in the background.

    ``asyncio.timeout()`` would wait until the thread is quiet, and so as long as a server that is silent likes.
    """
    task = asyncio.get_running_loop().create_task(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not done:
        _leave(task)
        raise TimeoutError(f"There was no answer within {timeout} s.")
    if task.cancelled():
        raise ThrottleBackendError("The server stops, and no longer waits for counts.")
    return task.result()


def _leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # or asyncio logs an unretrieved error
    current_drain().keep(task)
