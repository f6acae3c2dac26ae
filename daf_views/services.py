"""Services: what a view needs for one request, made before its handler and ended after the response.

``services = {"clock": Clock, "db": open_database}`` on a view: names and factories. A factory is

- a function or class: what it returns is the service, or, if that is a context manager, what entering it returns;
- a coroutine function; those that do not need each other run concurrently, each in a task of its own;
- a function of a (sync or async) context manager, or a generator function that yields the service once.

Synchronous factories run on the event loop, because nearly all of them just construct something, for which a thread hop
would cost a hundred times the work. One that blocks is wrapped: ``database_sync_to_async(load_plan)``.

Context managers are entered one after the other, and left in reverse, in the request's own task: a transaction, a
cancel scope or a context variable must be left in the task that entered it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

from daf_views.exceptions import ServiceError
from daf_views.problems import translate
from daf_views.service_plans import Plan, Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views.service_plans import Factory

logger = logging.getLogger("daf_views")


class Services:
    """The services of one request: ``self.services["db"]`` or ``self.services.db``."""

    __slots__ = ("_made", "_names")

    def __init__(self, made: Mapping[str, Any], names: frozenset[str]) -> None:
        self._made = made
        self._names = names

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            raise KeyError(self._missing(name))
        return self._made[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._made:
            raise AttributeError(self._missing(name), name=name, obj=self)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __repr__(self) -> str:
        return f"<Services: {', '.join(self._made)}>"

    def _missing(self, name: str) -> str:
        if name in self._names:
            return f"Service {name!r} is not there yet: services are made after permissions, before async_setup()."
        return f"There is no service {name!r}. Known: {', '.join(sorted(self._names)) or 'none'}."


class ServiceScope:
    """The life of a request's services: ``await open()``, then ``await close()`` or ``close_after(response)``."""

    __slots__ = ("_made", "_plan", "_request", "_stack")

    def __init__(self, plan: Plan, request: HttpRequest) -> None:
        self._plan = plan
        self._request = request
        self._made: dict[str, Any] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> Services:
        """Make all services. If one fails, raises what it raised if that has a meaning of its own, else ServiceError.

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
        """End the services in reverse; they are shown ``exc``, and cannot swallow it.

        A service that fails to end raises ServiceError; if ``exc`` is on its way already, that is logged instead.
        """
        try:
            await self._stack.__aexit__(*_exc_info(exc))
        except Exception as failure:
            if exc is None:
                raise
            if failure is not exc:
                logger.exception("A service could not be ended while another error was on its way.")

    def close_after(self, response: Any) -> None:
        """End the services when a streaming response has been sent, or dropped.

        A stream that is read to its end ends them in the task that reads it; one that is dropped, in a task of its own,
        soon: they are shown a CancelledError. That one of them could not be ended is logged.
        """
        stream = None
        if response.is_async:
            stream = response.streaming_content = self._stream(aiter(response.streaming_content))
        loop = asyncio.get_running_loop()
        # For a stream that is dropped or never begun, or is synchronous. close() may be called on a worker thread.
        end_soon = functools.partial(self._end_soon, stream)
        _call_on_close(response, lambda: loop.is_closed() or loop.call_soon_threadsafe(end_soon))

    async def _stream(self, content: Any) -> AsyncGenerator[Any, None]:
        error: BaseException | None = None
        try:
            async for part in content:
                yield part
        except BaseException as exc:
            # A stream that is dropped has not come to its end: what a cancelled handler's services would be told.
            error = asyncio.CancelledError() if isinstance(exc, GeneratorExit) else exc
            raise
        finally:
            try:
                if hasattr(content, "aclose"):  # now, not when it is collected
                    await content.aclose()
            finally:
                await self._close_logged(error)

    def _end_soon(self, stream: AsyncGenerator[Any, None] | None) -> None:
        task = asyncio.get_running_loop().create_task(self._end(stream))
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    async def _end(self, stream: AsyncGenerator[Any, None] | None) -> None:
        if stream is not None:
            try:
                await stream.aclose()
            except Exception:
                logger.exception("A stream could not be ended.")
                return  # its services are its own to end: it is being read, or has failed
        await self._close_logged(None if stream is None else asyncio.CancelledError())

    async def _close_logged(self, exc: BaseException | None) -> None:
        """The status has been sent: that a service could not be ended can only be logged."""
        stack = self._stack.pop_all()  # nothing is left to do for whoever comes second
        try:
            await stack.__aexit__(*_exc_info(exc))
        except Exception as failure:
            if failure is not exc:
                logger.exception("A service could not be ended after a stream.")

    async def _call_concurrently(self, services: list[Service]) -> dict[str, Any]:
        if len(services) == 1:
            return {services[0].name: await self._call_async(services[0])}
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
        if hasattr(type(made), "__aenter__"):
            value = await made.__aenter__()
        elif hasattr(type(made), "__enter__"):
            value = made.__enter__()
        else:
            return await made if isawaitable(made) else made
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
            if failure is not exc:
                raise


class _Naming:
    """Say which service an exception is from: ServiceError, or a note if the exception has an answer of its own."""

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


class override_services:  # noqa: N801 - a context manager and decorator, as Django's override_settings
    """Replace services in tests: ``with override_services(OrdersView, db=FakeDatabase):``, or as a decorator.

    Without a view it replaces them in every view that has services of these names. Subclasses of the view are included.
    Decorates functions, coroutine functions and test classes' methods. Holds for the whole process, as
    ``override_settings`` does. Raises LookupError if the view has no such service.
    """

    def __init__(self, view: type | None = None, /, **factories: Factory) -> None:
        self.view: type = object if view is None else view
        self.factories = factories
        if view is not None:
            known = Plan.for_view(view).names
            for name in factories.keys() - known:
                raise LookupError(f"{view.__qualname__} has no service {name!r}. Known: {', '.join(sorted(known))}.")
        for name, factory in factories.items():
            Service(name, factory, frozenset(factories))

    def __enter__(self) -> None:
        _overrides.append(self)

    def __exit__(self, *exc_info: object) -> None:
        _overrides.remove(self)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a function or coroutine function: the services are replaced while it runs."""
        if iscoroutinefunction(func):

            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await func(*args, **kwargs)

            return functools.wraps(func)(run_async)

        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return run


def overridden(plan: Plan) -> Plan:
    """Return the plan with what :class:`override_services` says now."""
    if not plan.names or not _overrides:
        return plan
    changes: dict[str, Factory] = {}
    for override in _overrides:
        if issubclass(plan.owner, override.view):
            changes.update({name: each for name, each in override.factories.items() if name in plan.names})
    return plan.replacing(changes) if changes else plan


_overrides: list[override_services] = []
_closing: set[asyncio.Task[None]] = set()  # the event loop itself keeps weak references only


def _exc_info(exc: BaseException | None) -> tuple[type[BaseException] | None, BaseException | None, Any]:
    return (None, None, None) if exc is None else (type(exc), exc, exc.__traceback__)


def _call_on_close(response: HttpResponseBase, func: Callable[[], object]) -> None:
    """Call ``func`` when Django closes the response: a private name of Django's, and this is its one place."""
    response._resource_closers.append(func)  # type: ignore[attr-defined] # noqa: SLF001
