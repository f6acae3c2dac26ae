"""The life of a request's services: made before its handler, ended after its response, also if either fails."""

from __future__ import annotations

import asyncio
import functools
import sys
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeGuard

from asgiref.sync import async_to_sync
from django.db import Error

from daf_views._core.drain import current_drain
from daf_views._core.logs import log_error
from daf_views._django.responses import closers_of
from daf_views.errors.problems import report, translate
from daf_views.exceptions import ServiceError
from daf_views.http.request import call_when_closed
from daf_views.services.container import Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from django.http import HttpRequest

    from daf_views.services.plan import Service, ServicePlan


class ServiceScope:
    """The life of a request's services: ``await open()``, then ``await close()`` or ``close_after(response)``."""

    __slots__ = ("_is_ending", "_made", "_plan", "_request", "_stack")

    def __init__(self, plan: ServicePlan, request: HttpRequest) -> None:
        self._plan = plan
        self._request = request
        self._made: dict[str, Any] = {}
        self._stack = AsyncExitStack()
        self._is_ending = False

    async def open(self) -> Services:
        """Make all services. If one fails, raises its error if that has its own response, else ServiceError.

        The caller closes the scope in either case.
        """
        for step in self._plan.steps:
            concurrent = [service for service in step if service.is_concurrent]
            results = await self._call_concurrently(concurrent)
            for service in step:
                with _Naming(self._plan.owner, service.name, "failed"):
                    made = results[service.name] if service.is_concurrent else service(self._request, self._made)
                    self._made[service.name] = await self._enter(service.name, made)
        return Services(self._made, self._plan.names)

    async def close(self, exc: BaseException | None = None) -> None:
        """End the services in reverse. Each gets ``exc``, and cannot suppress it.

        Without ``exc`` a bug of a service that ends is reported, and not raised: see :mod:`daf_views.services`.
        """
        try:
            await self._stack.__aexit__(*_exc_info(exc))
        except Exception as failure:
            if exc is None:
                raise
            if failure is not exc:
                await log_error("A service could not be ended while another error was being handled.", error=failure)

    def close_after(self, response: Any) -> None:
        """End the services when a stream has been sent, an unrendered response rendered, or either dropped.

        A stream that is read to its end ends them in the task that reads it. Otherwise they end soon, in a new task:
        those of a dropped stream are shown a CancelledError. If a service cannot be ended, that is logged.
        """
        stream = None
        if response.streaming and response.is_async:
            stream = response.streaming_content = self._stream(aiter(response.streaming_content))
        elif not self._plan.steps:
            return  # there is nothing to end, and to close the response would cost a hop
        end = _End(functools.partial(self._end_once, asyncio.get_running_loop(), stream))
        closers_of(response).append(end)
        call_when_closed(self._request, end)  # the response may be replaced, and never closed
        if not getattr(response, "is_rendered", True):
            response.add_post_render_callback(lambda _: end())

    async def _stream(self, content: Any) -> AsyncGenerator[Any, None]:
        error: BaseException | None = None
        try:
            async for part in content:
                yield part
        except BaseException as exc:
            # A stream that is dropped has not ended: its services see the same as those of a cancelled handler.
            error = asyncio.CancelledError() if isinstance(exc, GeneratorExit) else exc
            raise
        finally:
            try:
                if hasattr(content, "aclose"):  # now, not when it is collected
                    await content.aclose()
            finally:
                await self._close_logged(error)

    def _end_once(self, loop: asyncio.AbstractEventLoop, stream: AsyncGenerator[Any, None] | None) -> None:
        """End the services from any thread."""
        if self._is_ending:
            return
        self._is_ending = True
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._end_soon, stream)
        elif _is_in_loop():
            self._end_soon(stream)
        else:  # WSGI, whose loop lasts as long as the view
            async_to_sync(self._end)(stream)

    def _end_soon(self, stream: AsyncGenerator[Any, None] | None) -> None:
        # The drain waits for it, so that the pool is there for services that end after the last response.
        current_drain().keep(asyncio.get_running_loop().create_task(self._end(stream)))

    async def _end(self, stream: AsyncGenerator[Any, None] | None) -> None:
        if stream is not None:
            try:
                await stream.aclose()
            except Exception as failure:  # noqa: BLE001 - logged
                await log_error("A stream could not be ended.", error=failure)
                return  # its services are its own to end: it is being read, or has failed
        await self._close_logged(None if stream is None else asyncio.CancelledError())

    async def _close_logged(self, exc: BaseException | None) -> None:
        """End the services; log a failure, because the status of the response has been sent."""
        self._is_ending = True
        stack = self._stack.pop_all()  # a second caller finds nothing to close
        try:
            await stack.__aexit__(*_exc_info(exc))
        except Exception as failure:  # noqa: BLE001 - logged
            if failure is not exc:
                await log_error("A service could not be ended after its response.", error=failure)

    async def _call_concurrently(self, services: list[Service]) -> dict[str, Any]:
        if not services:
            return {}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {service.name: group.create_task(self._call_async(service)) for service in services}
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]  # the one that ended the others
            raise error from error.__cause__
        return {name: task.result() for name, task in tasks.items()}

    async def _call_async(self, service: Service) -> Any:
        with _Naming(self._plan.owner, service.name, "failed"):
            return await service(self._request, self._made)

    async def _enter(self, name: str, made: Any) -> Any:
        if _is_mock(made):
            return made
        if hasattr(type(made), "__aenter__"):
            value = await made.__aenter__()
        elif hasattr(type(made), "__enter__"):
            value = made.__enter__()
        else:
            return await self._enter(name, await made) if isawaitable(made) else made
        self._stack.push_async_exit(functools.partial(self._exit, name, made))
        return value

    async def _exit(self, name: str, manager: Any, kind: Any, exc: BaseException | None, trace: Any) -> None:
        try:
            with _Naming(self._plan.owner, name, "could not be ended", unless=exc):
                if hasattr(type(manager), "__aexit__"):
                    await manager.__aexit__(kind, exc, trace)
                else:
                    manager.__exit__(kind, exc, trace)
        except BaseException as failure:
            if failure is exc:
                return
            if exc is not None or not _is_for_the_log(failure):
                raise
            await report(self._request, failure)


class _Naming:
    """Say which service an exception is from: ServiceError, or a note if the exception has its own response."""

    __slots__ = ("_owner", "_text", "_unless")

    def __init__(self, owner: type, name: str, what: str, unless: BaseException | None = None) -> None:
        self._text = f"service {name!r} of {owner.__module__}.{owner.__qualname__} {what}"
        self._unless = unless

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if not isinstance(exc, Exception) or exc is self._unless or isinstance(exc, ServiceError):
            return
        if translate(exc) is None:
            raise ServiceError(self._text) from exc
        exc.add_note(self._text)


def _is_mock(made: Any) -> bool:
    mock = sys.modules.get("unittest.mock")  # unless it has been imported there are none
    return mock is not None and isinstance(made, mock.NonCallableMock)


def _is_for_the_log(failure: BaseException) -> TypeGuard[ServiceError]:
    """Return True if it is a bug, and none that may have kept a transaction from committing."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, Error):
            return False
        cause = cause.__cause__ or cause.__context__
    return isinstance(failure, ServiceError)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _exc_info(exc: BaseException | None) -> tuple[type[BaseException] | None, BaseException | None, Any]:
    return (None, None, None) if exc is None else (type(exc), exc, exc.__traceback__)


class _End:
    """Ends the services of a response. The copy of the response that a cache pickles has none to end."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end

    def __call__(self) -> None:
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return _End, (_end_nothing,)


def _end_nothing() -> None:
    pass
